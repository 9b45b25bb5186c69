//! The rate limiter without waiting: what it grants, refuses, and gives back, by a clock that the test moves.
#![cfg(not(shibuya_loom))]

use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use shibuya_ratelimit::{Denied, Quota, RateLimiter};
use tokio::time::{Instant, advance};

const MS: Duration = Duration::from_millis(1);
const NS: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn after(ms: u32) -> Result<(), Denied> {
    Err(Denied::RetryAfter(ms * MS))
}

#[tokio::test(start_paused = true)]
async fn a_burst_and_then_one_each_interval() {
    let limiter = RateLimiter::per_second(100).burst(3);
    for _ in 0..3 {
        assert_eq!(limiter.try_acquire(), Ok(()));
    }
    assert_eq!(limiter.try_acquire(), after(10));
    assert_eq!(limiter.try_acquire_n(2), after(20));
    advance(10 * MS).await;
    assert_eq!(limiter.try_acquire(), Ok(()));
    assert_eq!(limiter.try_acquire(), after(10));
    advance(DAY).await;
    assert_eq!(limiter.try_acquire_n(3), Ok(()));
    assert_eq!(limiter.try_acquire(), after(10));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_burst_is_an_error_of_its_own() {
    let limiter = RateLimiter::per_second(100).burst(3);
    let denied = limiter.try_acquire_n(4).unwrap_err();
    assert_eq!(denied, Denied::ExceedsBurst { asked: 4, burst: 3 });
    assert!(!denied.is_retryable() && denied.retry_after().is_none());
    assert_eq!(limiter.acquire_n(4).await, Err(denied));
    assert_eq!(limiter.reserve(4).unwrap_err(), denied);
    assert_eq!(limiter.snapshot().remaining, 3, "it took nothing");
}

#[tokio::test(start_paused = true)]
async fn with_debt_more_than_the_burst_passes_when_it_is_full_and_the_next_waits_for_it() {
    let limiter = RateLimiter::per_second(100).burst(3).debt();
    limiter.try_acquire().unwrap();
    assert_eq!(limiter.try_acquire_n(10), after(10));
    advance(10 * MS).await;
    limiter.try_acquire_n(10).unwrap();
    assert_eq!(limiter.try_acquire(), after(80));
}

#[tokio::test(start_paused = true)]
async fn none_are_always_granted() {
    let limiter = RateLimiter::per_second(1);
    limiter.try_acquire().unwrap();
    limiter.try_acquire_n(0).unwrap();
    limiter.acquire_n(0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn as_many_as_there_are() {
    let limiter = RateLimiter::per_second(100).burst(5);
    assert_eq!(limiter.try_acquire_up_to(3), Ok(3));
    assert_eq!(limiter.try_acquire_up_to(3), Ok(2));
    assert_eq!(limiter.try_acquire_up_to(3).map(drop), after(10));
    advance(20 * MS).await;
    assert_eq!(limiter.try_acquire_up_to(u32::MAX), Ok(2));
    limiter.pause_until(Instant::now() + 70 * MS);
    advance(60 * MS).await;
    assert_eq!(limiter.try_acquire_up_to(3).map(drop), after(10));
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_empty_begins_to_earn_at_its_first_use() {
    let limiter = RateLimiter::per_second(100).burst(5).starts_empty();
    advance(DAY).await;
    assert_eq!(limiter.try_acquire(), after(10));
    advance(50 * MS).await;
    assert_eq!(limiter.try_acquire_n(5), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_pause_lets_nothing_pass_and_the_latest_counts() {
    let limiter = RateLimiter::per_second(100).burst(2);
    let start = Instant::now();
    limiter.pause_until(start + 50 * MS);
    limiter.pause_until(start + 20 * MS);
    assert_eq!(limiter.try_acquire(), after(50));
    assert_eq!(limiter.try_acquire_barging(), after(50));
    advance(50 * MS).await;
    assert_eq!(limiter.try_acquire_n(2), Ok(()));
    limiter.pause_until(start + DAY);
    limiter.resume();
    assert_eq!(limiter.try_acquire(), after(10));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_rate_keeps_what_is_owed() {
    let limiter = RateLimiter::per_second(100).burst(4);
    limiter.try_acquire_n(4).unwrap();
    advance(15 * MS).await; // one and a half are earned
    limiter.set_rate(10, SECOND);
    assert_eq!(limiter.quota(), Quota::per_second(10).burst(4));
    assert_eq!(limiter.try_acquire(), Ok(()));
    assert_eq!(limiter.try_acquire(), after(50));
    limiter.set_rate(1000, SECOND);
    let RetryIn(half) = limiter.try_acquire().into();
    assert!(half >= 500 * 1000 * NS && half <= 500 * 1000 * NS + 2 * NS);
    limiter.set_burst(6); // two more than before
    assert_eq!(limiter.try_acquire_n(2), Ok(()));
    limiter.set_burst(1);
    assert!(limiter.try_acquire().unwrap_err().retry_after() > Some(5 * MS));
    limiter.set_quota(Quota::every(DAY).burst(7));
    assert_eq!(limiter.snapshot().remaining, 1);
}

struct RetryIn(Duration);

impl From<Result<(), Denied>> for RetryIn {
    fn from(denied: Result<(), Denied>) -> Self {
        Self(denied.unwrap_err().retry_after().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_taken_at_once_and_given_back_when_dropped() {
    let limiter = RateLimiter::per_second(100).burst(2);
    let start = Instant::now();
    let now = limiter.reserve(2).unwrap();
    assert_eq!(now.ready_at(), start);
    now.commit();
    let next = limiter.reserve(1).unwrap();
    assert_eq!(next.ready_at(), start + 10 * MS);
    let second = limiter.reserve(2).unwrap();
    assert_eq!(second.ready_at(), start + 30 * MS);
    assert_eq!(limiter.try_acquire(), after(40));
    drop(next); // what comes after it moves up, but for what was told its time
    assert_eq!(limiter.try_acquire(), after(30));
    second.commit();
    assert_eq!(limiter.try_acquire(), after(30));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_dropped_late_gives_back_only_what_is_not_earned_anyway() {
    let limiter = RateLimiter::per_second(100).burst(10);
    let unused = limiter.reserve(4).unwrap();
    advance(25 * MS).await; // two and a half of these four are earned
    limiter.try_acquire_n(8).unwrap();
    drop(unused);
    assert_eq!(limiter.try_acquire_n(2), Ok(()));
    assert_eq!(limiter.try_acquire(), after(10), "ten, and no more");
    let unused = limiter.reserve(1).unwrap();
    advance(DAY).await;
    limiter.try_acquire_n(10).unwrap();
    drop(unused);
    assert_eq!(limiter.try_acquire(), after(10), "it was earned long ago");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_given_back_at_the_rate_that_holds_then() {
    let limiter = RateLimiter::per_second(100).burst(4);
    let unused = limiter.reserve(2).unwrap();
    limiter.set_rate(10, SECOND);
    drop(unused);
    assert_eq!(limiter.try_acquire_n(4), Ok(()));
    assert_eq!(limiter.try_acquire(), after(100));
}

#[tokio::test(start_paused = true)]
async fn a_closed_one_grants_nothing() {
    let limiter = RateLimiter::per_second(100).burst(9);
    limiter.try_acquire().unwrap();
    limiter.close();
    assert!(limiter.is_closed());
    let closed = Err(Denied::Closed);
    assert_eq!(limiter.try_acquire(), closed);
    assert_eq!(limiter.try_acquire_barging(), closed);
    assert_eq!(limiter.try_acquire_up_to(2).map(drop), closed);
    assert_eq!(limiter.acquire().await, closed);
    assert_eq!(limiter.acquire_owned(1).await, closed);
    assert_eq!(limiter.reserve(1).map(drop), closed);
}

#[tokio::test(start_paused = true)]
async fn a_clone_is_the_same_limit() {
    let limiter = RateLimiter::per_second(100);
    let clone = limiter.clone();
    clone.try_acquire().unwrap();
    assert_eq!(limiter.try_acquire(), after(10));
    clone.set_burst(3);
    assert_eq!(limiter.snapshot().remaining, 2);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_how_it_stands() {
    let limiter = RateLimiter::per_second(100).burst(5);
    limiter.try_acquire_n(2).unwrap();
    let seen = limiter.snapshot();
    assert_eq!((seen.remaining, seen.waiters, seen.queued), (3, 0, 0));
    assert_eq!(seen.quota, Quota::per_second(100).burst(5));
    assert_eq!(seen.reset_after, 20 * MS);
    assert_eq!(seen.retry_after, Duration::ZERO);
    limiter.try_acquire_n(3).unwrap();
    assert_eq!(limiter.snapshot().retry_after, 10 * MS);
}

/// A clock that stands still grants the burst, and one that goes back grants nothing again.
#[tokio::test(start_paused = true)]
async fn a_clock_that_stalls_or_goes_back() {
    let limiter = RateLimiter::per_second(100).burst(3);
    let later = Instant::now() + SECOND;
    for _ in 0..3 {
        limiter.try_acquire_at(1, later).unwrap();
    }
    for _ in 0..1000 {
        limiter.try_acquire_at(1, later).unwrap_err();
    }
    let earlier = later - 500 * MS;
    assert_eq!(limiter.try_acquire_at(1, earlier), after(510));
    assert_eq!(limiter.try_acquire_at(1, later + 10 * MS), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_no_whole_nanoseconds_is_kept() {
    let limiter = RateLimiter::per_second(700_000_001).burst(1_000_000);
    let mut granted = 0_u64;
    for _ in 0..1000 {
        while limiter.try_acquire_n(1000).is_ok() {
            granted += 1000;
        }
        advance(MS).await;
    }
    let error = granted as f64 / 700_000_001.0 - 1.0;
    assert!((-0.001..0.002).contains(&error), "{error}");
}

/// In every window, what passes is at most the burst and what is earned in it.
fn assert_window_property(quota: Quota, grants: &[(Duration, u32)]) {
    let interval = quota.interval().as_nanos();
    for (i, (from, _)) in grants.iter().enumerate() {
        let mut passed = 0;
        for (to, n) in &grants[i..] {
            passed += u128::from(*n);
            let earned = (*to - *from).as_nanos() / interval;
            let most = u128::from(quota.burst_size()) + earned + 1; // the interval is rounded up here
            assert!(passed <= most, "{passed} in {:?} of {quota:?}", *to - *from);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Take(u32),
    UpTo(u32),
    Barge,
    /// Reserves and keeps it, or gives it back at once.
    Reserve(u32, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..3_000).prop_map(Step::Wait),
        (1_u32..12).prop_map(Step::Take),
        (1_u32..12).prop_map(Step::UpTo),
        Just(Step::Barge),
        ((1_u32..6), any::<bool>()).prop_map(|(n, keep)| Step::Reserve(n, keep)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn no_window_lets_more_pass(n in 1_u32..5_000, burst in 1_u32..10, steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let quota = Quota::per_second(n).burst(burst);
            let limiter = RateLimiter::new(quota);
            let start = Instant::now();
            let mut grants = Vec::new();
            for step in steps {
                let at = start.elapsed();
                let mut note = |n| grants.push((at, n));
                match step {
                    Step::Wait(tenths) => advance(quota.interval() * tenths / 1000).await,
                    Step::Take(n) => {
                        if limiter.try_acquire_n(n).is_ok() {
                            note(n);
                        }
                    }
                    Step::UpTo(n) => {
                        if let Ok(n) = limiter.try_acquire_up_to(n) {
                            note(n);
                        }
                    }
                    Step::Barge => {
                        if limiter.try_acquire_barging().is_ok() {
                            note(1);
                        }
                    }
                    Step::Reserve(n, keep) => {
                        if let Ok(reservation) = limiter.reserve(n) {
                            if keep {
                                let ready_at = reservation.ready_at() - start;
                                grants.push((ready_at, n));
                                reservation.commit();
                            }
                        }
                    }
                }
            }
            grants.sort_by_key(|&(at, _)| at);
            assert_window_property(quota, &grants);
        });
    }

    #[test]
    fn the_time_of_a_refusal_is_honest(n in 1_u32..2_000_000_000, burst in 1_u32..50, asked in 1_u32..50) {
        let quota = Quota::per_second(n).burst(burst);
        let limiter = || {
            let limiter = RateLimiter::new(quota);
            let now = Instant::now();
            while limiter.try_acquire_at(1, now).is_ok() {}
            (limiter, now)
        };
        let asked = asked.min(burst);
        let (early, now) = limiter();
        let Denied::RetryAfter(after) = early.try_acquire_at(asked, now).unwrap_err() else {
            panic!("it is a matter of time");
        };
        let early = early.try_acquire_at(asked, now + after - NS);
        prop_assert_eq!(early, Err(Denied::RetryAfter(NS)));
        let (late, now) = limiter();
        prop_assert_eq!(late.try_acquire_at(asked, now + after), Ok(()));
    }
}

/// On the real clock: two threads that ask as fast as they can get the burst and the rate between them, and not one more.
#[test]
fn two_threads_stay_below_the_ceiling() {
    const RATE: u32 = 20_000;
    const BURST: u32 = 50;
    let limiter = RateLimiter::per_second(RATE).burst(BURST);
    let start = Instant::now();
    let end = start + 300 * MS;
    let granted: u64 = thread::scope(|scope| {
        let threads = [(), ()].map(|()| {
            scope.spawn(|| {
                let mut granted = 0;
                while Instant::now() < end {
                    granted += u64::from(limiter.try_acquire().is_ok());
                }
                granted
            })
        });
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    let elapsed = start.elapsed().as_secs_f64();
    let ceiling = f64::from(BURST) + elapsed * f64::from(RATE);
    assert!(granted as f64 <= ceiling, "{granted} of {ceiling}");
    assert!(granted > u64::from(BURST), "it grants at all");
}
