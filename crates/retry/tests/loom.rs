//! The budget and the breaker, in every order in which threads can meet:
//! `RUSTFLAGS="--cfg shibuya_loom" cargo test --release -p shibuya-retry --test loom`
#![cfg(shibuya_loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use shibuya_retry::{Breaker, BreakerState, Budget, Cost};

/// All orders with up to three preemptions: the rest take minutes.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn two_who_ask_get_no_more_than_there_is() {
    bounded(|| {
        let budget = Arc::new(Budget::ratio(0.0).burst(1).min_per_sec(0));
        let other = budget.clone();
        let spend = |budget: &Budget| match budget.try_withdraw(Cost::Error) {
            Some(granted) => {
                granted.spend();
                1
            }
            None => 0,
        };
        let thread = thread::spawn(move || spend(&other));
        let here = spend(&budget);
        assert_eq!(here + thread.join().unwrap(), 1);
    });
}

#[test]
fn what_is_given_back_and_paid_in_is_all_there() {
    bounded(|| {
        let budget = Arc::new(Budget::ratio(1.0).burst(2).min_per_sec(0));
        budget.try_withdraw(Cost::Error).unwrap().spend();
        let other = budget.clone();
        let thread = thread::spawn(move || drop(other.try_withdraw(Cost::Error)));
        budget.deposit();
        thread.join().unwrap();
        // One was there, one was paid in; one that was given back finds its place unless it is full.
        assert_eq!(budget.snapshot().balance, 2.0);
    });
}

/// Of one call, open at the first failure, and half-open at once after it.
fn breaker() -> Arc<Breaker> {
    let builder = Breaker::builder()
        .window_calls(2)
        .min_calls(2)
        .probes(1)
        .open_for(Duration::from_nanos(1));
    Arc::new(builder.build())
}

#[test]
fn two_failures_open_it_once() {
    bounded(|| {
        let breaker = breaker();
        let other = breaker.clone();
        let thread = thread::spawn(move || {
            if let Ok(permit) = other.try_acquire() {
                permit.failure();
            }
        });
        if let Ok(permit) = breaker.try_acquire() {
            permit.failure();
        }
        thread.join().unwrap();
        assert_eq!(breaker.snapshot().opened, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
    });
}

#[test]
fn one_probe_goes_through() {
    bounded(|| {
        let breaker = breaker();
        for _ in 0..2 {
            breaker.try_acquire().unwrap().failure();
        }
        let other = breaker.clone();
        let thread = thread::spawn(move || other.try_acquire().map(std::mem::forget).is_ok());
        let here = breaker.try_acquire().map(std::mem::forget).is_ok();
        assert!(here ^ thread.join().unwrap());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    });
}

#[test]
fn a_stale_result_is_no_vote_whenever_it_comes() {
    bounded(|| {
        let breaker = breaker();
        let stale = [
            breaker.try_acquire().unwrap(),
            breaker.try_acquire().unwrap(),
        ];
        for _ in 0..2 {
            breaker.try_acquire().unwrap().failure();
        }
        let other = breaker.clone();
        let thread = thread::spawn(move || other.try_acquire().unwrap().success());
        for permit in stale {
            permit.failure();
        }
        thread.join().unwrap();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.snapshot().calls, 0);
    });
}
