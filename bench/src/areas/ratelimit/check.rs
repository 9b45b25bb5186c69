//! What it costs to be told yes or no.

use better_bucket::Bucket;
use ratelimit::Ratelimiter;
use shibuya_ratelimit::RateLimiter;
use throttle_net::Throttle;

use super::by_hand::Slots;
use super::limiter::{Check, Limiter, Rate};
use super::peers::{Governor, GovernorInstant, LeakyBucket, LeakyBucketUnfair};
use crate::areas::threads::on_threads;
use crate::case::{Case, Threads};
use crate::meter::Lap;

const TIMES: usize = 500_000;
const ALLOW: &str = "Ask a limiter that has enough, on one thread or two; per yes.";
const DENY: &str = "Ask a limiter that has none left, on one thread or two; per no.";

pub(super) fn cases() -> Vec<Case> {
    let allow = [("allow/1", 1), ("allow/2", 2)].map(|(name, threads)| {
        Case::new(name, Threads::One, ALLOW)
            .contender("Instant + CAS", TIMES, move |n| allow::<Slots>(threads, n))
            .contender("governor", TIMES, move |n| allow::<Governor>(threads, n))
            .contender("governor, Instant", TIMES, move |n| {
                allow::<GovernorInstant>(threads, n)
            })
            .contender("ratelimit", TIMES, move |n| {
                allow::<Ratelimiter>(threads, n)
            })
            .contender("better-bucket", TIMES, move |n| allow::<Bucket>(threads, n))
            .contender("throttle-net", TIMES, move |n| {
                allow::<Throttle>(threads, n)
            })
            .contender("leaky-bucket", TIMES, move |n| {
                allow::<LeakyBucket>(threads, n)
            })
            .contender("leaky-bucket, unfair", TIMES, move |n| {
                allow::<LeakyBucketUnfair>(threads, n)
            })
            .contender("RateLimiter", TIMES, move |n| {
                allow::<RateLimiter>(threads, n)
            })
    });
    let deny = [("deny/1", 1), ("deny/2", 2)].map(|(name, threads)| {
        Case::new(name, Threads::One, DENY)
            .contender("Instant + CAS", TIMES, move |n| deny::<Slots>(threads, n))
            .contender("governor", TIMES, move |n| deny::<Governor>(threads, n))
            .contender("governor, Instant", TIMES, move |n| {
                deny::<GovernorInstant>(threads, n)
            })
            .contender("ratelimit", TIMES, move |n| deny::<Ratelimiter>(threads, n))
            .contender("better-bucket", TIMES, move |n| deny::<Bucket>(threads, n))
            .contender("throttle-net", TIMES, move |n| deny::<Throttle>(threads, n))
            .contender("leaky-bucket", TIMES, move |n| {
                deny::<LeakyBucket>(threads, n)
            })
            .contender("leaky-bucket, unfair", TIMES, move |n| {
                deny::<LeakyBucketUnfair>(threads, n)
            })
            .contender("RateLimiter", TIMES, move |n| {
                deny::<RateLimiter>(threads, n)
            })
    });
    allow.into_iter().chain(deny).collect()
}

async fn allow<L: Limiter + Check>(threads: usize, n: usize) -> Lap {
    const PLENTY: u32 = 2 * TIMES as u32;
    let limiter = L::new(Rate::per_second(PLENTY).burst(PLENTY));
    on_threads(threads, n, || limiter.check()).await
}

async fn deny<L: Limiter + Check>(threads: usize, n: usize) -> Lap {
    let limiter = L::new(Rate::hourly());
    assert!(limiter.check(), "the first one may pass");
    on_threads(threads, n, || !limiter.check()).await
}
