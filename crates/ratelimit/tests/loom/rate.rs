use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use ::loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use ::loom::thread;
use shibuya_ratelimit::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::bounded;

const INTERVAL: Duration = Duration::from_secs(3600);
const HOUR: Quota = Quota::every(INTERVAL);

/// A clock that each reading moves on by half an interval.
struct Clock {
    start: Instant,
    readings: AtomicU32,
}

impl Clock {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            readings: AtomicU32::new(0),
        })
    }

    fn now(&self) -> Instant {
        self.start + INTERVAL / 2 * self.readings.fetch_add(1, SeqCst)
    }

    /// How many a burst of one has let pass by now at the most.
    fn most(&self) -> u32 {
        1 + (self.readings.load(SeqCst) - 1) / 2
    }
}

#[test]
fn two_who_ask_while_the_clock_advances_get_no_more_than_is_earned() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR);
        let clock = Clock::new();
        let ask = |limiter: &RateLimiter, clock: &Clock| {
            let granted = |_: &i32| limiter.try_acquire_at(1, clock.now()).is_ok();
            (0..2).filter(granted).count() as u32
        };
        let (other, others_clock) = (limiter.clone(), clock.clone());
        let thread = thread::spawn(move || ask(&other, &others_clock));
        let granted = ask(&limiter, &clock) + thread.join().unwrap();
        assert!(granted >= 1 && granted <= clock.most(), "{granted}");
    });
}

#[test]
fn what_is_given_back_can_be_had_once() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR);
        let reservation = limiter.reserve(1).unwrap();
        let other = limiter.clone();
        let thread = thread::spawn(move || other.try_acquire().is_ok());
        drop(reservation);
        let there = u32::from(thread.join().unwrap()) + u32::from(limiter.try_acquire().is_ok());
        assert_eq!(there, 1);
    });
}

#[test]
fn a_change_of_the_quota_loses_no_charge() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR.burst(3));
        let other = limiter.clone();
        let thread = thread::spawn(move || other.try_acquire_n(2).is_ok());
        limiter.set_rate(1000, INTERVAL);
        limiter.set_quota(HOUR.burst(4));
        let here = limiter.try_acquire_up_to(4).unwrap_or(0);
        let there = 2 * u32::from(thread.join().unwrap());
        // A while later: a thread whose clock reading is younger than that of the change owes for the time between, at another rate.
        let now = Instant::now() + INTERVAL / 10;
        let left = (0..5).filter(|_: &u32| limiter.try_acquire_at(1, now).is_ok());
        assert_eq!(here + there + left.count() as u32, 4);
    });
}

/// The slot of the quota before is read by a refund, and written by the next change.
#[test]
fn a_refund_after_a_change_is_right_while_the_next_change_is_made() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR.burst(4));
        let reservation = limiter.reserve(2).unwrap();
        limiter.set_quota(HOUR.burst(3));
        let other = limiter.clone();
        let changing = thread::spawn(move || {
            // A year for each, of which what is owed by then is next to nothing.
            other.set_quota(Quota::every(365 * 24 * INTERVAL).burst(3));
        });
        drop(reservation);
        let came_first = limiter.quota().interval() == INTERVAL;
        changing.join().unwrap();
        // Who comes second is too late: two changes lie between.
        assert!(!came_first || limiter.snapshot().remaining == 3);
    });
}

struct Flag(AtomicU32);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Polls it once, and again if it was woken. Gives whether it was served.
fn polled_twice(limiter: &RateLimiter, meanwhile: impl FnOnce()) -> bool {
    let flag = Arc::new(Flag(AtomicU32::new(0)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    let mut turn = Box::pin(limiter.acquire());
    if turn.as_mut().poll(&mut cx).is_ready() {
        meanwhile();
        return true;
    }
    meanwhile();
    flag.0.load(SeqCst) > 0 && turn.as_mut().poll(&mut cx).is_ready()
}

#[test]
fn who_comes_to_wait_while_it_is_given_back_is_woken() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR);
        let reservation = limiter.reserve(1).unwrap();
        let thread = thread::spawn(move || drop(reservation));
        let served = polled_twice(&limiter, || thread.join().unwrap());
        assert!(served, "it waits for what is there");
    });
}

#[test]
fn who_waits_is_not_passed() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR);
        let reservation = limiter.reserve(1).unwrap();
        let other = limiter.clone();
        let passing = thread::spawn(move || other.try_acquire().is_ok());
        let mut passed = false;
        let served = polled_twice(&limiter, || {
            drop(reservation);
            passed = passing.join().unwrap();
        });
        // Before it came to wait there was nothing, and after that it was before everybody.
        assert!(served && !passed);
    });
}

#[test]
fn of_two_who_leave_none_takes_anything_along() {
    bounded(|| {
        let limiter = RateLimiter::new(HOUR);
        let reservation = limiter.reserve(1).unwrap();
        let other = limiter.clone();
        let leaving = thread::spawn(move || {
            let mut turn = Box::pin(other.acquire());
            let _ = turn
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .map(|granted| granted.map(drop));
        });
        drop(reservation);
        leaving.join().unwrap();
        let snapshot = limiter.snapshot();
        assert_eq!(snapshot.waiters, 0);
    });
}
