use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;

use crate::spawn::TaskBuilder;
use crate::{Cause, GroupError, Name, Outcome, Panic, Reason, Task, TaskGroup};

/// Runs all the futures as tasks, waits for all of them, and gives how each one ended, in the order
/// of the input. A failure stops no other.
///
/// It is `asyncio.gather(.., return_exceptions=True)`. For none, it is ready at once.
///
/// Dropping the returned future has the tasks dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
///
/// # Panics
///
/// When polled outside of a Tokio runtime. Panics of the futures are outcomes.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::{Outcome, gather};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let outcomes = gather(["7", "many", "9"].map(|text| async move { text.parse::<u8>() })).await;
/// assert!(matches!(outcomes[0], Outcome::Ok(7)));
/// assert!(outcomes[1].is_err());
/// assert!(matches!(outcomes[2], Outcome::Ok(9)));
/// # }
/// ```
#[track_caller]
pub fn gather<T, E, I>(futures: I) -> Gather<T, E>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let location = Location::caller();
    let futures: Vec<_> = futures.into_iter().collect();
    let count = futures.len();
    let run = TaskGroup::<Infallible>::builder()
        .name("gather")
        .run(async move |g| {
            let tasks = spawn_all(
                &g,
                location,
                futures.into_iter().map(|fut| Settled { fut: Some(fut) }),
            );
            let mut outcomes = Vec::with_capacity(tasks.len());
            for mut task in tasks {
                outcomes.push(match task.outcome().await {
                    Outcome::Ok(outcome) => outcome,
                    Outcome::Cancelled(reason) => Outcome::Cancelled(reason),
                    Outcome::Panicked(panic) => Outcome::Panicked(panic),
                    Outcome::Err(never) => match never {},
                });
            }
            Ok(outcomes)
        });
    Gather(Box::pin(async move {
        match run.await {
            Ok(outcomes) => outcomes,
            // Nothing in it fails, so it was cancelled from further out. That drops us, too, unless
            // we are waited for on a blocking thread.
            Err(error) => {
                let reason = match error.into_first().into_cause() {
                    Cause::Cancelled(reason) => reason,
                    _ => Reason::Requested,
                };
                (0..count)
                    .map(|_| Outcome::Cancelled(reason.clone()))
                    .collect()
            }
        }
    }))
}

/// Runs all the futures as tasks and gives their values, in the order of the input. The first
/// failure cancels the others.
///
/// It is `asyncio.gather(..)`, safer: nothing of it goes on behind your back after a failure. For
/// none, it is ready at once.
///
/// Dropping the returned future has the tasks dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
///
/// # Errors
///
/// [`GroupError`] with all failures; a failed task is named after its position, counted from 0: `future 2`.
///
/// # Panics
///
/// When polled outside of a Tokio runtime.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::try_gather;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let numbers = try_gather(["7", "8", "9"].map(|text| async move { text.parse::<u8>() })).await;
/// assert_eq!(numbers.unwrap(), [7, 8, 9]);
///
/// let failed = try_gather(["7", "many"].map(|text| async move { text.parse::<u8>() })).await;
/// assert_eq!(*failed.unwrap_err().first().name(), "future 1");
/// # }
/// ```
#[track_caller]
pub fn try_gather<T, E, I>(futures: I) -> TryGather<T, E>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let location = Location::caller();
    let futures: Vec<_> = futures.into_iter().collect();
    TryGather(Box::pin(TaskGroup::builder().name("try_gather").run(
        async move |g| {
            let tasks = spawn_all(&g, location, futures);
            let mut values = Vec::with_capacity(tasks.len());
            for task in tasks {
                values.push(task.await);
            }
            Ok(values)
        },
    )))
}

fn spawn_all<T, E, I>(
    g: &TaskGroup<E>,
    location: &'static Location<'static>,
    futures: I,
) -> Vec<Task<T, E>>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let numbered = futures.into_iter().enumerate();
    numbered
        .map(|(i, fut)| TaskBuilder::new(g, Name::future(i), location).spawn(fut))
        .collect()
}

/// The future of [`gather`].
#[must_use = "futures do nothing unless polled"]
pub struct Gather<T, E>(BoxFuture<'static, Vec<Outcome<T, E>>>);

impl<T, E> Future for Gather<T, E> {
    type Output = Vec<Outcome<T, E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for Gather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather(..)")
    }
}

/// The future of [`try_gather`].
#[must_use = "futures do nothing unless polled"]
pub struct TryGather<T, E>(BoxFuture<'static, Result<Vec<T>, GroupError<E>>>);

impl<T, E> Future for TryGather<T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for TryGather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TryGather(..)")
    }
}

pin_project! {
    /// A future whose failure is its value, so that it never fails its group.
    struct Settled<F> {
        #[pin]
        fut: Option<F>,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Settled<F> {
    type Output = Result<Outcome<T, E>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut fut = self.project().fut;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let result = ready!(
                fut.as_mut()
                    .as_pin_mut()
                    .expect("polled until it is done")
                    .poll(cx)
            );
            fut.set(None);
            Poll::Ready(result)
        }));
        Poll::Ready(Ok(match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Outcome::Ok(value),
            Ok(Poll::Ready(Err(error))) => Outcome::Err(error),
            Err(payload) => Outcome::Panicked(Panic::new(payload)),
        }))
    }
}
