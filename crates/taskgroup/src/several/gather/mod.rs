//! All of several futures: how each ended, or all their values.

mod many;
mod tuple;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;

use crate::several::input::InputKind;
use crate::task::spawn::TaskBuilder;
use crate::{Cause, GroupError, Name, Outcome, Reason, Task, TaskGroup};

/// Runs all the futures as tasks, waits for all of them, and gives how each one ended, in the order
/// of the input. A failure stops no other.
///
/// Of an iterator it makes a `Vec`; of a tuple, in which each future has its own types, a tuple.
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
///
/// let (number, flag) = gather((
///     async { "7".parse::<u8>() },
///     async { "maybe".parse::<bool>() },
/// ))
/// .await;
/// assert!(number.is_ok() && flag.is_err());
/// # }
/// ```
#[track_caller]
pub fn gather<G, K>(futures: G) -> Gather<G::Outcomes>
where
    G: IntoGather<K>,
    K: InputKind,
{
    futures.into_gather(Location::caller())
}

/// Runs all the futures as tasks and gives their values, in the order of the input. The first
/// failure cancels the others.
///
/// Of an iterator it makes a `Vec`; of a tuple, in which each future has a value of its own type, a tuple.
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
///
/// let name = async { Ok::<_, std::io::Error>("shibuya") };
/// let (name, people) = try_gather((name, async { Ok(3000) })).await.unwrap();
/// assert_eq!((name, people), ("shibuya", 3000));
/// # }
/// ```
#[track_caller]
pub fn try_gather<G, K>(futures: G) -> TryGather<G::Values, G::Error>
where
    G: IntoTryGather<K>,
    K: InputKind,
{
    futures.into_try_gather(Location::caller())
}

/// What [`gather`] takes: whatever iterates over futures, or a tuple of 2 to 12 of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be gathered",
    label = "neither iterates over futures of a `Result` nor is a tuple of 2 to 12 of them",
    note = "the futures, their values and their errors are `Send` and `'static`: they run on tasks"
)]
pub trait IntoGather<K: InputKind> {
    /// An [`Outcome`] for each: a `Vec` or a tuple of them.
    type Outcomes;

    #[doc(hidden)]
    fn into_gather(self, location: &'static Location<'static>) -> Gather<Self::Outcomes>;
}

/// What [`try_gather`] takes: whatever iterates over futures, or a tuple of 2 to 12 of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be gathered",
    label = "neither iterates over futures of a `Result` nor is a tuple of 2 to 12 with one error type",
    note = "the futures, their values and their errors are `Send` and `'static`: they run on tasks"
)]
pub trait IntoTryGather<K: InputKind> {
    /// The values: a `Vec` or a tuple of them.
    type Values;
    /// The error that all have in common.
    type Error;

    #[doc(hidden)]
    fn into_try_gather(
        self,
        location: &'static Location<'static>,
    ) -> TryGather<Self::Values, Self::Error>;
}

fn spawn<T, E, F>(
    g: &TaskGroup<E>,
    location: &'static Location<'static>,
    number: usize,
    fut: F,
) -> Task<T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    TaskBuilder::new(g, Name::future(number), location).spawn(fut)
}

/// How a task ended whose failure is its value.
async fn outcome<T, E>(mut task: Task<Outcome<T, E>, Infallible>) -> Outcome<T, E> {
    match task.outcome().await {
        Outcome::Ok(outcome) => outcome,
        Outcome::Cancelled(reason) => Outcome::Cancelled(reason),
        Outcome::Panicked(panic) => Outcome::Panicked(panic),
        Outcome::Err(never) => match never {},
    }
}

/// Nothing in such a group fails, so without outcomes it was cancelled from further out. That drops
/// us, too, unless we are waited for on a blocking thread.
async fn settle<O>(
    run: impl Future<Output = Result<O, GroupError<Infallible>>>,
    cancelled: impl FnOnce(Reason) -> O,
) -> O {
    match run.await {
        Ok(outcomes) => outcomes,
        Err(error) => cancelled(match error.into_first().into_cause() {
            Cause::Cancelled(reason) => reason,
            _ => Reason::Requested,
        }),
    }
}

/// The future of [`gather`], and of its outcomes `O`.
#[must_use = "futures do nothing unless polled"]
pub struct Gather<O>(BoxFuture<'static, O>);

impl<O> Future for Gather<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.0.as_mut().poll(cx)
    }
}

impl<O> fmt::Debug for Gather<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather(..)")
    }
}

/// The future of [`try_gather`], and of its values `V`.
#[must_use = "futures do nothing unless polled"]
pub struct TryGather<V, E>(BoxFuture<'static, Result<V, GroupError<E>>>);

impl<V, E> Future for TryGather<V, E> {
    type Output = Result<V, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<V, E> fmt::Debug for TryGather<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TryGather(..)")
    }
}
