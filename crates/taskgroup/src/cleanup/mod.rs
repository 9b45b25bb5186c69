//! Clean-ups: what runs when other things have ended, however they ended, and is not dropped itself.
//!
//! Each is a task of a group (`shelter.rs`) that hears no cancellation, with a budget instead.

mod drain;
mod on_cleanup;
mod resources;
mod run_with_cleanup;
mod stack;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use shibuya_cancel::timeout;

pub(crate) use drain::Drain;
pub(crate) use on_cleanup::Cleanup;
pub use on_cleanup::OnCleanup;
pub use resources::{Release, ReleaseError, Resources};
pub use run_with_cleanup::{Ending, RunWithCleanup, run_with_cleanup};
pub(crate) use stack::{Next, Stack};

use crate::Panic;
use crate::error::Cause;

/// Long enough for a goodbye over the network, and short beside the half minute after which
/// orchestrators kill.
pub(crate) const BUDGET: Duration = Duration::from_secs(5);

#[track_caller]
pub(crate) fn check_budget(budget: Duration) -> Duration {
    assert!(
        !budget.is_zero(),
        "a clean-up with a budget of 0 never runs; disarm it instead"
    );
    budget
}

/// Cuts `fut` when its budget is used up.
pub(crate) async fn within<T, E>(
    budget: Duration,
    fut: impl Future<Output = Result<T, E>>,
) -> Result<T, Cause<E>> {
    match timeout(budget, fut).await {
        Ok(result) => result.map_err(Cause::Error),
        Err(_) => Err(Cause::Budget(budget)),
    }
}

/// Runs `fut` and drops it, with panics of both as errors.
pub(crate) async fn caught<T>(fut: impl Future<Output = T>) -> Result<T, Panic> {
    let mut fut = pin!(Some(fut));
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let running = fut.as_mut().as_pin_mut().expect("polled until it is done");
            let output = ready!(running.poll(cx));
            fut.set(None);
            Poll::Ready(output)
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::new(payload))),
        }
    })
    .await
}
