//! What a budget costs that threads share.

use shibuya_retry::{Budget, Cost};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower_resilience_retry::{RetryBudget, RetryBudgetBuilder};

use crate::areas::threads::on_threads;
use crate::case::{Case, Threads};

const TIMES: usize = 1_000_000;
const CALLS: &str =
    "Pay in for a call, into a budget that is full, on one thread or two; per call.";
const RETRIES: &str =
    "Pay in for five calls and take out for a retry, on one thread or two; per retry.";

pub(super) fn cases() -> Vec<Case> {
    let calls = [("budget/call/1", 1), ("budget/call/2", 2)].map(|(name, threads)| {
        Case::new(name, Threads::One, CALLS)
            .contender("fetch_add", TIMES, move |n| {
                let counter = AtomicU64::new(0);
                on_threads(threads, n, move || counter.fetch_add(1, Relaxed) < u64::MAX)
            })
            .contender("tower", TIMES, move |n| {
                let budget = tower();
                on_threads(threads, n, move || {
                    budget.deposit();
                    true
                })
            })
            .contender("tower-resilience, token bucket", TIMES, move |n| {
                let budget = tower_resilience();
                on_threads(threads, n, move || {
                    budget.deposit();
                    true
                })
            })
            .contender("Budget", TIMES, move |n| {
                let budget = Budget::ratio(0.2);
                on_threads(threads, n, move || {
                    budget.deposit();
                    true
                })
            })
    });
    let retries = [("budget/retry/1", 1), ("budget/retry/2", 2)].map(|(name, threads)| {
        Case::new(name, Threads::One, RETRIES)
            .contender("fetch_add, six times", TIMES / 4, move |n| {
                let counter = AtomicU64::new(0);
                on_threads(threads, n, move || {
                    (0..6).all(|_| counter.fetch_add(1, Relaxed) < u64::MAX)
                })
            })
            .contender("tower", TIMES / 4, move |n| {
                let budget = tower();
                on_threads(threads, n, move || {
                    (0..5).for_each(|_| budget.deposit());
                    budget.withdraw()
                })
            })
            .contender("Budget", TIMES / 4, move |n| {
                let budget = Budget::ratio(0.2);
                on_threads(threads, n, move || {
                    (0..5).for_each(|_| budget.deposit());
                    let withdrawal = budget.try_withdraw(Cost::Error);
                    withdrawal.map(|retry| retry.spend()).is_some()
                })
            })
    });
    calls.into_iter().chain(retries).collect()
}

fn tower() -> TpsBudget {
    TpsBudget::new(Duration::from_secs(10), 10, 0.2)
}

/// It fills by the clock, and calls pay in nothing.
fn tower_resilience() -> std::sync::Arc<dyn RetryBudget> {
    let bucket = RetryBudgetBuilder::new().token_bucket();
    bucket.build().expect("it is sound")
}
