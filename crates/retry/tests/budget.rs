//! What a budget grants, over any history; and the mistakes that others make with theirs.
#![cfg(not(shibuya_loom))]

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use shibuya_cancel::timeout;
use shibuya_retry::{Budget, Cost, InvalidRatio, Jitter, Policy, Reason, Retryable};
use tokio::time::advance;

const SEC: Duration = Duration::from_secs(1);

static POLICY: Policy = Policy::constant(SEC).max_retries(1).jitter(Jitter::None);

/// Spends all that may be had.
fn drain(budget: &Budget) -> usize {
    let withdraw = || budget.try_withdraw(Cost::Error);
    std::iter::from_fn(withdraw)
        .map(|granted| granted.spend())
        .count()
}

#[tokio::test(start_paused = true)]
async fn each_ratio_is_the_one_it_says() {
    // One that counts whole retries, as tower 0.5 does, grants one a call for each of these.
    for (ratio, of_ten_thousand) in [
        (0.05, 500),
        (0.6, 6000),
        (0.7, 7000),
        (0.9, 9000),
        (1.0, 10_000),
    ] {
        let budget = Budget::ratio(ratio).burst(2).min_per_sec(0);
        drain(&budget);
        let mut granted = 0;
        for _ in 0..10_000 {
            budget.deposit();
            granted += drain(&budget);
        }
        assert!(
            (of_ten_thousand - 1..=of_ten_thousand).contains(&granted),
            "{ratio}: {granted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_ratio_of_nothing_leaves_the_free_ones() {
    let budget = Budget::ratio(0.0).burst(0).min_per_sec(2);
    for _ in 0..100 {
        budget.deposit();
    }
    assert_eq!(drain(&budget), 2);
    advance(SEC / 2).await;
    assert_eq!(drain(&budget), 1);
    advance(10 * SEC).await;
    assert_eq!(drain(&budget), 2);
}

#[tokio::test(start_paused = true)]
async fn a_week_of_rest_costs_nothing() {
    let budget = Budget::ratio(0.2);
    drain(&budget);
    advance(7 * 86_400 * SEC).await;
    let begin = std::time::Instant::now();
    assert_eq!(drain(&budget), 10);
    assert!(begin.elapsed() < Duration::from_millis(50));
}

#[test]
fn many_who_ask_at_once_get_no_more_than_there_is() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    for _ in 0..200 {
        let budget = Budget::ratio(0.0).burst(10).min_per_sec(0);
        let start = Barrier::new(4);
        let granted: usize = std::thread::scope(|s| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    s.spawn(|| {
                        start.wait();
                        drain(&budget)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(granted, 10);
        assert_eq!(budget.snapshot().granted, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_may_cost_more() {
    let budget = Budget::ratio(0.0)
        .burst(7)
        .min_per_sec(0)
        .timeout_cost(3)
        .hedge_cost(2);
    budget.try_withdraw(Cost::Timeout).unwrap().spend();
    budget.try_withdraw(Cost::Hedge).unwrap().spend();
    assert_eq!(budget.snapshot().balance, 2.0);
    assert!(budget.try_withdraw(Cost::Timeout).is_none());
    budget.try_withdraw(Cost::Error).unwrap().spend();
    let counted = budget.snapshot();
    assert_eq!((counted.granted, counted.refused), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_pays_in_once_however_often_it_is_tried() {
    let budget = Budget::ratio(0.5).burst(10).min_per_sec(0);
    drain(&budget);
    for _ in 0..2 {
        // The second call finds a whole retry there, and takes it.
        let _ = (|| ready(Err::<(), _>(())))
            .retry(&POLICY)
            .budget(&budget)
            .await;
    }
    assert_eq!(budget.snapshot().balance, 0.0);
    assert_eq!(budget.snapshot().granted, 11);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_gives_the_error_of_the_call() {
    let budget = Budget::ratio(0.0).burst(0).min_per_sec(0);
    let error = (|| ready(Err::<(), _>("down")))
        .retry(&POLICY)
        .budget(&budget)
        .await
        .unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Budget, 1));
    assert_eq!(error.into_error(), Some("down"));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_another_reason_takes_nothing() {
    let budget = Budget::ratio(0.0).burst(5).min_per_sec(0);
    let call = || ready(Err::<(), _>(()));
    let aborted = call.retry(&POLICY).budget(&budget).when(|()| false).await;
    assert_eq!(aborted.unwrap_err().reason(), Reason::Aborted);
    let late = timeout(SEC / 2, call.retry(&POLICY).budget(&budget))
        .await
        .unwrap();
    assert_eq!(late.unwrap_err().reason(), Reason::Deadline);
    let none = POLICY.max_retries(0);
    let none = call.retry(&none).budget(&budget).await;
    assert_eq!(none.unwrap_err().reason(), Reason::Exhausted);
    assert_eq!(budget.snapshot().balance, 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_never_began_is_given_back() {
    for free in [0, 5] {
        let budget = Budget::ratio(0.0).burst(5 - free).min_per_sec(free);
        let before = available(&budget);
        let waits = (|| ready(Err::<(), _>(()))).retry(&POLICY).budget(&budget);
        // Dropped while it waits for its second attempt.
        assert!(has_to_wait(waits).await);
        assert_eq!(available(&budget), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_began_is_spent() {
    let budget = Budget::ratio(0.0).burst(5).min_per_sec(0);
    let mut first = true;
    let begins = (|| {
        let fails = std::mem::take(&mut first);
        async move {
            match fails {
                true => Err::<(), _>(()),
                false => pending().await,
            }
        }
    })
    .retry(&POLICY)
    .budget(&budget);
    let _ = tokio::time::timeout(2 * SEC, begins).await;
    assert_eq!(budget.snapshot().balance, 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_loses_nothing() {
    let budget = Budget::ratio(0.0).burst(5).min_per_sec(0);
    let retry = (|| ready(Err::<(), _>(())))
        .retry(&POLICY)
        .budget(&budget)
        .notify(|_| panic!("a bug"));
    let mut retry = Box::pin(retry);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = retry.as_mut().poll(&mut cx);
    }));
    assert!(polled.is_err());
    drop(retry);
    assert_eq!(budget.snapshot().balance, 5.0);
}

/// How many may be had, which leaves them there.
fn available(budget: &Budget) -> usize {
    let withdraw = || budget.try_withdraw(Cost::Error);
    std::iter::from_fn(withdraw).collect::<Vec<_>>().len()
}

/// Polls once, and says whether it has to wait; drops it.
async fn has_to_wait<F: Future>(fut: F) -> bool {
    let mut fut = pin!(fut);
    poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx).is_pending())).await
}

#[test]
fn an_impossible_ratio_is_refused() {
    for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let InvalidRatio(given) = Budget::try_ratio(ratio).unwrap_err();
        assert!(given == ratio || given.is_nan());
    }
    let said = Budget::try_ratio(20.0).unwrap_err().to_string();
    assert_eq!(
        said,
        "the ratio of a retry budget is 20: it must be a number from 0 to 1, such as 0.2"
    );
}

#[test]
fn an_impossible_constant_panics_at_the_callers_line() {
    let line = Arc::new(Mutex::new(None));
    let seen = line.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        *seen.lock().unwrap() = info
            .location()
            .map(|place| (place.file().to_owned(), place.line()));
    }));
    let (result, here) = (catch_unwind(|| Budget::ratio(2.0)), line!());
    std::panic::set_hook(hook);
    assert!(result.is_err());
    let (file, line) = line.lock().unwrap().take().unwrap();
    assert!(file.ends_with("budget.rs") && file.contains("tests"));
    assert_eq!(line, here);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Deposit,
    Withdraw,
    WithdrawAndGiveBack,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Deposit),
        4 => Just(Step::Withdraw),
        2 => Just(Step::WithdrawAndGiveBack),
        1 => (0..3000u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

const SECOND: u64 = 1_000_000_000;

proptest! {
    /// Against exact arithmetic: a balance in thousandths, and free ones as a rate.
    #[test]
    fn a_budget_is_its_model(
        ratio in 0..=1000u64,
        burst in 0..20u32,
        free in 0..20u32,
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let budget = Budget::ratio(ratio as f64 / 1000.0).burst(burst).min_per_sec(free);
            let full = u64::from(burst) * 1000;
            let mut balance = full;
            // In nanoseconds: until when the free ones are used up.
            let mut now = 1u64 << 40;
            let mut used_until = 0u64;
            let each = (free > 0).then(|| SECOND / u64::from(free));
            for step in steps {
                match step {
                    Step::Deposit => {
                        budget.deposit();
                        balance = (balance + ratio).min(full);
                    }
                    Step::Wait(ms) => {
                        advance(Duration::from_millis(ms)).await;
                        now += ms * 1_000_000;
                    }
                    Step::Withdraw | Step::WithdrawAndGiveBack => {
                        let later = each.map(|each| used_until.max(now) + each);
                        let pays = balance >= 1000;
                        let is_free = !pays && later.is_some_and(|later| later <= now + SECOND);
                        let granted = budget.try_withdraw(Cost::Error);
                        prop_assert_eq!(granted.is_some(), pays || is_free, "{:?}", budget);
                        if let (Some(granted), Step::Withdraw) = (granted, step) {
                            granted.spend();
                            match pays {
                                true => balance -= 1000,
                                false => used_until = later.unwrap_or(0),
                            }
                        } else if is_free {
                            // Given back, it is as if the time before had been used and is free again.
                            used_until = used_until.max(now);
                        }
                    }
                }
                let held = budget.snapshot().balance;
                prop_assert!((held - balance as f64 / 1000.0).abs() < 1e-9, "{} of {}", held, balance);
            }
            Ok(())
        })?;
    }
}
