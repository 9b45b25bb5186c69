//! What was wrong once, found by looking for it.
#![cfg(not(shibuya_loom))]

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use shibuya_ratelimit::{Denied, Full, Keyed, Quota, RateLimiter, SlidingWindow};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, timeout};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[tokio::test(start_paused = true)]
async fn reservations_made_in_a_pause_keep_to_the_rate_after_it() {
    let limiter = RateLimiter::per_second(100);
    let start = Instant::now();
    limiter.pause_until(start + SEC);
    let reserved: Vec<_> = (0..20).map(|_| limiter.reserve(1).unwrap()).collect();
    let at_the_end = |r: &&shibuya_ratelimit::Reservation| r.ready_at() <= start + SEC;
    assert_eq!(reserved.iter().filter(at_the_end).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_behind_others_in_a_pause_is_known_to_come_later() {
    let limiter = RateLimiter::per_second(100);
    limiter.pause_until(Instant::now() + SEC);
    let mut ahead: Vec<_> = (0..5).map(|_| spawn(limiter.acquire())).collect();
    for wait in &mut ahead {
        assert_pending!(wait.poll());
    }
    assert_eq!(limiter.snapshot().retry_after, SEC + 50 * MS);
    let vain = limiter.acquire_within(1, SEC + 40 * MS).await;
    assert!(matches!(vain, Err(Denied::Hopeless { .. })), "{vain:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_earned_again_is_not_given_back_however_many_refunds() {
    let limiter = RateLimiter::every(SEC).burst(100);
    let mut held: Vec<_> = (0..100).map(|_| limiter.reserve(1).unwrap()).collect();
    held.drain(..50); // 50 s are owed now, for the other 50
    advance(50 * SEC).await; // and now they are earned
    assert_eq!(limiter.snapshot().remaining, 100);
    limiter.try_acquire_n(100).unwrap();
    drop(held);
    assert_eq!(limiter.snapshot().remaining, 0, "a second burst at once");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_comes_back_however_often_the_quota_changed() {
    let limiter = RateLimiter::every(SEC).burst(10);
    let reservation = limiter.reserve(10).unwrap();
    limiter.set_rate(2, SEC);
    limiter.set_rate(1, SEC);
    drop(reservation);
    assert_eq!(limiter.snapshot().remaining, 10);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_of_eight_changes_ago_is_not_taken_for_one_of_now() {
    let limiter = RateLimiter::every(Duration::from_secs(3600));
    let reservation = limiter.reserve(1).unwrap();
    for _ in 0..8 {
        limiter.set_quota(Quota::every(SEC));
    }
    advance(100 * SEC).await; // it was earned long ago
    limiter.try_acquire().unwrap();
    drop(reservation);
    assert!(limiter.try_acquire().is_err(), "two at once");
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_stays_owed_if_it_is_more_than_32_bits() {
    let limiter = RateLimiter::per_second(1_000_000).burst(u32::MAX);
    for _ in 0..3 {
        limiter.reserve(u32::MAX).unwrap().commit();
    }
    let before = limiter.snapshot().reset_after;
    limiter.set_rate(1_000_000, SEC);
    let after = limiter.snapshot().reset_after;
    assert!(after >= before, "{before:?} became {after:?}");
}

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a bad waker");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_strands_nobody() {
    let limiter = RateLimiter::per_second(100);
    limiter.try_acquire().unwrap();
    let mut first = Box::pin(limiter.acquire());
    let bad = Waker::from(Arc::new(Bad));
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&bad))
            .is_pending()
    );
    let mut second = spawn(limiter.acquire());
    assert_pending!(second.poll());
    advance(20 * MS).await;
    yield_now().await;
    advance(10 * SEC).await;
    yield_now().await;
    assert!(second.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_as_another_leaves_strands_nobody() {
    let limiter = RateLimiter::every(SEC).burst(100);
    limiter.try_acquire_n(100).unwrap();
    let mut large = spawn(limiter.acquire_n(100));
    assert_pending!(large.poll());
    advance(SEC).await;
    let mut small = Box::pin(limiter.acquire());
    let bad = Waker::from(Arc::new(Bad));
    assert!(
        small
            .as_mut()
            .poll(&mut Context::from_waker(&bad))
            .is_pending()
    );
    let mut last = spawn(limiter.acquire());
    assert_pending!(last.poll());
    let left = catch_unwind(AssertUnwindSafe(|| drop(large)));
    assert!(left.is_err(), "the panic is passed on");
    advance(2 * SEC).await;
    yield_now().await;
    assert!(last.is_woken(), "its turn came after a second");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_pause_without_an_end_is_timed_when_it_ends() {
    let limiter = RateLimiter::per_second(100).slack(Duration::ZERO);
    limiter.try_acquire().unwrap();
    let (mut first, mut second) = (spawn(limiter.acquire()), spawn(limiter.acquire()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    limiter.pause_until(Instant::now() + 1000 * YEAR);
    advance(20 * MS).await; // the alarm rings, and is set to never
    yield_now().await;
    limiter.resume();
    assert!(first.is_woken());
    advance(10 * SEC).await;
    yield_now().await;
    assert!(second.is_woken());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_longer_than_the_timers_reach_is_served() {
    let limiter = RateLimiter::per_second(100);
    limiter.pause_until(Instant::now() + 11 * YEAR);
    let served = timeout(12 * YEAR, limiter.acquire()).await;
    // `timeout` polls once more at its end.
    served.unwrap().unwrap();
    let mut waits = spawn(limiter.acquire());
    limiter.pause_until(Instant::now() + 11 * YEAR);
    assert_pending!(waits.poll());
    for _ in 0..12 {
        advance(YEAR).await;
        yield_now().await;
    }
    assert!(waits.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_closed_limit_has_nobody_in_line() {
    let limiter = RateLimiter::per_second(1);
    limiter.try_acquire().unwrap();
    let mut wait = spawn(limiter.acquire());
    assert_pending!(wait.poll());
    limiter.close();
    drop(wait);
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.waiters, snapshot.queued), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn up_to_none_takes_none() {
    let limiter = RateLimiter::per_second(1);
    assert_ne!(limiter.try_acquire_up_to(0), Ok(1), "one is more than none");
}

#[tokio::test(start_paused = true)]
async fn the_time_behind_a_line_is_exact_for_fast_rates() {
    // 10 GB/s: 6.4 units each.
    let limiter = RateLimiter::new(Quota::per(10, Duration::from_nanos(1)).burst(2_000_000_000));
    limiter.try_acquire_n(2_000_000_000).unwrap();
    let mut wait = spawn(limiter.acquire_n(2_000_000_000));
    assert_pending!(wait.poll());
    let after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(after <= 201 * MS, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_of_centuries_does_not_overflow() {
    let window = SlidingWindow::new(1, Duration::from_nanos(u64::MAX));
    window.try_acquire().unwrap();
    assert!(window.try_acquire().unwrap_err().retry_after() > Some(YEAR));
}

/// Panics when it is cloned too often.
struct Brittle {
    n: u32,
    clones: Arc<AtomicU32>,
}

impl Brittle {
    fn new(n: u32) -> Self {
        let clones = Arc::new(AtomicU32::new(u32::MAX / 2));
        Self { n, clones }
    }
}

impl Clone for Brittle {
    fn clone(&self) -> Self {
        assert!(self.clones.fetch_sub(1, SeqCst) > 0, "no more clones");
        let clones = self.clones.clone();
        Self { n: self.n, clones }
    }
}

impl PartialEq for Brittle {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Brittle {}

impl Hash for Brittle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.n.hash(state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_clone_panicked_is_good_afterwards() {
    for left in 0..4 {
        let limit = Keyed::new(Quota::per_second(100));
        let key = Brittle::new(7);
        limit.try_acquire(&key).unwrap();
        key.clones.store(1 + left, SeqCst); // one for the future itself
        let mut wait = Box::pin(limit.acquire(&key));
        let mut cx = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| wait.as_mut().poll(&mut cx).is_ready()));
        key.clones.store(u32::MAX / 2, SeqCst);
        drop(wait);
        let again = catch_unwind(AssertUnwindSafe(|| limit.try_acquire(&key)));
        assert!(
            matches!(again, Ok(Err(Denied::RetryAfter(_)))),
            "after {left} clones ({polled:?}): {:?}",
            again.map_err(drop)
        );
        advance(SEC).await;
        assert!(limit.try_acquire(&key).is_ok());
        advance(SEC).await;
        for other in 0..1000 {
            let _ = limit.try_acquire(&Brittle::new(100 + other));
        }
        advance(SEC).await;
        for other in 0..1000 {
            let _ = limit.try_acquire(&Brittle::new(5000 + other));
        }
        limit.forget(&key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_clone_panicked_while_it_was_waited_for_can_be_forgotten() {
    let limit = Keyed::new(Quota::per_second(100));
    let key = Brittle::new(7);
    limit.try_acquire(&key).unwrap();
    let mut wait = spawn(limit.acquire(&key));
    assert_pending!(wait.poll());
    key.clones.store(0, SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| limit.try_acquire(&key)));
    assert!(panicked.is_err());
    key.clones.store(u32::MAX / 2, SeqCst);
    drop(wait);
    limit.forget(&key); // nobody waits
    assert_eq!(limit.len(), 0);
}

#[derive(Clone)]
struct Loud(u32, Option<Arc<Keyed<Loud>>>);

impl PartialEq for Loud {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Loud {}

impl Hash for Loud {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        if let Some(limit) = &self.1 {
            limit.len();
        }
    }
}

#[test]
fn a_key_may_use_the_limit_when_it_is_dropped() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let limit = Arc::new(Keyed::new(Quota::per_second(1)).max_keys(1));
        limit.try_acquire(&Loud(1, Some(limit.clone()))).unwrap();
        limit.try_acquire(&Loud(2, None)).unwrap(); // takes the place of the other
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(5 * SEC)
        .expect("it is locked for ever");
}

#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!()
    }

    fn write_u32(&mut self, n: u32) {
        self.0 = n.into();
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_keys_as_there_may_be_fit_whatever_the_hasher() {
    let hasher = BuildHasherDefault::<Identity>::default();
    let limit = Keyed::with_hasher(Quota::every(3600 * SEC), hasher)
        .max_keys(1 << 14)
        .on_full(Full::Deny);
    for key in 0..1_u32 << 13 {
        assert_eq!(limit.try_acquire(&key), Ok(()), "{key}");
    }
}

/// "What a key owes is a time, and stays that time when its quota is another one."
#[tokio::test(start_paused = true)]
async fn what_a_key_owes_stays_that_time_whether_somebody_waits_or_not() {
    for waits in [false, true] {
        let slow = Arc::new(AtomicBool::new(false));
        let is_slow = slow.clone();
        let limit = Keyed::new(Quota::every(SEC).burst(3)).quota_for(move |_: &u32| {
            let interval = if is_slow.load(SeqCst) { 10 * SEC } else { SEC };
            Some(Quota::every(interval).burst(3))
        });
        limit.try_acquire_n(&7, 3).unwrap();
        let mut wait = spawn(limit.acquire(&7));
        if waits {
            assert_pending!(wait.poll());
        }
        slow.store(true, SeqCst);
        limit.try_acquire_n(&7, 3).unwrap_err();
        // Who waited is let through then, for an interval of ten seconds.
        let owed = if waits { 13 * SEC } else { 3 * SEC };
        assert_eq!(limit.snapshot(&7).reset_after, owed, "waits: {waits}");
    }
}

/// Nobody is in line any more, and what was granted and not looked at comes back as late as that.
#[tokio::test(start_paused = true)]
async fn turns_that_were_never_looked_at_make_no_second_burst() {
    let limiter = RateLimiter::every(SEC).burst(100).slack(Duration::ZERO);
    limiter.try_acquire_n(100).unwrap();
    let mut waits: Vec<_> = (0..100).map(|_| spawn(limiter.acquire())).collect();
    for wait in &mut waits {
        assert_pending!(wait.poll());
    }
    advance(100 * SEC).await;
    yield_now().await;
    assert!(waits.iter().all(|wait| wait.is_woken()));
    waits.drain(..50);
    advance(50 * SEC).await;
    limiter.try_acquire_n(100).unwrap();
    drop(waits);
    assert_eq!(limiter.snapshot().remaining, 0);
}

/// In a window's sum at the end of a pause, too.
#[tokio::test(start_paused = true)]
async fn a_reservation_given_back_in_a_pause_leaves_the_others_their_time() {
    let limiter = RateLimiter::per_second(100).burst(2);
    let start = Instant::now();
    limiter.pause_until(start + SEC);
    let first = limiter.reserve(2).unwrap();
    let second = limiter.reserve(1).unwrap();
    assert_eq!(first.ready_at(), start + SEC);
    assert_eq!(second.ready_at(), start + SEC + 10 * MS);
    drop(first);
    let third = limiter.reserve(1).unwrap();
    assert_eq!(third.ready_at(), start + SEC);
}

/// Polled in one runtime, and then in another; the first is gone.
#[test]
fn a_wait_that_was_moved_to_another_runtime_goes_on() {
    let limiter = RateLimiter::every(50 * MS);
    limiter.try_acquire().unwrap();
    let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
    let (old, new) = (runtime(), runtime());
    let mut wait = Box::pin(limiter.acquire());
    old.block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
    });
    drop(old);
    new.block_on(async { timeout(5 * SEC, wait).await })
        .unwrap()
        .unwrap();
}

/// A waiter is stranded if its bell is taken down by who found the line empty a moment before it came.
#[test]
fn who_comes_as_the_last_one_leaves_has_a_bell() {
    const ROUNDS: u32 = 20_000;
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let limiter = RateLimiter::per_second(100).slack(Duration::ZERO);
    let (barrier, turn) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let leaver = {
        let (limiter, turn, over) = (limiter.clone(), turn.clone(), over.clone());
        let (barrier, handle) = (barrier.clone(), runtime.handle().clone());
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let mut round = 0;
            loop {
                barrier.wait();
                if over.load(SeqCst) {
                    return;
                }
                round += 1;
                let mut wait = Box::pin(limiter.acquire());
                let mut cx = Context::from_waker(Waker::noop());
                assert!(wait.as_mut().poll(&mut cx).is_pending());
                turn.store(round, SeqCst);
                for _ in 0..round % 64 {
                    std::hint::spin_loop();
                }
                drop(wait);
                barrier.wait();
            }
        })
    };
    let stranded = runtime.block_on(async {
        let mut stranded = 0;
        for round in 1..=u64::from(ROUNDS) {
            while limiter.try_acquire().is_ok() {}
            barrier.wait();
            while turn.load(SeqCst) < round {
                std::hint::spin_loop();
            }
            for _ in 0..round / 64 % 64 {
                std::hint::spin_loop();
            }
            let mut wait = spawn(limiter.acquire());
            assert_pending!(wait.poll());
            barrier.wait();
            advance(10 * MS).await;
            yield_now().await;
            if !wait.is_woken() {
                advance(SEC).await;
                yield_now().await;
                stranded += u32::from(!wait.is_woken());
            }
            if stranded > 0 {
                eprintln!("round {round}");
                break;
            }
        }
        stranded
    });
    over.store(true, SeqCst);
    barrier.wait();
    leaver.join().unwrap();
    assert_eq!(stranded, 0);
}

/// Tokio calls the waker of a timer that is about to ring from within its poll, and that is under the alarm's lock.
#[test]
fn to_set_the_alarm_as_it_rings_locks_nobody_out() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let limiter = RateLimiter::every(Duration::from_micros(400)).slack(Duration::ZERO);
    let (done, is_done) = mpsc::channel();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || {
        let _entered = handle.enter();
        let mut waits: VecDeque<Pin<Box<_>>> = VecDeque::new();
        let mut cx = Context::from_waker(Waker::noop());
        let start = Instant::now();
        for i in 0_u32.. {
            while waits.len() < 2 {
                let mut wait = Box::pin(limiter.acquire_owned(1));
                if wait.as_mut().poll(&mut cx).is_pending() {
                    waits.push_back(wait);
                }
            }
            limiter.set_rate(1, Duration::from_micros(400 + u64::from(i % 2)));
            if waits[0].as_mut().poll(&mut cx).is_ready() {
                waits.pop_front();
            }
            if start.elapsed() > 2 * SEC {
                break;
            }
        }
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(60 * SEC);
    std::mem::forget(runtime); // which a thread that hangs would not let end
    ended.expect("something is locked for ever");
}
