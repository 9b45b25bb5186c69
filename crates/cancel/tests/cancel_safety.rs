//! Every public future is dropped after each of its polls and after each wake that follows. What it
//! runs is not harmed by the wrapper: no item and no permit is lost that would not be lost without.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::time::Duration;

use shibuya_cancel::{
    CancelScope, Cancelled, InScope, Reason, cancel_after, cancelled, deadline, step, timeout,
    timeout_or,
};
use shibuya_testkit::{Ending, Report, cancel_at_every_poll};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// Longer than the test, shorter than for ever, so that timers are armed.
const LIMIT: Duration = Duration::from_secs(3600);

const MS: Duration = Duration::from_millis(1);

/// A channel whose items come one by one, each in a turn of its own.
type Items = Arc<Mutex<UnboundedReceiver<u32>>>;

fn items() -> Items {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        for item in 0..3 {
            tokio::task::yield_now().await;
            let _ = sender.send(item);
        }
    });
    Arc::new(Mutex::new(receiver))
}

/// The future under test: the next item, by a receive that loses none when it is dropped.
async fn next(items: Items) -> u32 {
    items.lock().await.recv().await.expect("three are sent")
}

/// All that was not given is still there, in order.
async fn none_is_lost(items: Items, given: Option<u32>) {
    let first = given.map_or(0, |item| item + 1);
    for expected in first..3 {
        assert_eq!(next(items.clone()).await, expected);
    }
}

fn completed<T>(ending: Ending<T>) -> Option<T> {
    match ending {
        Ending::Completed(value) => Some(value),
        Ending::Dropped(_) => None,
    }
}

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_loses_no_item() {
    let report = cancel_at_every_poll(
        "timeout",
        async || {
            let items = items();
            (items.clone(), timeout(LIMIT, next(items)))
        },
        async |items, ending| none_is_lost(items, completed(ending).map(Result::unwrap)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_step_loses_no_item() {
    let report = cancel_at_every_poll(
        "step",
        async || {
            let items = items();
            (items.clone(), step("outer", step("inner", next(items))))
        },
        async |items, ending| none_is_lost(items, completed(ending)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn nested_deadlines_lose_no_item() {
    let report = cancel_at_every_poll(
        "deadline",
        async || {
            let (items, at) = (items(), Instant::now() + LIMIT);
            (
                items.clone(),
                deadline(at, deadline(at + LIMIT, next(items))),
            )
        },
        async |items, ending| {
            let given = completed(ending).map(|value| value.unwrap().unwrap());
            none_is_lost(items, given).await;
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_loses_no_item() {
    let report = cancel_at_every_poll(
        "Deadline",
        async || {
            let (sender, receiver) = unbounded_channel();
            let items = Arc::new(Mutex::new(receiver));
            ((sender, items.clone()), timeout(MS, next(items)))
        },
        async |(sender, items), ending| {
            assert!(completed(ending).is_none_or(|value| value.is_err()));
            for item in 0..3 {
                sender.send(item).unwrap();
            }
            none_is_lost(items, None).await;
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_with_a_default_loses_no_item() {
    let report = cancel_at_every_poll(
        "timeout_or",
        async || {
            let items = items();
            (items.clone(), timeout_or(LIMIT, next(items), 99))
        },
        async |items, ending| none_is_lost(items, completed(ending)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_default_is_dropped_with_its_future() {
    let report = cancel_at_every_poll(
        "TimeoutOr",
        async || {
            let default = Arc::new(());
            let never = std::future::pending();
            (default.clone(), timeout_or(MS, never, default))
        },
        async |default, ending| {
            let given = completed(ending);
            assert_eq!(
                Arc::strong_count(&default),
                1 + usize::from(given.is_some())
            );
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_run_loses_no_item_and_leaves_the_scope_as_it_is() {
    let report = cancel_at_every_poll(
        "CancelScope::run",
        async || {
            let (items, scope) = (items(), CancelScope::builder().timeout(LIMIT).build());
            ((items.clone(), scope.clone()), scope.run(next(items)))
        },
        async |(items, scope), ending| {
            assert!(!scope.is_cancelled());
            let given = completed(ending).map(Result::unwrap);
            // The next user of the scope.
            scope.run(none_is_lost(items, given)).await.unwrap();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_gives_its_permit_back() {
    let report = cancel_at_every_poll(
        "Run",
        async || {
            let permits = Arc::new(Semaphore::new(1));
            let held = permits.clone().try_acquire_owned().unwrap();
            let scope = CancelScope::builder().grace(MS).build();
            let run = {
                let permits = permits.clone();
                scope.run(async move {
                    let _permit = permits.acquire().await;
                    std::future::pending::<()>().await;
                })
            };
            tokio::spawn(async move {
                drop(held);
                tokio::task::yield_now().await;
                scope.cancel(Reason::Requested);
            });
            (permits, run)
        },
        async |permits, ending: Ending<Result<(), Cancelled>>| {
            assert!(completed(ending).is_none_or(|ended| ended.is_err()));
            drop(permits.acquire().await.unwrap());
            assert_eq!(permits.available_permits(), 1);
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_builder_runs_as_a_scope_does() {
    let report = cancel_at_every_poll(
        "Builder::run",
        async || {
            let items = items();
            let scope = CancelScope::builder().timeout(LIMIT).grace(LIMIT);
            (items.clone(), scope.run(next(items)))
        },
        async |items, ending| none_is_lost(items, completed(ending).map(Result::unwrap)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn cancel_after_loses_no_item() {
    let report = cancel_at_every_poll(
        "cancel_after",
        async || {
            let items = items();
            (items.clone(), cancel_after(LIMIT, next(items)))
        },
        async |items, ending| none_is_lost(items, completed(ending)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn cancel_after_loses_no_item_when_it_asks() {
    let report = cancel_at_every_poll(
        "CancelAfter",
        async || {
            let items = items();
            let asked = {
                let items = items.clone();
                cancel_after(MS, async move {
                    cancelled().await;
                    next(items).await
                })
            };
            (items, asked)
        },
        async |items, ending| none_is_lost(items, completed(ending)).await,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn in_scope_loses_no_item() {
    let report = cancel_at_every_poll(
        "InScope::in_scope",
        async || {
            let items = items();
            let carried = async { (next(items.clone()).in_scope(),) };
            (
                items.clone(),
                CancelScope::new().run(carried).await.unwrap().0,
            )
        },
        async |items, ending| none_is_lost(items, completed(ending)).await,
    );
    really_waited(report.await);
}

#[tokio::test]
async fn who_waits_for_a_cancellation_and_leaves_harms_nobody() {
    let report = cancel_at_every_poll(
        "CancelScope::cancelled",
        async || {
            let scope = CancelScope::root();
            let before = tokio::spawn(scope.cancelled());
            let waiting = scope.cancelled();
            let stop = scope.clone();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                stop.cancel(Reason::Shutdown);
            });
            ((scope, before), waiting)
        },
        async |(scope, before), ending| {
            let after = tokio::spawn(scope.cancelled());
            assert!(completed(ending).is_none_or(|why| why == Reason::Shutdown));
            assert_eq!(before.await.unwrap(), Reason::Shutdown);
            assert_eq!(after.await.unwrap(), Reason::Shutdown);
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn who_waits_in_the_current_scope_and_leaves_harms_nobody() {
    let report = cancel_at_every_poll(
        "cancelled",
        async || {
            let scope = CancelScope::root();
            let waiting = scope.run(async { (cancelled(),) }).await.unwrap().0;
            let stop = scope.clone();
            tokio::spawn(async move { stop.cancel(Reason::Failed) });
            (scope, waiting)
        },
        async |scope, ending| {
            assert!(completed(ending).is_none_or(|why| why == Reason::Failed));
            assert_eq!(scope.cancelled().await, Reason::Failed);
        },
    );
    really_waited(report.await);
}
