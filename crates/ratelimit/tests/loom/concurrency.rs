use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use shibuya_ratelimit::concurrency::{Algorithm, Outcome, Sample};
use shibuya_ratelimit::{ConcurrencyLimiter, Denied, KeyedConcurrency};
use tokio::time::Instant;

use crate::bounded;

#[test]
fn one_at_a_time_and_nobody_is_forgotten() {
    bounded(|| {
        let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let call = |limiter: &ConcurrencyLimiter, inside: &AtomicUsize| {
            let permit = block_on(limiter.acquire()).unwrap();
            assert_eq!(inside.fetch_add(1, Relaxed), 0);
            inside.fetch_sub(1, Relaxed);
            permit.success();
        };
        let (other, there) = (limiter.clone(), inside.clone());
        let thread = thread::spawn(move || call(&other, &there));
        call(&limiter, &inside);
        thread.join().unwrap();
        let seen = limiter.snapshot();
        assert_eq!((seen.in_flight, seen.succeeded, seen.waiters), (0, 2, 0));
    });
}

#[test]
fn a_slot_that_is_handed_to_one_who_leaves_is_not_lost() {
    bounded(|| {
        let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
        let held = limiter.try_acquire_owned().unwrap();
        let thread = thread::spawn(move || held.success());
        {
            let mut wait = pin!(limiter.acquire());
            let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        block_on(limiter.acquire()).unwrap().success();
        thread.join().unwrap();
        assert_eq!(limiter.snapshot().in_flight, 0);
    });
}

#[test]
fn no_more_wait_than_may() {
    bounded(|| {
        let limiter = Arc::new(ConcurrencyLimiter::fixed(1).max_waiters(1));
        let held = limiter.try_acquire_owned().unwrap();
        let ask = |limiter: &Arc<ConcurrencyLimiter>| {
            let mut wait = Box::pin(limiter.acquire_owned());
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            (polled, wait)
        };
        let other = limiter.clone();
        let thread = thread::spawn(move || ask(&other));
        let (here, _wait) = ask(&limiter);
        let (there, _other) = thread.join().unwrap();
        let denied = [here, there]
            .iter()
            .filter(|polled| polled.is_ready())
            .count();
        assert_eq!((denied, limiter.snapshot().waiters), (1, 1));
        drop(held);
    });
}

#[test]
fn closing_meets_one_who_comes() {
    bounded(|| {
        let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
        let _held = limiter.try_acquire_owned().unwrap();
        let other = limiter.clone();
        let thread = thread::spawn(move || other.close());
        assert_eq!(block_on(limiter.acquire()).unwrap_err(), Denied::Closed);
        thread.join().unwrap();
    });
}

#[test]
fn a_limit_that_grows_lets_one_through_who_comes_meanwhile() {
    #[derive(Debug)]
    struct Grows(usize);

    impl Algorithm for Grows {
        fn limit(&self) -> usize {
            self.0
        }

        fn update(&mut self, sample: Sample, _: Instant) -> usize {
            assert_eq!(sample.outcome, Outcome::Success);
            self.0 += 1;
            self.0
        }
    }

    bounded(|| {
        let limiter = Arc::new(ConcurrencyLimiter::adaptive(Grows(1)));
        let held = limiter.try_acquire_owned().unwrap();
        let other = limiter.clone();
        let thread = thread::spawn(move || {
            let _stays = block_on(other.acquire()).unwrap();
            block_on(other.acquire()).unwrap().ignore();
        });
        held.success();
        thread.join().unwrap();
        assert_eq!((limiter.limit(), limiter.snapshot().in_flight), (2, 0));
    });
}

#[test]
fn the_last_of_two_takes_a_key_along() {
    bounded(|| {
        let keys = Arc::new(KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)));
        let inside = Arc::new(AtomicUsize::new(0));
        let call = |keys: &KeyedConcurrency<u8>, inside: &AtomicUsize| {
            let permit = block_on(keys.acquire(1)).unwrap();
            assert_eq!(inside.fetch_add(1, Relaxed), 0, "two limiters for a key");
            inside.fetch_sub(1, Relaxed);
            permit.success();
        };
        let (other, there) = (keys.clone(), inside.clone());
        let thread = thread::spawn(move || {
            call(&other, &there);
            call(&other, &there);
        });
        call(&keys, &inside);
        thread.join().unwrap();
        assert!(keys.is_empty());
    });
}
