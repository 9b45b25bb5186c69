//! What it costs to be one of so many at a time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use shibuya_ratelimit::ConcurrencyLimiter;
use throttle_net::{AdaptiveLimiter, Aimd};
use tokio::sync::Semaphore;

use crate::areas::threads::on_threads;
use crate::case::{Case, Threads};
use crate::meter::Lap;

const TIMES: usize = 500_000;
const LIMIT: usize = 64;
const ABOUT: &str = "Take a permit of 64, of which there are enough, and give it back, on one thread or two; per permit.";

pub(super) fn cases() -> Vec<Case> {
    let cases = [("concurrency/1", 1), ("concurrency/2", 2)].map(|(name, threads)| {
        Case::new(name, Threads::One, ABOUT)
            .contender("tokio Semaphore", TIMES, move |n| semaphore(threads, n))
            .contender("counter + CAS", TIMES, move |n| counter(threads, n))
            .contender("throttle-net, AIMD", TIMES, move |n| aimd(threads, n))
            .contender("ConcurrencyLimiter", TIMES, move |n| fixed(threads, n))
    });
    cases.into()
}

async fn semaphore(threads: usize, n: usize) -> Lap {
    let semaphore = Semaphore::new(LIMIT);
    on_threads(threads, n, || semaphore.try_acquire().is_ok()).await
}

/// The least that keeps a limit, with nobody who could wait.
async fn counter(threads: usize, n: usize) -> Lap {
    let taken = AtomicUsize::new(0);
    on_threads(threads, n, || {
        let next = |taken| (taken < LIMIT).then_some(taken + 1);
        let permit = taken.fetch_update(AcqRel, Acquire, next);
        taken.fetch_sub(1, Release);
        permit.is_ok()
    })
    .await
}

async fn aimd(threads: usize, n: usize) -> Lap {
    let limit = LIMIT as u32;
    let limiter = AdaptiveLimiter::builder()
        .initial(limit)
        .ceiling(limit)
        .build(Aimd::default());
    on_threads(threads, n, || {
        let permit = limiter.try_acquire();
        permit.map(|permit| permit.success()).is_some()
    })
    .await
}

async fn fixed(threads: usize, n: usize) -> Lap {
    let limiter = ConcurrencyLimiter::fixed(LIMIT);
    on_threads(threads, n, || limiter.try_acquire().is_ok()).await
}
