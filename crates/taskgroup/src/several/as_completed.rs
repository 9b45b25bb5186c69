use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::Outcome;
use crate::several::completions::{Completions, IntoFutures};
use crate::several::input::InputKind;

/// Runs all the futures as tasks and gives how each ended, in the order in which they do, with its place in
/// the input. A failure stops no other.
///
/// It is `asyncio.as_completed(..)`, and says which one it was. All of them run at the same time; for so many at
/// a time take [`map_concurrent`](crate::map_concurrent()). When the stream has ended, nothing of it is left.
///
/// Dropping the stream has the other tasks dropped at their next poll, without waiting for that.
///
/// # Panics
///
/// When polled outside of a Tokio runtime. Panics of the futures are outcomes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::as_completed;
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut done = as_completed([30, 10, 20].map(|ms| async move {
///     sleep(Duration::from_millis(ms)).await;
///     Ok::<_, std::io::Error>(ms)
/// }));
/// let mut order = Vec::new();
/// while let Some((place, outcome)) = done.next().await {
///     order.push((place, outcome.ok().unwrap()));
/// }
/// assert_eq!(order, [(1, 10), (2, 20), (0, 30)]);
/// # }
/// ```
#[track_caller]
pub fn as_completed<I, K>(futures: I) -> AsCompleted<I::Value, I::Error>
where
    I: IntoFutures<K>,
    K: InputKind,
{
    AsCompleted(Completions::new(
        "as_completed",
        Location::caller(),
        futures,
    ))
}

/// How futures ended, in the order in which they did, from [`as_completed`].
///
/// Dropping it has the tasks that are left dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Waiting for the next can be given up and taken up again: an outcome is taken only when it is given.
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<T, E>(Completions<T, E>);

impl<T, E> AsCompleted<T, E> {
    /// The next that ended, with its place in the input; `None` when all are given.
    ///
    /// For combinators take a crate of them: it is a `Stream`.
    ///
    /// # Cancel safety
    ///
    /// An outcome is taken only when it is given, so nothing is lost when the future is dropped.
    #[expect(clippy::should_implement_trait, reason = "it is a stream's `next`")]
    pub fn next(&mut self) -> NextCompleted<'_, T, E> {
        NextCompleted(self)
    }
}

impl<T, E> Stream for AsCompleted<T, E> {
    type Item = (usize, Outcome<T, E>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl<T, E> fmt::Debug for AsCompleted<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsCompleted(..)")
    }
}

/// The future of [`AsCompleted::next`].
#[must_use = "futures do nothing unless polled"]
pub struct NextCompleted<'a, T, E>(&'a mut AsCompleted<T, E>);

impl<T, E> Future for NextCompleted<'_, T, E> {
    type Output = Option<(usize, Outcome<T, E>)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.0.poll_next(cx)
    }
}

impl<T, E> fmt::Debug for NextCompleted<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextCompleted(..)")
    }
}
