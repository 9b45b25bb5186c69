//! The limiters of `shibuya-ratelimit`.

use shibuya_ratelimit::{Quota, RateLimiter};

use super::limiter::{Check, Keyed, Limiter, Rate, Wait};

fn quota(rate: Rate) -> Quota {
    Quota::per(rate.permits, rate.period).burst(rate.burst)
}

impl Limiter for RateLimiter {
    fn new(rate: Rate) -> Self {
        RateLimiter::new(quota(rate))
    }
}

impl Check for RateLimiter {
    fn check(&self) -> bool {
        self.try_acquire().is_ok()
    }
}

impl Wait for RateLimiter {
    async fn wait(&self) {
        self.acquire().await.expect("it is open");
    }
}

impl Keyed for shibuya_ratelimit::Keyed<u64> {
    fn new(rate: Rate, max_keys: usize) -> Self {
        Self::new(quota(rate)).max_keys(max_keys)
    }

    fn check(&self, key: u64) -> bool {
        self.try_acquire(&key).is_ok()
    }
}
