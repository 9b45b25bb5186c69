//! What it takes to wait.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use ratelimit::Ratelimiter;
use shibuya_ratelimit::RateLimiter;
use throttle_net::Throttle;
use tokio::task::yield_now;

use super::by_hand::{Nobody, Refilled, Slots};
use super::limiter::{Limiter, Rate, Wait, empty};
use super::peers::{Governor, LeakyBucket, LeakyBucketUnfair};
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};
use crate::rss::{growth_kib, resident_kib};

const WAITERS: usize = 100_000;
const ABOUT: &str =
    "100,000 tasks that wait for a permit; per task. RSS is what stays while they do.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("parked", Threads::One, ABOUT)
            .cold()
            .max_rounds(3)
            .contender("bare task", WAITERS, |n| parked(n, Nobody))
            .contender("governor", WAITERS, waiting::<Governor>)
            .contender("leaky-bucket", WAITERS, waiting::<LeakyBucket>)
            .contender(
                "leaky-bucket, unfair",
                WAITERS,
                waiting::<LeakyBucketUnfair>,
            )
            .contender("ratelimit", WAITERS, waiting::<Ratelimiter>)
            .contender("throttle-net", WAITERS, waiting::<Throttle>)
            .contender("slots, sleep_until", WAITERS, waiting::<Slots>)
            .contender("Semaphore, refilled", WAITERS, waiting::<Refilled>)
            .contender("RateLimiter", WAITERS, waiting::<RateLimiter>),
    ]
}

async fn waiting<L: Limiter + Wait>(n: usize) -> Lap {
    parked(n, empty::<L>(Rate::hourly()).await).await
}

async fn parked(n: usize, limiter: impl Wait) -> Lap {
    let (limiter, waiting) = (Arc::new(limiter), Arc::new(AtomicUsize::new(0)));
    let before = resident_kib();
    let clock = Clock::start();
    for _ in 0..n {
        let (limiter, waiting) = (Arc::clone(&limiter), Arc::clone(&waiting));
        tokio::spawn(async move {
            waiting.fetch_add(1, Relaxed);
            limiter.wait().await;
        });
    }
    while waiting.load(Relaxed) < n {
        yield_now().await;
    }
    let lap = clock.stop(waiting.load(Relaxed));
    let growth = growth_kib(before);
    let each = growth.map(|kib| kib * 1024.0 / n as f64);
    lap.with(Extra::ResidentBytes, each)
}
