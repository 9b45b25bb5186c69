//! A long queue of tasks: how fast it gets shorter, what that costs, and who is served first.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use ratelimit::Ratelimiter;
use shibuya_ratelimit::RateLimiter;
use throttle_net::Throttle;
use tokio::task::JoinSet;

use super::by_hand::{Refilled, Slots};
use super::limiter::{Limiter, Rate, Wait, empty};
use super::peers::{Governor, GovernorJitter, LeakyBucket, LeakyBucketUnfair};
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};

const WAITERS: usize = 10_000;
const RATE: Rate = Rate::per_second(5_000);
const ABOUT: &str = "10,000 tasks that wait for one permit each, at 5,000 a second; per permit.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("drain", Threads::One, ABOUT)
            .cold()
            .max_rounds(2)
            .contender("governor", WAITERS, drain::<Governor>)
            .contender("governor, jitter", WAITERS, drain::<GovernorJitter>)
            .contender("leaky-bucket", WAITERS, drain::<LeakyBucket>)
            .contender("leaky-bucket, unfair", WAITERS, drain::<LeakyBucketUnfair>)
            .contender("ratelimit", WAITERS, drain::<Ratelimiter>)
            .contender("throttle-net", WAITERS, drain::<Throttle>)
            .contender("slots, sleep_until", WAITERS, drain::<Slots>)
            .contender("Semaphore, refilled", WAITERS, drain::<Refilled>)
            .contender("RateLimiter", WAITERS, drain::<RateLimiter>),
    ]
}

async fn drain<L: Limiter + Wait>(n: usize) -> Lap {
    let limiter = Arc::new(empty::<L>(RATE).await);
    let line = Arc::new(Line::default());
    let clock = Clock::start();
    let mut waiters = JoinSet::new();
    for _ in 0..n {
        let (limiter, line) = (Arc::clone(&limiter), Arc::clone(&line));
        waiters.spawn(async move {
            let ticket = line.ticket();
            limiter.wait().await;
            line.served(ticket);
        });
    }
    while waiters.join_next().await.is_some() {}
    let served = line.take();
    let lap = clock.stop(served.len());
    let ideal = lap.wall.div_duration_f64(RATE.time_for(n));
    lap.with(Extra::OverIdeal, ideal)
        .with(Extra::Overtaken, overtaken(&served) as f64)
}

/// Numbers those who come, and notes in which order they are served.
#[derive(Debug, Default)]
struct Line {
    came: AtomicUsize,
    served: Mutex<Vec<usize>>,
}

impl Line {
    fn ticket(&self) -> usize {
        self.came.fetch_add(1, Relaxed)
    }

    fn served(&self, ticket: usize) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.push(ticket);
    }

    fn take(&self) -> Vec<usize> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut served)
    }
}

/// How many were served after one with a later ticket.
fn overtaken(served: &[usize]) -> usize {
    let mut latest = 0;
    let behind = served.iter().filter(|&&ticket| {
        latest = latest.max(ticket);
        ticket < latest
    });
    behind.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_served_after_a_later_one_was_overtaken() {
        assert_eq!(overtaken(&[0, 1, 2, 3]), 0);
        assert_eq!(overtaken(&[3, 0, 1, 2]), 3);
        assert_eq!(overtaken(&[1, 0, 3, 2]), 2);
        assert_eq!(overtaken(&[]), 0);
    }
}
