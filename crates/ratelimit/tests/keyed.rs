//! A limit for each key: that each is like a limiter of its own, and that memory stays below the cap.
#![cfg(not(shibuya_loom))]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use shibuya_ratelimit::{Denied, Full, Keyed, Quota, RateLimiter};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};

const MS: Duration = Duration::from_millis(1);

fn keyed() -> Keyed<u32> {
    Keyed::new(Quota::per_second(100).burst(2))
}

fn after(ms: u32) -> Result<(), Denied> {
    Err(Denied::RetryAfter(ms * MS))
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own() {
    let keyed = keyed();
    for key in 0..1000 {
        keyed.try_acquire(&key).unwrap();
        keyed.try_acquire_n(&key, 1).unwrap();
    }
    for key in 0..1000 {
        assert_eq!(keyed.try_acquire(&key), after(10));
    }
    assert_eq!(keyed.len(), 1000);
    let exceeds = Denied::ExceedsBurst { asked: 3, burst: 2 };
    assert_eq!(keyed.try_acquire_n(&5000, 3), Err(exceeds));
    assert_eq!(keyed.len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_have_a_quota_of_its_own_that_changes() {
    let interval = Arc::new(AtomicU32::new(10));
    let shared = interval.clone();
    let keyed = keyed().quota_for(move |key| match key {
        0 => Some(Quota::every(shared.load(Relaxed) * MS).burst(4)),
        _ => None,
    });
    keyed.try_acquire_n(&0, 4).unwrap();
    keyed.try_acquire_n(&1, 2).unwrap();
    assert_eq!(keyed.try_acquire(&0), after(10));
    interval.store(5, Relaxed);
    // It owes 40 ms still, of which a burst is 20 now.
    assert_eq!(keyed.try_acquire(&0), after(25));
    assert_eq!(keyed.quota(&0).interval(), 5 * MS);
    assert_eq!(keyed.try_acquire(&1), after(10));
    interval.store(20, Relaxed);
    assert_eq!(keyed.snapshot(&0).remaining, 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_key_are_served_in_turn_and_the_key_is_a_word_again() {
    let keyed = keyed();
    keyed.try_acquire_n(&7, 2).unwrap();
    let mut waits: Vec<_> = (0..3).map(|_| spawn(keyed.acquire(&7))).collect();
    for wait in &mut waits {
        assert_pending!(wait.poll());
    }
    assert_eq!(keyed.snapshot(&7).waiters, 3);
    assert_eq!(keyed.try_acquire(&7), after(40), "it passes nobody");
    assert_eq!(keyed.try_acquire(&8), Ok(()), "another key");
    let dropped = waits.remove(1);
    drop(dropped);
    for wait in &mut waits {
        advance(10 * MS).await;
        yield_now().await;
        assert_ready_ok!(wait.poll());
    }
    drop(waits);
    let seen = keyed.snapshot(&7);
    assert_eq!((seen.waiters, seen.remaining), (0, 0));
    assert_eq!(keyed.try_acquire(&7), after(10));
    advance(10 * MS).await;
    assert_eq!(keyed.try_acquire(&7), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_with_a_limit_and_a_line_with_a_limit() {
    let keyed = keyed().max_waiters(1);
    keyed.try_acquire_n(&7, 2).unwrap();
    let hopeless = Denied::Hopeless {
        needs: 10 * MS,
        remaining: 9 * MS,
    };
    assert_eq!(keyed.acquire_within(&7, 1, 9 * MS).await, Err(hopeless));
    let mut first = spawn(keyed.acquire(&7));
    assert_pending!(first.poll());
    let full = Denied::QueueFull { max_waiters: 1 };
    assert_eq!(keyed.acquire(&7).await, Err(full));
    assert_eq!(first.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_owes_nothing_makes_room() {
    let keyed = keyed().max_keys(100).on_full(Full::Deny);
    for key in 0..100 {
        keyed.try_acquire(&key).unwrap();
    }
    let denied = keyed.try_acquire(&100).unwrap_err();
    let full = Denied::TooManyKeys {
        max_keys: 100,
        retry_after: Some(10 * MS),
    };
    assert_eq!(denied, full);
    assert_eq!(denied.retry_after(), Some(10 * MS));
    keyed.try_acquire(&50).unwrap(); // those that are there go on
    advance(10 * MS).await;
    for key in 100..199 {
        keyed.try_acquire(&key).unwrap();
    }
    assert_eq!(keyed.try_acquire(&199).unwrap_err(), denied);
    assert_eq!(keyed.try_acquire(&50), Ok(()), "it was kept: it owed one");
    assert_eq!(keyed.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn when_all_owe_something_the_one_that_owes_least_is_forgotten() {
    let keyed = keyed().max_keys(10);
    for key in 0..10 {
        keyed.try_acquire_n(&key, 2).unwrap();
        advance(100_000 * Duration::from_nanos(1)).await;
    }
    keyed.try_acquire(&10).unwrap();
    assert_eq!(keyed.len(), 10);
    assert_eq!(
        keyed.try_acquire_n(&0, 2),
        Ok(()),
        "the first was forgotten"
    );
    assert!(keyed.try_acquire_n(&9, 2).is_err(), "the last was not");
}

/// A key that somebody waits for is not forgotten, whatever comes.
#[tokio::test(start_paused = true)]
async fn who_is_waited_for_stays() {
    for on_full in [Full::Deny, Full::EvictLeastDebt] {
        let keyed = keyed().max_keys(1).on_full(on_full);
        keyed.try_acquire_n(&7, 2).unwrap();
        let mut waits = spawn(keyed.acquire(&7));
        assert_pending!(waits.poll());
        assert!(keyed.try_acquire(&8).unwrap_err().is_retryable());
        keyed.forget(&7);
        assert_eq!(keyed.try_acquire(&7), after(20));
        waits.await.unwrap();
        keyed.forget(&7);
        assert_eq!(keyed.try_acquire(&8), Ok(()));
    }
}

#[test]
#[should_panic(expected = "before it is cloned")]
fn a_clone_can_be_set_up_no_more() {
    let keyed = keyed();
    let _clone = keyed.clone();
    let _ = keyed.max_keys(5);
}

#[test]
#[should_panic(expected = "room for at least 1 key")]
fn a_cap_of_zero() {
    let _ = keyed().max_keys(0);
}

/// On the real clock: threads that share keys, some of them waiting, get no more than the ceiling between them.
#[test]
fn threads_stay_below_the_ceiling_of_each_key() {
    const RATE: u32 = 2_000;
    const KEYS: u32 = 4;
    let keyed = Keyed::new(Quota::per_second(RATE).burst(5));
    let start = Instant::now();
    let end = start + 300 * MS;
    let count = |wait: bool| {
        let keyed = keyed.clone();
        move || {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut granted = [0_u64; KEYS as usize];
                let mut key = 0;
                while Instant::now() < end {
                    key = (key + 1) % KEYS;
                    let passed = match wait {
                        true => keyed.acquire(&key).await.is_ok(),
                        false => keyed.try_acquire(&key).is_ok(),
                    };
                    granted[key as usize] += u64::from(passed);
                }
                granted
            })
        }
    };
    let threads = [count(true), count(false), count(true)].map(thread::spawn);
    let granted = threads.map(|thread| thread.join().unwrap());
    // Those who wait have 3 ms of slack.
    let most = 5.0 + f64::from(RATE) * (start.elapsed().as_secs_f64() + 0.003);
    for key in 0..KEYS as usize {
        let all: u64 = granted.iter().map(|of| of[key]).sum();
        assert!(all as f64 <= most && all > 5, "{all} of {most}");
    }
    assert!(keyed.len() <= KEYS as usize);
    assert!((0..KEYS).all(|key| keyed.snapshot(&key).waiters == 0));
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u32),
    Take(u32, u32),
}

proptest! {
    /// Each key is as a limiter of its own: what makes room for others never owed anything.
    #[test]
    fn eviction_loses_nothing(
        events in prop::collection::vec(
            prop_oneof![
                1 => (1_u32..30).prop_map(Event::Pass),
                4 => (0_u32..40, 1_u32..4).prop_map(|(key, n)| Event::Take(key, n)),
            ],
            1..400,
        ),
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            const MAX: usize = 8;
            let quota = Quota::per_second(100).burst(3);
            let keyed = Keyed::new(quota).max_keys(MAX).on_full(Full::Deny);
            let mut model: HashMap<u32, RateLimiter> = HashMap::new();
            for event in events {
                match event {
                    Event::Pass(ms) => advance(ms * MS).await,
                    Event::Take(key, n) => {
                        let owes = |limiter: &RateLimiter| !limiter.snapshot().reset_after.is_zero();
                        let others = model.iter().filter(|(k, limiter)| **k != key && owes(limiter));
                        let others = others.count();
                        let limiter = model.entry(key).or_insert_with(|| RateLimiter::new(quota));
                        let seen = keyed.try_acquire_n(&key, n);
                        if let Err(Denied::TooManyKeys { .. }) = seen {
                            assert_eq!(others, MAX, "there is room");
                            assert!(!owes(limiter), "it is known");
                        } else {
                            assert_eq!(seen, limiter.try_acquire_n(n));
                        }
                        assert!(keyed.len() <= MAX);
                    }
                }
            }
        });
    }
}
