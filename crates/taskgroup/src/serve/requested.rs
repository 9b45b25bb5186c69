use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use shibuya_cancel::UntilCancelled;

use crate::TaskGroup;

impl<E: Send + 'static> TaskGroup<E> {
    /// Waits until the group is cancelled: what a server takes as its sign to stop accepting, as `axum`'s
    /// `with_graceful_shutdown` does. It is `'static`, and works anywhere.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: a cancelled group stays cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_taskgroup::{Reason, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// TaskGroup::<()>::builder()
    ///     .grace(std::time::Duration::from_millis(50))
    ///     .run(async |g| {
    ///         let asked = g.shutdown_requested(); // axum::serve(..).with_graceful_shutdown(asked)
    ///         g.cancel(Reason::Shutdown);
    ///         Ok(asked.await)
    ///     })
    ///     .await
    ///     .unwrap();
    /// # }
    /// ```
    pub fn shutdown_requested(&self) -> ShutdownRequested {
        ShutdownRequested(self.scope().cancelled())
    }
}

/// The future of [`TaskGroup::shutdown_requested`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ShutdownRequested(UntilCancelled);

impl Future for ShutdownRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
