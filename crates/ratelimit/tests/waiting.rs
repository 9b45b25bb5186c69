//! Waiting for one's turn: the order, the time, and what becomes of those who leave.
#![cfg(not(shibuya_loom))]

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;
use shibuya_cancel::{CancelScope, timeout};
use shibuya_ratelimit::{Denied, Quota, RateLimiter};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep_until};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};

const MS: Duration = Duration::from_millis(1);

/// When each came through, in order, for tasks that all began to wait at the same time.
async fn come_through(
    limiter: &RateLimiter,
    asks: impl IntoIterator<Item = u32>,
) -> Vec<(usize, u128)> {
    let start = Instant::now();
    let came = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for (i, n) in asks.into_iter().enumerate() {
        let (turn, came) = (limiter.acquire_owned(n), came.clone());
        tasks.spawn(async move {
            turn.await.unwrap();
            came.lock().unwrap().push((i, start.elapsed().as_millis()));
        });
        yield_now().await;
    }
    while tasks.join_next().await.is_some() {}
    let came = came.lock().unwrap();
    came.clone()
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_is_served_first_and_in_time() {
    let limiter = RateLimiter::per_second(100).burst(2);
    let came = come_through(&limiter, [1; 6]).await;
    assert_eq!(came, [(0, 0), (1, 0), (2, 10), (3, 20), (4, 30), (5, 40)]);
}

#[tokio::test(start_paused = true)]
async fn a_small_request_does_not_pass_a_large_one() {
    let limiter = RateLimiter::per_second(100).burst(5);
    let came = come_through(&limiter, [4, 5, 1, 2]).await;
    assert_eq!(came, [(0, 0), (1, 40), (2, 50), (3, 70)]);
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait_unless_they_barge_in() {
    let limiter = RateLimiter::per_second(100).burst(5);
    limiter.try_acquire_n(5).unwrap();
    let mut waits = spawn(limiter.acquire_n(5));
    assert_pending!(waits.poll());
    advance(20 * MS).await;
    // Two are there. They are for who waits.
    assert_eq!(limiter.try_acquire(), Err(Denied::RetryAfter(40 * MS)));
    assert_eq!(
        limiter.reserve(1).map(drop),
        Err(Denied::RetryAfter(40 * MS))
    );
    assert_eq!(limiter.snapshot().remaining, 0);
    limiter.try_acquire_barging().unwrap();
    advance(30 * MS).await;
    yield_now().await;
    assert_pending!(waits.poll());
    advance(10 * MS).await;
    yield_now().await;
    assert_ready_ok!(waits.poll());
    assert_eq!(limiter.try_acquire(), Err(Denied::RetryAfter(10 * MS)));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_lets_those_behind_move_up() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let mut waits: Vec<_> = (0..4).map(|_| spawn(limiter.acquire())).collect();
    for wait in &mut waits {
        assert_pending!(wait.poll());
    }
    assert_eq!(limiter.snapshot().retry_after, 50 * MS);
    drop(waits.remove(2));
    assert_eq!(limiter.snapshot().retry_after, 40 * MS);
    drop(waits.remove(0)); // the head
    for wait in &mut waits {
        assert_pending!(wait.poll());
        advance(10 * MS).await;
        yield_now().await;
        assert!(wait.is_woken());
        assert_ready_ok!(wait.poll());
    }
}

/// A large request that leaves lets a small one in whose time had come already.
#[tokio::test(start_paused = true)]
async fn a_head_that_leaves_wakes_the_next_at_once() {
    let limiter = RateLimiter::per_second(100).burst(5);
    limiter.try_acquire_n(5).unwrap();
    let mut large = spawn(limiter.acquire_n(5));
    let mut small = spawn(limiter.acquire());
    assert_pending!(large.poll());
    assert_pending!(small.poll());
    advance(20 * MS).await;
    assert!(!small.is_woken());
    drop(large);
    assert!(small.is_woken());
    assert_ready_ok!(small.poll());
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_and_never_seen_goes_to_the_next() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let mut first = spawn(limiter.acquire());
    let mut second = spawn(limiter.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    advance(10 * MS).await;
    yield_now().await;
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_ready_ok!(second.poll());
    assert_eq!(limiter.try_acquire(), Err(Denied::RetryAfter(10 * MS)));
}

#[tokio::test(start_paused = true)]
async fn a_full_line_turns_away() {
    let limiter = RateLimiter::per_second(100).max_waiters(1);
    limiter.try_acquire().unwrap();
    let mut first = spawn(limiter.acquire());
    assert_pending!(first.poll());
    let full = Err(Denied::QueueFull { max_waiters: 1 });
    assert_eq!(limiter.acquire().await, full);
    drop(first);
    limiter.acquire().await.unwrap();
    let nobody = RateLimiter::per_second(100).max_waiters(0);
    nobody.acquire().await.unwrap();
    assert_eq!(
        nobody.acquire().await,
        Err(Denied::QueueFull { max_waiters: 0 })
    );
    assert_eq!(nobody.try_acquire(), Err(Denied::RetryAfter(10 * MS)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_after_the_deadline_is_not_waited_for() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let mut ahead = spawn(limiter.acquire_n(1));
    assert_pending!(ahead.poll());
    let start = Instant::now();
    let hopeless = |remaining: u32| {
        Err(Denied::Hopeless {
            needs: 20 * MS,
            remaining: remaining * MS,
        })
    };
    assert_eq!(limiter.acquire_within(1, 19 * MS).await, hopeless(19));
    assert_eq!(timeout(5 * MS, limiter.acquire()).await, Ok(hopeless(5)));
    let scope = CancelScope::builder().timeout(15 * MS).build();
    let inside = scope.run(async { limiter.acquire_within(1, 50 * MS).await });
    assert_eq!(inside.await, Ok(hopeless(15)));
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waited");
    assert_eq!(limiter.acquire_within(1, 20 * MS).await, Ok(()));
    assert_eq!(start.elapsed(), 20 * MS);
    assert_ready_ok!(ahead.poll());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_became_longer_ends_at_its_time() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let start = Instant::now();
    let mut waits = spawn(limiter.acquire_within(1, 30 * MS));
    assert_pending!(waits.poll());
    limiter.set_rate(1, Duration::from_secs(1));
    assert_eq!(waits.await, Err(Denied::TimedOut { after: 30 * MS }));
    assert_eq!(start.elapsed(), 30 * MS);
    assert_eq!(limiter.snapshot().waiters, 0);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_timed_anew() {
    let limiter = RateLimiter::every(Duration::from_secs(1))
        .burst(3)
        .slack(Duration::ZERO);
    limiter.try_acquire_n(3).unwrap();
    let start = Instant::now();
    let elapsed = || start.elapsed().as_millis();
    let mut waits = spawn(limiter.acquire_n(1));
    assert_pending!(waits.poll());
    limiter.set_rate(100, Duration::from_secs(1));
    waits.await.unwrap();
    assert_eq!(elapsed(), 10);

    let mut waits = spawn(limiter.acquire_n(3));
    assert_pending!(waits.poll());
    limiter.set_burst(4); // one more at once
    waits.await.unwrap();
    assert_eq!(elapsed(), 30);

    let mut waits = spawn(limiter.acquire_n(1));
    assert_pending!(waits.poll());
    limiter.pause_until(start + 100 * MS);
    waits.await.unwrap();
    assert_eq!(elapsed(), 100);

    limiter.pause_until(start + Duration::from_secs(1));
    let mut waits = spawn(limiter.acquire_n(1));
    assert_pending!(waits.poll());
    limiter.resume();
    waits.await.unwrap();
    assert_eq!(elapsed(), 100);

    limiter.acquire_n(3).await.unwrap();
    let reservation = limiter.reserve(4).unwrap();
    let mut waits = spawn(limiter.acquire_n(1));
    assert_pending!(waits.poll());
    drop(reservation);
    waits.await.unwrap();
    assert_eq!(elapsed(), 120);

    let mut waits = spawn(limiter.acquire_n(3));
    assert_pending!(waits.poll());
    limiter.set_burst(2);
    let exceeds = Denied::ExceedsBurst { asked: 3, burst: 2 };
    assert_eq!(waits.await, Err(exceeds));
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_all_who_wait() {
    let limiter = RateLimiter::per_second(1);
    limiter.try_acquire().unwrap();
    let mut waits: Vec<_> = (0..3).map(|_| spawn(limiter.acquire())).collect();
    for wait in &mut waits {
        assert_pending!(wait.poll());
    }
    limiter.close();
    for wait in waits {
        assert_eq!(wait.await, Err(Denied::Closed));
    }
    assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
}

/// A limit that has been at rest grants its burst and nothing for the time before.
#[tokio::test(start_paused = true)]
async fn slack_is_not_for_a_limit_at_rest() {
    let limiter = RateLimiter::per_second(1000).slack(3 * MS);
    limiter.acquire().await.unwrap();
    advance(500 * MS).await;
    limiter.acquire().await.unwrap();
    let start = Instant::now();
    limiter.acquire().await.unwrap();
    assert_eq!(start.elapsed(), MS);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_static_limiter_outlives_its_runtimes() {
    static LIMITER: RateLimiter = RateLimiter::per_second(200);
    for _ in 0..5 {
        let runtime = runtime();
        runtime.block_on(async {
            for _ in 0..3 {
                LIMITER.acquire().await.unwrap();
            }
        });
        // Some wait when it ends.
        for _ in 0..3 {
            runtime.spawn(LIMITER.acquire());
        }
        runtime.block_on(yield_now());
        drop(runtime);
        assert_eq!(LIMITER.snapshot().waiters, 0);
    }
    runtime().block_on(LIMITER.acquire()).unwrap();
}

/// The alarm of one that ended, or that nobody drives, keeps nobody waiting in another.
#[test]
fn a_runtime_that_stands_still_keeps_nobody_of_another_waiting() {
    for ends in [true, false] {
        let limiter = RateLimiter::every(5 * MS);
        limiter.try_acquire().unwrap();
        let standing = runtime();
        // It waits at the head, in a runtime that is not driven any more.
        let _head = standing.spawn(limiter.acquire_owned(1));
        standing.block_on(yield_now());
        assert_eq!(limiter.snapshot().waiters, 1);
        let other = runtime();
        let mut waits = Box::pin(limiter.acquire());
        other.block_on(async {
            assert_pending!(
                waits
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(Waker::noop()))
            );
        });
        if ends {
            standing.shutdown_background();
        }
        other.block_on(waits).unwrap();
    }
}

#[test]
fn to_wait_outside_of_a_runtime_panics_and_harms_nobody() {
    let limiter = RateLimiter::every(5 * MS);
    let mut first = spawn(limiter.acquire());
    assert_ready_ok!(first.poll()); // who need not wait needs none
    let mut second = spawn(limiter.acquire());
    let panics = std::panic::AssertUnwindSafe(|| second.poll());
    std::panic::catch_unwind(panics).unwrap_err();
    drop(second);
    assert_eq!(limiter.snapshot().waiters, 0);
    runtime().block_on(limiter.acquire()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_keeps_the_limit() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let waits = limiter.acquire_owned(1);
    drop(limiter);
    waits.await.unwrap();
}

/// For who is not polled any more, as the loser of a `select!` that somebody keeps, nobody has to wait.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_polled_stops_nobody() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let mut idle = spawn(limiter.acquire());
    assert_pending!(idle.poll());
    let start = Instant::now();
    limiter.acquire().await.unwrap();
    assert_eq!(start.elapsed(), 20 * MS);
    assert_ready_ok!(idle.poll());
}

#[derive(Clone, Debug)]
enum Event {
    Come(u32),
    Leave(usize),
    Pass(u32),
}

proptest! {
    /// Against a model: a list of who waits, in order, each served as soon as GCRA lets it.
    #[test]
    fn the_line_is_served_as_in_the_model(
        events in prop::collection::vec(
            prop_oneof![
                3 => (1_u32..5).prop_map(Event::Come),
                1 => (0_usize..20).prop_map(Event::Leave),
                2 => (1_u32..40).prop_map(Event::Pass),
            ],
            1..60,
        ),
    ) {
        const BURST: u32 = 4;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let limiter = RateLimiter::new(Quota::every(10 * MS).burst(BURST)).slack(Duration::ZERO);
            let mut now = 0_u32; // in ms
            let mut tat = 0_i64;
            let mut waiting: Vec<(u32, _)> = Vec::new();
            let mut head_since = 0_i64;
            let start = Instant::now();
            for event in events {
                match event {
                    Event::Come(n) => {
                        let mut turn = spawn(limiter.acquire_n(n));
                        if turn.poll().is_pending() {
                            if waiting.is_empty() {
                                head_since = now.into();
                            }
                            waiting.push((n, turn));
                        } else {
                            assert!(waiting.is_empty(), "it passed somebody");
                            tat = tat.max(now.into()) + 10 * i64::from(n);
                            assert!(tat - 10 * i64::from(BURST) <= now.into());
                        }
                    }
                    Event::Leave(i) if !waiting.is_empty() => {
                        let i = i % waiting.len();
                        let _ = waiting.remove(i);
                        if i == 0 {
                            head_since = now.into();
                        }
                    }
                    Event::Leave(_) => {}
                    Event::Pass(ms) => {
                        now += ms;
                        sleep_until(start + now * MS).await;
                        yield_now().await;
                    }
                }
                while let Some(&(n, _)) = waiting.first() {
                    let n = i64::from(n);
                    let at = head_since.max(tat + 10 * (n - i64::from(BURST)));
                    if at > now.into() {
                        break;
                    }
                    tat = tat.max(at) + 10 * n;
                    head_since = at;
                    let mut turn = waiting.remove(0).1;
                    assert!(turn.is_woken(), "its turn has come");
                    assert_ready_ok!(turn.poll());
                }
                for (_, turn) in &mut waiting {
                    assert!(!turn.is_woken(), "its turn has not come");
                }
                assert_eq!(limiter.snapshot().waiters, waiting.len());
            }
        });
    }
}
