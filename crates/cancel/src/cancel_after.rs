use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::clock::Timestamp;
use crate::node::Node;
use crate::timer::Timer;
use crate::{CancelScope, Reason, ambient};

/// Runs `fut` and *asks* it to stop after `delay`, counted from this call: inside,
/// [`cancelled`](crate::cancelled) and [`check`](crate::check) answer from then on.
///
/// It is never forced: `fut` ends in its own time and its value counts. For a limit that holds,
/// use [`timeout`](crate::timeout), or a [`CancelScope`] with a deadline and a grace.
///
/// Dropping the future drops `fut`.
///
/// # Cancel safety
///
/// As safe as `fut`: it holds nothing of its own that could be lost.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{cancel_after, check};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let laps = cancel_after(Duration::from_millis(20), async {
///     let mut laps = 0;
///     while check().is_ok() {
///         laps += 1;
///         tokio::time::sleep(Duration::from_millis(1)).await;
///     }
///     laps // all that was done is still there
/// });
/// assert!(laps.await >= 1);
/// # }
/// ```
pub fn cancel_after<F: IntoFuture>(delay: Duration, fut: F) -> CancelAfter<F::IntoFuture> {
    let fut = fut.into_future();
    let scope = CancelScope::builder().grace(Duration::MAX).build();
    let node = scope.node().clone();
    CancelAfter {
        fut,
        timer: Timer::new(),
        node,
        at: Timestamp::now().after(delay),
    }
}

pin_project! {
    /// The future of [`cancel_after`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CancelAfter<F> {
        #[pin]
        fut: F,
        #[pin]
        timer: Timer,
        node: Arc<Node>,
        at: Timestamp,
    }
}

impl<F: Future> Future for CancelAfter<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        loop {
            let bound = this.node.bound().min(ambient::bound());
            let inside = ambient::enter(this.node, bound);
            let value = this.fut.as_mut().poll(cx);
            drop(inside);
            if value.is_ready() || this.node.is_cancelled() {
                return value;
            }
            std::task::ready!(this.timer.as_mut().poll(*this.at, cx));
            // Those inside who wait for it are woken; those who only check get one poll more.
            this.node.cancel(Reason::Deadline);
        }
    }
}
