//! A panic, wherever it comes from, leaves no scope and no deadline behind on its thread.
#![cfg(not(shibuya_loom))]

use std::fmt::Debug;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shibuya_cancel::{
    CancelScope, InScope, Reason, cancel_after, check, current_deadline, deadline, remaining,
    timeout, timeout_or,
};
use shibuya_testkit::PanicOnDrop;
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// The message of the panic in `f`.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

fn nothing_is_in_force() {
    assert!(CancelScope::current().is_none());
    assert!(check().is_ok());
    assert_eq!((remaining(), current_deadline()), (None, None));
}

/// Panics at its second poll, inside of whatever is around it.
async fn bad() {
    tokio::task::yield_now().await;
    assert!(CancelScope::current().is_some() || remaining().is_some());
    panic!("inside");
}

fn leaves_nothing<F: Future<Output: Debug>>(fut: F) {
    let mut fut = task::spawn(fut);
    assert_pending!(fut.poll());
    assert_eq!(panic_of(|| fut.poll()), "inside");
    nothing_is_in_force();
    drop(fut);
    nothing_is_in_force();
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_leaves_nothing_in_force() {
    leaves_nothing(timeout(LONG, bad()));
    leaves_nothing(deadline(Instant::now() + LONG, timeout(MS, bad())));
    leaves_nothing(timeout_or(LONG, bad(), ()));
    leaves_nothing(CancelScope::new().run(bad()));
    leaves_nothing(CancelScope::builder().timeout(LONG).run(timeout(MS, bad())));
    leaves_nothing(cancel_after(LONG, bad()));
    let carried = CancelScope::new().run(async { (bad().in_scope(),) });
    leaves_nothing(carried.await.unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_further_in_leaves_what_is_further_out() {
    let scope = CancelScope::builder().timeout(LONG).build();
    let value = scope.run(async {
        let before = current_deadline();
        let mut inner = task::spawn(timeout(MS, CancelScope::new().run(bad())));
        assert_pending!(inner.poll());
        assert_eq!(panic_of(|| inner.poll()), "inside");
        assert_eq!(current_deadline(), before);
        CancelScope::current().unwrap().cancel(Reason::Failed);
    });
    assert_eq!(value.await, Ok(()));
    assert_eq!(scope.reason(), Some(Reason::Failed));
}

/// Waits for ever, and panics when it is dropped.
async fn bad_end() {
    let _bomb = PanicOnDrop::new("at the end");
    pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_at_the_deadline_is_heard_and_leaves_nothing() {
    let mut late = task::spawn(timeout(MS, bad_end()));
    assert_pending!(late.poll());
    sleep(MS).await;
    assert_eq!(panic_of(|| late.poll()), "at the end");
    nothing_is_in_force();

    let mut cancelled = task::spawn(CancelScope::builder().timeout(MS).run(bad_end()));
    assert_pending!(cancelled.poll());
    sleep(MS).await;
    assert_eq!(panic_of(|| cancelled.poll()), "at the end");
    nothing_is_in_force();
    drop(cancelled);
    nothing_is_in_force();
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_in_a_drop_is_heard_and_leaves_nothing() {
    let scope = CancelScope::new();
    let mut run = task::spawn(scope.run(bad_end()));
    assert_pending!(run.poll());
    assert_eq!(panic_of(|| drop(run)), "at the end");
    nothing_is_in_force();
    let inside = scope.run(async { (bad_end().in_scope(),) });
    let mut carried = task::spawn(inside.await.unwrap().0);
    assert_pending!(carried.poll());
    assert_eq!(panic_of(|| drop(carried)), "at the end");
    nothing_is_in_force();
    // The scope serves the next user.
    assert_eq!(scope.run(ready(7)).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_another_unwinds_does_not_lose_the_scope() {
    let scope = CancelScope::new();
    let stop = scope.clone();
    let run = scope.run(async move {
        stop.cancel(Reason::Requested);
        panic!("after the cancellation");
    });
    let mut run = task::spawn(run);
    assert_eq!(
        panic_of(|| assert_ready!(run.poll())),
        "after the cancellation"
    );
    nothing_is_in_force();
    assert!(scope.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn polling_again_after_the_end_panics_and_says_so() {
    let mut late = task::spawn(timeout(Duration::ZERO, pending::<()>()));
    assert!(assert_ready!(late.poll()).is_err());
    assert_eq!(
        panic_of(|| late.poll()),
        "`Deadline` polled after it was done"
    );

    let mut default = task::spawn(timeout_or(Duration::ZERO, pending(), 7));
    assert_eq!(assert_ready!(default.poll()), 7);
    assert!(panic_of(|| default.poll()).contains("polled after it was done"));

    let scope = CancelScope::new();
    let mut done = task::spawn(scope.run(async {}));
    assert_eq!(assert_ready!(done.poll()), Ok(()));
    assert!(panic_of(|| done.poll()).contains("resumed after completion"));

    scope.cancel(Reason::Requested);
    let mut cut = task::spawn(scope.run(pending::<()>()));
    assert!(assert_ready!(cut.poll()).is_err());
    assert_eq!(panic_of(|| cut.poll()), "`Run` polled after it was done");
    nothing_is_in_force();
}
