//! The peers, each used in the way that its documentation recommends.

use std::num::NonZeroU32;
use std::time::Duration;

use better_bucket::Bucket;
use governor::clock::{Clock, MonotonicClock, QuantaClock, ReasonablyRealtime};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Jitter, Quota};
use ratelimit::{Ratelimiter, TryWaitError};
use throttle_net::{PerKey, Throttle};

use super::limiter::{Check, Keyed, Limiter, Rate, Wait};

/// With the clock that it has unless told, which counts the processor's cycles.
pub(super) type Governor = GovernorWith<QuantaClock>;
/// With the same clock as everybody else.
pub(super) type GovernorInstant = GovernorWith<MonotonicClock>;

pub(super) struct GovernorWith<C: Clock>(
    governor::RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
);

fn quota(rate: Rate) -> Quota {
    let burst = NonZeroU32::new(rate.burst).expect("a burst is not zero");
    let quota = Quota::with_period(rate.interval()).expect("an interval is not zero");
    quota.allow_burst(burst)
}

impl<C: GovernorClock> Limiter for GovernorWith<C> {
    fn new(rate: Rate) -> Self {
        let limiter = governor::RateLimiter::direct_with_clock(quota(rate), C::default());
        Self(limiter)
    }
}

impl<C: GovernorClock> Check for GovernorWith<C> {
    fn check(&self) -> bool {
        self.0.check().is_ok()
    }
}

impl<C: GovernorClock> Wait for GovernorWith<C> {
    async fn wait(&self) {
        self.0.until_ready().await;
    }
}

/// With some chance in the waiting, as is advised where many wait.
pub(super) struct GovernorJitter(Governor);

impl Limiter for GovernorJitter {
    fn new(rate: Rate) -> Self {
        Self(Governor::new(rate))
    }
}

impl Wait for GovernorJitter {
    async fn wait(&self) {
        let jitter = Jitter::up_to(Duration::from_millis(10));
        self.0.0.until_ready_with_jitter(jitter).await;
    }
}

/// What is asked of a clock to be shared.
pub(super) trait GovernorClock:
    Clock<Instant: Send + Sync> + ReasonablyRealtime + Default + Send + Sync + 'static
{
}

impl<C> GovernorClock for C where
    C: Clock<Instant: Send + Sync> + ReasonablyRealtime + Default + Send + Sync + 'static
{
}

pub(super) struct LeakyBucketWith<const FAIR: bool>(leaky_bucket::RateLimiter);

pub(super) type LeakyBucket = LeakyBucketWith<true>;
pub(super) type LeakyBucketUnfair = LeakyBucketWith<false>;

impl<const FAIR: bool> Limiter for LeakyBucketWith<FAIR> {
    fn new(rate: Rate) -> Self {
        let (interval, refill) = rate.refill();
        let burst = rate.burst as usize;
        let mut builder = leaky_bucket::RateLimiter::builder();
        builder
            .interval(interval)
            .refill(refill)
            .max(burst.max(refill))
            .initial(burst)
            .fair(FAIR);
        Self(builder.build())
    }
}

impl<const FAIR: bool> Check for LeakyBucketWith<FAIR> {
    fn check(&self) -> bool {
        self.0.try_acquire(1)
    }
}

impl<const FAIR: bool> Wait for LeakyBucketWith<FAIR> {
    async fn wait(&self) {
        self.0.acquire_one().await;
    }
}

impl Limiter for Ratelimiter {
    fn new(rate: Rate) -> Self {
        let burst = u64::from(rate.burst);
        let builder = Ratelimiter::builder(rate.permits.into())
            .period(rate.period)
            .max_tokens(burst)
            .initial_available(burst);
        builder.build().expect("it is sound")
    }
}

impl Check for Ratelimiter {
    fn check(&self) -> bool {
        self.try_wait().is_ok()
    }
}

/// By its loop, with Tokio's sleep for the thread's.
impl Wait for Ratelimiter {
    async fn wait(&self) {
        while let Err(denied) = self.try_wait() {
            let TryWaitError::Insufficient(time) = denied else {
                panic!("{denied}");
            };
            tokio::time::sleep(time).await;
        }
    }
}

impl Limiter for Bucket {
    fn new(rate: Rate) -> Self {
        let builder = Bucket::builder()
            .capacity(rate.burst)
            .refill(rate.permits, rate.period)
            .initial(rate.burst);
        builder.build().expect("it is sound")
    }
}

impl Check for Bucket {
    fn check(&self) -> bool {
        self.try_acquire(1)
    }
}

impl Limiter for Throttle {
    fn new(rate: Rate) -> Self {
        let builder = Throttle::builder()
            .rate(rate.permits, rate.period)
            .burst(rate.burst);
        builder.build()
    }
}

impl Check for Throttle {
    fn check(&self) -> bool {
        self.try_acquire()
    }
}

impl Wait for Throttle {
    async fn wait(&self) {
        self.acquire().await.expect("one is within the burst");
    }
}

/// Has no bound of its own; see `tidy`.
pub(super) struct GovernorKeyed<C: Clock>(GovernorMap<C>);

type GovernorMap<C> =
    governor::RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl<C: GovernorClock> Keyed for GovernorKeyed<C> {
    fn new(rate: Rate, _max_keys: usize) -> Self {
        let limiter = governor::RateLimiter::dashmap_with_clock(quota(rate), C::default());
        Self(limiter)
    }

    fn check(&self, key: u64) -> bool {
        self.0.check_key(&key).is_ok()
    }
}

impl<C: GovernorClock> GovernorKeyed<C> {
    /// Forgets the keys that owe nothing, as one is told to do now and then.
    pub(super) fn tidy(&self) {
        self.0.retain_recent();
    }
}

impl Keyed for rate_net::RateLimiter {
    fn new(rate: Rate, max_keys: usize) -> Self {
        let limiter = rate_net::RateLimiter::builder()
            .quota(rate.permits, rate.period)
            .burst(rate.burst)
            .eviction(rate_net::Eviction::capacity(max_keys));
        limiter.build()
    }

    fn check(&self, key: u64) -> bool {
        self.check(key).is_allow()
    }
}

impl Keyed for PerKey<u64> {
    fn new(rate: Rate, max_keys: usize) -> Self {
        let limiter = PerKey::builder()
            .rate(rate.permits, rate.period)
            .burst(rate.burst)
            .eviction(throttle_net::Eviction::capacity(max_keys));
        limiter.build()
    }

    fn check(&self, key: u64) -> bool {
        self.try_acquire(&key)
    }
}
