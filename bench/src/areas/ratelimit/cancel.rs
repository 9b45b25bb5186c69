//! Most of a long queue goes away: what that costs, and whether those behind move up.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use ratelimit::Ratelimiter;
use shibuya_ratelimit::RateLimiter;
use throttle_net::Throttle;
use tokio::task::{JoinSet, yield_now};

use super::by_hand::{Nobody, Refilled, Slots};
use super::limiter::{Limiter, Rate, Wait, empty};
use super::peers::{Governor, LeakyBucket, LeakyBucketUnfair};
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};

const LEAVE: usize = 9_900;
const STAY: usize = 100;
const RATE: Rate = Rate::per_second(5_000);

const LEAVING: &str =
    "Abort 9,900 tasks that wait for a permit, before 100 that wait on; per aborted task.";
const STAYING: &str =
    "The same at 5,000 permits a second: from then until the 100 have theirs; per permit.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("cancel/leave", Threads::One, LEAVING)
            .max_rounds(7)
            .contender("bare task", LEAVE, |n| leave(n, Nobody))
            .contender("governor", LEAVE, waiting::<Governor>)
            .contender("leaky-bucket", LEAVE, waiting::<LeakyBucket>)
            .contender("leaky-bucket, unfair", LEAVE, waiting::<LeakyBucketUnfair>)
            .contender("ratelimit", LEAVE, waiting::<Ratelimiter>)
            .contender("throttle-net", LEAVE, waiting::<Throttle>)
            .contender("slots, sleep_until", LEAVE, waiting::<Slots>)
            .contender("Semaphore, refilled", LEAVE, waiting::<Refilled>)
            .contender("RateLimiter", LEAVE, waiting::<RateLimiter>),
        Case::new("cancel/behind", Threads::One, STAYING)
            .cold()
            .max_rounds(3)
            .contender("governor", STAY, behind::<Governor>)
            .contender("leaky-bucket", STAY, behind::<LeakyBucket>)
            .contender("leaky-bucket, unfair", STAY, behind::<LeakyBucketUnfair>)
            .contender("ratelimit", STAY, behind::<Ratelimiter>)
            .contender("throttle-net", STAY, behind::<Throttle>)
            .contender("slots, sleep_until", STAY, behind::<Slots>)
            .contender("Semaphore, refilled", STAY, behind::<Refilled>)
            .contender("RateLimiter", STAY, behind::<RateLimiter>),
    ]
}

async fn waiting<L: Limiter + Wait>(n: usize) -> Lap {
    leave(n, empty::<L>(Rate::hourly()).await).await
}

async fn leave(n: usize, limiter: impl Wait) -> Lap {
    let (mut leaving, _staying) = queue(n, limiter).await;
    let clock = Clock::start();
    leaving.abort_all();
    let mut left = 0;
    while let Some(end) = leaving.join_next().await {
        left += usize::from(end.is_err_and(|error| error.is_cancelled()));
    }
    clock.stop(left)
}

async fn behind<L: Limiter + Wait>(n: usize) -> Lap {
    let (mut leaving, mut staying) = queue(LEAVE, empty::<L>(RATE).await).await;
    let clock = Clock::start();
    leaving.shutdown().await;
    let mut served = 0;
    while let Some(end) = staying.join_next().await {
        served += usize::from(end.is_ok());
    }
    let lap = clock.stop(served);
    let ideal = lap.wall.div_duration_f64(RATE.time_for(n));
    lap.with(Extra::OverIdeal, ideal)
}

/// Those who will leave, and behind them those who will stay, once all of them wait.
async fn queue(leave: usize, limiter: impl Wait) -> (JoinSet<()>, JoinSet<()>) {
    let (limiter, waiting) = (Arc::new(limiter), Arc::new(AtomicUsize::new(0)));
    let (mut leaving, mut staying) = (JoinSet::new(), JoinSet::new());
    for i in 0..leave + STAY {
        let (limiter, waiting) = (Arc::clone(&limiter), Arc::clone(&waiting));
        let set = if i < leave {
            &mut leaving
        } else {
            &mut staying
        };
        set.spawn(async move {
            waiting.fetch_add(1, Relaxed);
            limiter.wait().await;
        });
    }
    while waiting.load(Relaxed) < leave + STAY {
        yield_now().await;
    }
    (leaving, staying)
}
