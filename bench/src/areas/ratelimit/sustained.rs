//! How exactly a limit is kept in the long run, how evenly tasks share it, and what a permit costs.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ratelimit::Ratelimiter;
use shibuya_ratelimit::RateLimiter;
use throttle_net::Throttle;
use tokio::task::JoinSet;

use super::by_hand::{Refilled, Slots};
use super::limiter::{Limiter, Rate, Wait, empty};
use super::peers::{Governor, LeakyBucket, LeakyBucketUnfair};
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};

const ABOUT: &str = "Tasks that want as much as they can get, for a second or more, the burst being used up; per permit. \
     The name: permits a second, tasks.";
const BURST: &str = "The same with a burst of 100, which is used up before.";

const QUESTIONS: [(&str, u32, usize); 12] = [
    ("rate/100/1", 100, 1),
    ("rate/100/64", 100, 64),
    ("rate/100/100", 100, 100),
    ("rate/1k/1", 1_000, 1),
    ("rate/1k/64", 1_000, 64),
    ("rate/1k/100", 1_000, 100),
    ("rate/10k/1", 10_000, 1),
    ("rate/10k/64", 10_000, 64),
    ("rate/10k/100", 10_000, 100),
    ("rate/100k/1", 100_000, 1),
    ("rate/100k/64", 100_000, 64),
    ("rate/100k/100", 100_000, 100),
];

pub(super) fn cases() -> Vec<Case> {
    const SECOND: Duration = Duration::from_secs(1);
    let steady = QUESTIONS.map(|(name, rate, tasks)| {
        // Few permits show a small error only after a while.
        let (time, rounds) = if rate < 1_000 {
            (2 * SECOND, 2)
        } else {
            (SECOND, 3)
        };
        case(name, ABOUT, Rate::per_second(rate), tasks, time).max_rounds(rounds)
    });
    let rate = Rate::per_second(10_000).burst(100);
    let burst = case("rate/10k/100, burst", BURST, rate, 100, 3 * SECOND).max_rounds(3);
    steady.into_iter().chain([burst]).collect()
}

fn case(name: &'static str, about: &'static str, rate: Rate, tasks: usize, time: Duration) -> Case {
    let ideal = time.div_duration_f64(rate.interval()) as usize;
    Case::new(name, Threads::Two, about)
        .timed()
        .cold()
        .contender("governor", ideal, move |_| {
            sustained::<Governor>(rate, tasks, time)
        })
        .contender("leaky-bucket", ideal, move |_| {
            sustained::<LeakyBucket>(rate, tasks, time)
        })
        .contender("leaky-bucket, unfair", ideal, move |_| {
            sustained::<LeakyBucketUnfair>(rate, tasks, time)
        })
        .contender("ratelimit", ideal, move |_| {
            sustained::<Ratelimiter>(rate, tasks, time)
        })
        .contender("throttle-net", ideal, move |_| {
            sustained::<Throttle>(rate, tasks, time)
        })
        .contender("slots, sleep_until", ideal, move |_| {
            sustained::<Slots>(rate, tasks, time)
        })
        .contender("Semaphore, refilled", ideal, move |_| {
            sustained::<Refilled>(rate, tasks, time)
        })
        .contender("RateLimiter", ideal, move |_| {
            sustained::<RateLimiter>(rate, tasks, time)
        })
}

async fn sustained<L: Limiter + Wait>(rate: Rate, tasks: usize, time: Duration) -> Lap {
    let limiter = Arc::new(empty::<L>(rate).await);
    let tallies: Vec<_> = (0..tasks).map(|_| Arc::new(Tally::default())).collect();

    let clock = Clock::start();
    let began = Instant::now();
    let mut takers = JoinSet::new();
    for tally in &tallies {
        let (limiter, tally) = (Arc::clone(&limiter), Arc::clone(tally));
        takers.spawn(async move {
            loop {
                limiter.wait().await;
                tally.count(began.elapsed());
            }
        });
    }
    tokio::time::sleep(time).await;
    takers.shutdown().await;
    let all: u64 = granted(&tallies).sum();
    let lap = clock.stop(usize::try_from(all).expect("a lap is short"));
    lap.with(Extra::RateError, error(&tallies, rate))
        .with(Extra::Spread, spread(&tallies))
}

/// What one task got, written by that task alone.
#[derive(Debug, Default)]
struct Tally {
    granted: AtomicU64,
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

impl Tally {
    fn count(&self, at: Duration) {
        let at = u64::try_from(at.as_nanos()).expect("a lap is short");
        let before = self.granted.load(Relaxed);
        if before == 0 {
            self.first_ns.store(at, Relaxed);
        }
        self.last_ns.store(at, Relaxed);
        self.granted.store(before + 1, Relaxed);
    }
}

/// What each task got.
fn granted(tallies: &[Arc<Tally>]) -> impl Iterator<Item = u64> {
    tallies.iter().map(|tally| tally.granted.load(Relaxed))
}

/// In percent, from the first permit to the last: each after the first took its interval.
fn error(tallies: &[Arc<Tally>], rate: Rate) -> Option<f64> {
    let lucky = || tallies.iter().filter(|t| t.granted.load(Relaxed) > 0);
    let first = lucky().map(|tally| tally.first_ns.load(Relaxed)).min()?;
    let last = lucky().map(|tally| tally.last_ns.load(Relaxed)).max()?;
    let later = granted(tallies).sum::<u64>() - 1;
    let earned = Duration::from_nanos(last - first).div_duration_f64(rate.interval());
    (later > 0).then(|| (later as f64 / earned - 1.0) * 100.0)
}

/// In percent of what each ought to have; nothing to compare where there is but one.
fn spread(tallies: &[Arc<Tally>]) -> Option<f64> {
    let mean = granted(tallies).sum::<u64>() as f64 / tallies.len() as f64;
    let range = granted(tallies).max()? - granted(tallies).min()?;
    (tallies.len() > 1).then_some(range as f64 * 100.0 / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(granted: u64, first_ms: u64, last_ms: u64) -> Arc<Tally> {
        Arc::new(Tally {
            granted: granted.into(),
            first_ns: (first_ms * 1_000_000).into(),
            last_ns: (last_ms * 1_000_000).into(),
        })
    }

    #[test]
    fn the_error_is_that_of_the_time_between_the_first_and_the_last() {
        let rate = Rate::per_second(100);
        let tallies = [tally(51, 500, 1500), tally(50, 510, 1490), tally(0, 0, 0)];
        assert_eq!(error(&tallies, rate), Some(0.0));
        let tallies = [tally(46, 500, 1500), tally(45, 510, 1490)];
        assert!((error(&tallies, rate).unwrap() + 10.0).abs() < 1e-9);
        assert_eq!(error(&[tally(1, 500, 500)], rate), None);
        assert_eq!(error(&[tally(0, 0, 0)], rate), None);
    }

    #[test]
    fn the_spread_is_relative_to_the_mean() {
        let tallies = [tally(90, 0, 1), tally(100, 0, 1), tally(110, 0, 1)];
        assert_eq!(spread(&tallies), Some(20.0));
        assert_eq!(spread(&tallies[..1]), None);
    }
}
