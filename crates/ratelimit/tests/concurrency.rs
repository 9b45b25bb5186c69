//! What a concurrency limit promises.
#![cfg(not(shibuya_loom))]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use shibuya_cancel::{CancelScope, deadline, timeout};
use shibuya_ratelimit::concurrency::{
    AcquirePermit, Algorithm, InvalidLimit, KeyedLimiter, Permit, Sample,
};
use shibuya_ratelimit::{Aimd, ConcurrencyLimiter, Denied, Gradient2, KeyedConcurrency, Vegas};
use tokio::time::{Instant, sleep};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

const MS: Duration = Duration::from_millis(1);

#[test]
fn who_asks_first_is_let_through_first_and_nobody_passes() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let held = limiter.try_acquire().unwrap();
    let [mut a, mut b] = [(); 2].map(|()| spawn(limiter.acquire()));
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    held.success();
    assert!(a.is_woken() && !b.is_woken());
    // The slot is a's, and b is before anybody else.
    let denied = limiter.try_acquire().unwrap_err();
    assert_eq!(denied, Denied::AtLimit { limit: 1 });
    assert_ready_ok!(a.poll()).overloaded();
    assert_ready_ok!(b.poll()).ignore();
    let seen = limiter.snapshot();
    let ends = (seen.succeeded, seen.overloaded, seen.ignored);
    assert_eq!((seen.granted, ends, seen.denied), (3, (1, 1, 1), 1));
    assert_eq!((seen.limit, seen.in_flight, seen.waiters), (1, 0, 0));
}

#[test]
fn a_slot_that_was_handed_over_and_not_looked_at_goes_on() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let held = limiter.try_acquire().unwrap();
    let [mut a, mut b] = [(); 2].map(|()| spawn(limiter.acquire()));
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    drop(held);
    drop(a);
    assert!(b.is_woken());
    drop(assert_ready_ok!(b.poll()));
    assert_eq!(limiter.snapshot().in_flight, 0);
}

#[test]
fn a_full_line_denies_at_once_and_has_room_again_when_one_is_served_or_leaves() {
    let limiter = ConcurrencyLimiter::fixed(1).max_waiters(1);
    let held = limiter.try_acquire().unwrap();
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| spawn(limiter.acquire()));
    assert_pending!(a.poll());
    let full = Denied::QueueFull { max_waiters: 1 };
    assert_eq!(assert_ready_err!(b.poll()), full);
    drop(held);
    // It has its slot and need not have looked.
    assert_pending!(c.poll());
    assert_eq!(assert_ready_err!(d.poll()), full);
    drop(c);
    let mut e = spawn(limiter.acquire());
    assert_pending!(e.poll());
    drop(assert_ready_ok!(a.poll()));
    drop(assert_ready_ok!(e.poll()));
    assert_eq!(limiter.snapshot().denied, 2);
}

#[test]
fn with_no_waiters_nobody_waits() {
    let limiter = ConcurrencyLimiter::fixed(1).max_waiters(0);
    let held = assert_ready_ok!(spawn(limiter.acquire()).poll());
    let denied = assert_ready_err!(spawn(limiter.acquire()).poll());
    assert_eq!(denied, Denied::QueueFull { max_waiters: 0 });
    drop(held);
    assert_ready_ok!(spawn(limiter.acquire()).poll()).success();
}

#[test]
fn a_higher_limit_lets_waiters_through_at_once_and_a_lower_one_takes_nothing_away() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let first = limiter.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| spawn(limiter.acquire()));
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    limiter.set_limit(3);
    assert_eq!(
        waiters.each_ref().map(|waiter| waiter.is_woken()),
        [true, true, false]
    );
    let [a, b, mut c] = waiters;
    let [a, b] = [a, b].map(|mut waiter| assert_ready_ok!(waiter.poll()));
    limiter.set_limit(1);
    let seen = limiter.snapshot();
    assert_eq!((seen.limit, seen.in_flight, seen.waiters), (1, 3, 1));
    drop(a);
    drop(b);
    assert_pending!(c.poll());
    drop(first);
    assert_ready_ok!(c.poll()).success();
}

#[test]
fn closing_denies_those_who_wait_and_those_who_come() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let held = limiter.try_acquire().unwrap();
    let mut waiter = spawn(limiter.acquire());
    assert_pending!(waiter.poll());
    limiter.close();
    assert!(waiter.is_woken() && limiter.is_closed());
    assert_eq!(assert_ready_err!(waiter.poll()), Denied::Closed);
    assert_eq!(limiter.try_acquire().unwrap_err(), Denied::Closed);
    let mut late = spawn(limiter.acquire());
    assert_eq!(assert_ready_err!(late.poll()), Denied::Closed);
    held.success();
    let seen = limiter.snapshot();
    assert_eq!((seen.in_flight, seen.succeeded, seen.denied), (0, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_its_time_is_over() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let held = limiter.acquire().await.unwrap();
    let start = Instant::now();
    let denied = limiter.acquire_within(20 * MS).await.unwrap_err();
    assert_eq!(denied, Denied::TimedOut { after: 20 * MS });
    assert_eq!(start.elapsed(), 20 * MS);
    let denied = limiter.acquire_within(Duration::ZERO).await.unwrap_err();
    assert_eq!(
        denied,
        Denied::TimedOut {
            after: Duration::ZERO
        }
    );
    assert_eq!(start.elapsed(), 20 * MS);
    let seen = limiter.snapshot();
    assert_eq!((seen.waiters, seen.denied), (0, 2));
    drop(held);
    // What is free is given whatever the time is.
    let free = limiter.acquire_within(Duration::ZERO).await;
    free.unwrap().success();
}

#[test]
fn who_has_no_time_needs_no_runtime() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let _held = limiter.try_acquire().unwrap();
    let denied = assert_ready_err!(spawn(limiter.acquire_within(Duration::ZERO)).poll());
    let after = Duration::ZERO;
    assert_eq!(denied, Denied::TimedOut { after });
    assert_eq!(limiter.snapshot().waiters, 0);
}

#[tokio::test(start_paused = true)]
async fn time_counts_from_the_first_poll() {
    let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
    let _held = limiter.acquire().await.unwrap();
    let waiter = limiter.acquire_owned_within(20 * MS);
    sleep(50 * MS).await;
    let start = Instant::now();
    assert!(waiter.await.is_err());
    assert_eq!(start.elapsed(), 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_a_deadline_that_nobody_enforces() {
    let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
    let _held = limiter.acquire().await.unwrap();
    let start = Instant::now();
    let scope = CancelScope::builder()
        .timeout(30 * MS)
        .grace(90 * MS)
        .build();
    let ended = scope.run(async {
        let denied = limiter.acquire().await.unwrap_err();
        assert_eq!(denied, Denied::TimedOut { after: 30 * MS });
        let denied = limiter.acquire().await.unwrap_err();
        assert_eq!(
            denied,
            Denied::TimedOut {
                after: Duration::ZERO
            }
        );
        start.elapsed()
    });
    let _ = ended.await;
    assert_eq!(start.elapsed(), 30 * MS, "it did not wait for its grace");
    assert_eq!(limiter.snapshot().denied, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cuts_ends_the_call_and_leaves_the_line() {
    let limiter = ConcurrencyLimiter::fixed(1);
    let held = limiter.acquire().await.unwrap();
    let start = Instant::now();
    assert!(timeout(30 * MS, limiter.acquire()).await.is_err());
    let within = deadline(start + 50 * MS, limiter.acquire_within(MS * 5)).await;
    let denied = within.unwrap().unwrap_err();
    assert_eq!(denied, Denied::TimedOut { after: 5 * MS });
    assert_eq!(start.elapsed(), 35 * MS);
    assert_eq!(limiter.snapshot().waiters, 0);
    drop(held);
    assert!(limiter.try_acquire().is_ok());
}

#[tokio::test]
async fn a_call_that_panics_or_is_dropped_frees_its_slot() {
    let limiter = Arc::new(ConcurrencyLimiter::adaptive(Aimd::default()));
    let other = limiter.clone();
    let call = tokio::spawn(async move {
        let _permit = other.acquire_owned().await.unwrap();
        panic!("a bug");
    });
    assert!(call.await.is_err());
    let seen = limiter.snapshot();
    assert_eq!((seen.in_flight, seen.ignored), (0, 1));
}

#[test]
fn an_algorithm_that_panics_keeps_no_slot() {
    #[derive(Debug)]
    struct Bug;

    impl Algorithm for Bug {
        fn limit(&self) -> usize {
            1
        }

        fn update(&mut self, _: Sample, _: Instant) -> usize {
            panic!("a bug")
        }
    }

    let limiter = ConcurrencyLimiter::adaptive(Bug);
    for _ in 0..3 {
        let permit = limiter.try_acquire().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| permit.success())).is_err());
    }
    assert_eq!(limiter.snapshot().in_flight, 0);
}

#[test]
fn an_adaptive_limit_that_grows_serves_waiters_at_once() {
    #[derive(Debug)]
    struct Doubles(usize);

    impl Algorithm for Doubles {
        fn limit(&self) -> usize {
            self.0
        }

        fn update(&mut self, sample: Sample, _: Instant) -> usize {
            assert_eq!(sample.in_flight, self.0);
            self.0 *= 2;
            self.0
        }
    }

    let limiter = ConcurrencyLimiter::adaptive(Doubles(2));
    let [a, _b] = [(); 2].map(|()| limiter.try_acquire().unwrap());
    let mut waiters = [(); 4].map(|()| spawn(limiter.acquire()));
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    a.success();
    let woken = waiters.each_ref().map(|waiter| waiter.is_woken());
    assert_eq!((limiter.limit(), woken), (4, [true, true, true, false]));
}

#[test]
fn impossible_numbers_say_what_would_be_right() {
    assert_eq!(
        ConcurrencyLimiter::try_fixed(0).unwrap_err(),
        InvalidLimit::Zero
    );
    let fixed = ConcurrencyLimiter::try_fixed(1).unwrap();
    assert_eq!(fixed.try_set_limit(0), Err(InvalidLimit::Zero));
    assert!(!fixed.is_adaptive());
    let adaptive = ConcurrencyLimiter::adaptive(Vegas::default());
    assert_eq!(adaptive.try_set_limit(5), Err(InvalidLimit::Adaptive));
    assert_eq!(
        InvalidLimit::Smoothing(2.0).to_string(),
        "the smoothing is 2: it must be above 0 and at most 1, such as 0.2"
    );
}

/// The line that a panic names.
fn panics_at<T>(wrong: impl FnOnce() -> T) -> u32 {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let place = Arc::new(Mutex::new(None));
    let seen = place.clone();
    let me = std::thread::current().id();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == me {
            let place = info.location().unwrap();
            *seen.lock().unwrap() = Some((place.file().to_owned(), place.line()));
        }
    }));
    let result = catch_unwind(AssertUnwindSafe(wrong));
    std::panic::set_hook(hook);
    assert!(result.is_err());
    let (file, line) = place.lock().unwrap().take().unwrap();
    assert!(file.ends_with("tests/concurrency.rs"), "{file}");
    line
}

#[test]
#[rustfmt::skip]
fn an_impossible_constant_panics_at_the_callers_line() {
    let fixed = ConcurrencyLimiter::fixed(1);
    let adaptive = ConcurrencyLimiter::adaptive(Aimd::default());
    assert_eq!(panics_at(|| ConcurrencyLimiter::fixed(0)), line!());
    assert_eq!(panics_at(|| fixed.set_limit(0)), line!());
    assert_eq!(panics_at(|| adaptive.set_limit(1)), line!());
    assert_eq!(panics_at(|| Gradient2::builder().tolerance(0.5).build()), line!());
    assert_eq!(panics_at(|| Vegas::builder().limits(0..=1).build()), line!());
    assert_eq!(panics_at(|| Aimd::builder().backoff(1.5).build()), line!());
    assert_eq!(panics_at(|| KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)).max_keys(0)), line!());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_limit_on_two_threads() {
    let limiter = Arc::new(ConcurrencyLimiter::fixed(3));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..16).map(|n| {
        let (limiter, inside, most) = (limiter.clone(), inside.clone(), most.clone());
        tokio::spawn(async move {
            for round in 0..300 {
                let permit = limiter.acquire().await.unwrap();
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                match (n + round) % 3 {
                    0 => permit.success(),
                    1 => permit.overloaded(),
                    _ => drop(permit),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let seen = limiter.snapshot();
    assert_eq!(
        (most.load(SeqCst), seen.in_flight, seen.granted),
        (3, 0, 16 * 300)
    );
    assert_eq!(
        seen.succeeded + seen.overloaded + seen.ignored,
        seen.granted
    );
}

#[tokio::test]
async fn a_key_with_a_fixed_limit_goes_with_its_last_user() {
    let keys = Arc::new(KeyedConcurrency::new(|_: &String| {
        ConcurrencyLimiter::fixed(1)
    }));
    let key = || String::from("k");
    let held = keys.acquire(key()).await.unwrap();
    assert_eq!(held.key(), "k");
    let other = keys.try_acquire_owned(String::from("other")).unwrap();
    let mut waiter = spawn(keys.acquire_owned(key()));
    assert_pending!(waiter.poll());
    let never_polled = keys.acquire_within(key(), MS);
    assert_eq!(keys.snapshot("k").unwrap().waiters, 1);
    assert_eq!(keys.len(), 2);
    drop((held, other));
    let permit: Permit<KeyedLimiter<Arc<_>, _>> = assert_ready_ok!(waiter.poll());
    permit.success();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys.snapshot("k").unwrap().ignored, 1);
    drop(never_polled);
    assert_eq!((keys.len(), keys.snapshot("k")), (0, None));
    assert!(format!("{keys:?}").starts_with("KeyedConcurrency { keys: 0, max_keys: 65536"));
}

#[tokio::test(start_paused = true)]
async fn the_waiters_of_a_key_honour_their_time() {
    let keys = Arc::new(KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)));
    let _held = keys.acquire_owned(1).await.unwrap();
    let denied = Denied::TimedOut { after: 5 * MS };
    assert_eq!(keys.acquire_within(1, 5 * MS).await.unwrap_err(), denied);
    let owned = keys.acquire_owned_within(1, 5 * MS);
    assert_eq!(owned.await.unwrap_err(), denied);
    assert_eq!(keys.snapshot(&1).unwrap().denied, 2);
}

#[tokio::test]
async fn a_limit_that_adapts_is_remembered_within_bounds() {
    let keys = KeyedConcurrency::new(|_: &u32| ConcurrencyLimiter::adaptive(Aimd::default()));
    let keys = keys.max_keys(32);
    let first = keys.acquire(0).await.unwrap();
    first.overloaded();
    assert_eq!(keys.snapshot(&0).unwrap().limit, 18);
    let held = keys.acquire(0).await.unwrap();
    for key in 1..10_000 {
        keys.acquire(key).await.unwrap().success();
        assert!(keys.len() <= 32);
    }
    assert_eq!(held.limiter().limit(), 18, "who is in use is not evicted");
    drop(held);
    let all: Vec<_> = (0..32).map(|key| keys.limiter(key).unwrap()).collect();
    let full = Denied::TooManyKeys {
        max_keys: 32,
        retry_after: None,
    };
    assert_eq!(keys.try_acquire(99).unwrap_err(), full);
    assert_eq!(keys.acquire(99).await.unwrap_err(), full);
    assert_eq!(keys.denied_keys(), 2);
    drop(all);
    assert!(keys.try_acquire(99).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_is_forgotten_when_others_come() {
    let keys = KeyedConcurrency::new(|_: &u32| ConcurrencyLimiter::adaptive(Aimd::default()));
    let keys = keys.idle_for(Duration::from_secs(60));
    for key in 0..1000 {
        drop(keys.acquire(key).await.unwrap());
    }
    sleep(Duration::from_secs(61)).await;
    for key in 1000..3000 {
        drop(keys.acquire(key).await.unwrap());
    }
    assert!(keys.len() <= 2000, "{}", keys.len());
    assert_eq!(keys.snapshot(&0), None);
}

#[tokio::test]
async fn keys_whose_destructor_comes_back_do_not_deadlock() {
    type Keys = KeyedConcurrency<Comes>;
    static KEYS: std::sync::OnceLock<Keys> = std::sync::OnceLock::new();

    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Comes(u32);

    impl Drop for Comes {
        fn drop(&mut self) {
            KEYS.get().unwrap().len();
        }
    }

    let keys = KEYS.get_or_init(|| {
        let make = |key: &Comes| match key.0 % 2 {
            0 => ConcurrencyLimiter::fixed(1),
            _ => ConcurrencyLimiter::adaptive(Aimd::default()),
        };
        KeyedConcurrency::new(make).max_keys(8)
    });
    for key in 0..100 {
        keys.acquire(Comes(key)).await.unwrap().success();
    }
    assert!(keys.len() <= 8);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Try,
    /// The one of those who wait, or look whether they have a slot.
    Poll(usize),
    Cancel(usize),
    /// The one of those who have a permit.
    End(usize),
    SetLimit(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask),
        2 => Just(Step::Try),
        4 => (0..9usize).prop_map(Step::Poll),
        3 => (0..9usize).prop_map(Step::Cancel),
        4 => (0..9usize).prop_map(Step::End),
        1 => (1..5usize).prop_map(Step::SetLimit),
    ];
    proptest::collection::vec(step, 0..200)
}

/// The same in a few words: who has a slot, and who waits.
#[derive(Default)]
struct Model {
    limit: usize,
    in_flight: usize,
    line: VecDeque<usize>,
    /// Those who were let through and haven't looked.
    granted: Vec<usize>,
}

impl Model {
    fn serve(&mut self) {
        while self.in_flight < self.limit {
            let Some(next) = self.line.pop_front() else {
                return;
            };
            self.in_flight += 1;
            self.granted.push(next);
        }
    }
}

const MAX_WAITERS: usize = 3;

proptest! {
    #[test]
    fn it_is_what_its_model_is(steps in steps()) {
        let limiter = ConcurrencyLimiter::fixed(2).max_waiters(MAX_WAITERS);
        let mut model = Model { limit: 2, ..Model::default() };
        let mut waiters: Vec<(usize, Spawn<AcquirePermit<_>>)> = Vec::new();
        let mut permits = Vec::new();
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Ask => {
                    let mut waiter = spawn(limiter.acquire());
                    let first = waiter.poll();
                    if model.line.is_empty() && model.in_flight < model.limit {
                        model.in_flight += 1;
                        permits.push(assert_ready_ok!(first));
                    } else if model.line.len() < MAX_WAITERS {
                        assert_pending!(first);
                        model.line.push_back(id);
                        waiters.push((id, waiter));
                    } else {
                        let full = Denied::QueueFull { max_waiters: MAX_WAITERS };
                        prop_assert_eq!(assert_ready_err!(first), full);
                    }
                }
                Step::Try => {
                    let free = model.line.is_empty() && model.in_flight < model.limit;
                    let tried = limiter.try_acquire();
                    prop_assert_eq!(tried.is_ok(), free);
                    model.in_flight += usize::from(free);
                    permits.extend(tried);
                }
                Step::Poll(nth) if !waiters.is_empty() => {
                    let nth = nth % waiters.len();
                    let (id, waiter) = &mut waiters[nth];
                    let polled = waiter.poll();
                    prop_assert_eq!(polled.is_ready(), model.granted.contains(id));
                    if polled.is_ready() {
                        model.granted.retain(|granted| granted != id);
                        permits.push(assert_ready_ok!(polled));
                        drop(waiters.remove(nth));
                    }
                }
                Step::Cancel(nth) if !waiters.is_empty() => {
                    let (id, _waiter) = waiters.remove(nth % waiters.len());
                    model.line.retain(|waits| *waits != id);
                    if model.granted.contains(&id) {
                        model.granted.retain(|granted| *granted != id);
                        model.in_flight -= 1;
                    }
                }
                Step::End(nth) if !permits.is_empty() => {
                    let permit: Permit<_> = permits.remove(nth % permits.len());
                    model.in_flight -= 1;
                    match id % 3 {
                        0 => permit.success(),
                        1 => permit.overloaded(),
                        _ => permit.ignore(),
                    }
                }
                Step::SetLimit(limit) => {
                    model.limit = limit;
                    limiter.set_limit(limit);
                }
                Step::Poll(_) | Step::Cancel(_) | Step::End(_) => {}
            }
            model.serve();
            let seen = limiter.snapshot();
            prop_assert_eq!(
                (seen.limit, seen.in_flight, seen.waiters),
                (model.limit, model.in_flight, model.line.len())
            );
            for (id, waiter) in &waiters {
                prop_assert!(waiter.is_woken() || !model.granted.contains(id));
            }
        }
    }

    /// Of each algorithm, whatever the calls tell: nobody is let in above the limit in force.
    #[test]
    fn nobody_is_let_in_above_a_limit_that_adapts(
        which in 0..3,
        steps in proptest::collection::vec((0..4u8, 0..50u64), 0..400),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async move {
            let limits = 1..=30;
            let limiter = match which {
                0 => ConcurrencyLimiter::adaptive(Gradient2::builder().limits(limits).probe_every(3).build()),
                1 => ConcurrencyLimiter::adaptive(Vegas::builder().limits(limits).probe_every(3).build()),
                _ => ConcurrencyLimiter::adaptive(Aimd::builder().limits(limits).build()),
            };
            let mut permits = VecDeque::new();
            for (step, time) in steps {
                match step {
                    0 => while let Ok(permit) = limiter.try_acquire() {
                        permits.push_back(permit);
                        let seen = limiter.snapshot();
                        assert!(seen.in_flight <= seen.limit && seen.limit <= 30);
                    },
                    1 => tokio::time::advance(Duration::from_millis(time)).await,
                    2 => for permit in permits.drain(..permits.len().min(time as usize)) {
                        permit.success();
                    },
                    _ => if let Some(permit) = permits.pop_front() {
                        permit.overloaded();
                    },
                }
                let seen = limiter.snapshot();
                assert_eq!(seen.in_flight, permits.len());
                assert!((1..=30).contains(&seen.limit));
            }
        });
    }
}
