//! The bounded concurrent map: `limit` workers that pull from one iterator.
//!
//! Workers instead of a task per item, since a spawn costs several times what pulling does, and
//! since nothing is then made before its turn.

mod collect;
mod crew;
mod feed;
mod for_each;
mod outlet;
mod stream;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;

pub use collect::Collect;
pub use for_each::{ForEachConcurrent, for_each_concurrent};
pub use stream::{Ordered, Unordered};

/// Applies an async function to every item, to at most `limit` of them at the same time.
///
/// Await it for all the values in the order of the input; or take them as they come, as an
/// [`unordered`](MapConcurrent::unordered) or [`ordered`](MapConcurrent::ordered) stream, which
/// wait for whoever consumes them. The first failure cancels the rest.
///
/// The items run on `limit` spawned tasks, so on all threads of the runtime; a slow consumer, or a
/// future polled beside it, does not starve them. The iterator is pulled from under a lock: keep it
/// cheap, and let `f` do the work.
///
/// Poll it from a task, or in the runtime's own `block_on`. An executor that parks a worker of the
/// runtime for it, as `futures::executor::block_on` does inside a task, hangs the tasks it waits for.
///
/// # Errors
///
/// [`GroupError`](crate::GroupError), in which a failed item is named after its position, counted from 0: `item 17`.
///
/// # Panics
///
/// When `limit` is 0: it would never end. When the result is polled outside of a Tokio runtime. A
/// panic in `f`, in its futures or in the iterator is a failure of its item.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::map_concurrent;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let lengths = map_concurrent(["a", "bc", "def"], 2, |word| async move {
///     tokio::task::yield_now().await;
///     Ok::<_, std::io::Error>(word.len())
/// });
/// assert_eq!(lengths.await.unwrap(), [1, 2, 3]);
/// # }
/// ```
///
/// What the items share is cloned for each, since they run on tasks; and a stream is taken one by
/// one:
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_taskgroup::map_concurrent;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let prices = Arc::new([3, 5, 7]);
/// let mut sums = map_concurrent(0..3, 2, move |i: usize| {
///     let prices = prices.clone();
///     async move { prices.get(i).copied().ok_or("no such price") }
/// })
/// .unordered();
/// let mut sum = 0;
/// while let Some(price) = sums.next().await {
///     sum += price.unwrap();
/// }
/// assert_eq!(sum, 15);
/// # }
/// ```
#[track_caller]
pub fn map_concurrent<I, F, Fut, U, E>(
    items: I,
    limit: usize,
    f: F,
) -> MapConcurrent<I::IntoIter, F>
where
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
    F: Fn(I::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
{
    assert!(
        limit > 0,
        "a concurrent map with a limit of 0 never runs an item; the least is 1"
    );
    let items = items.into_iter();
    // No more workers than there can be items.
    let workers = limit.min(items.size_hint().1.unwrap_or(limit)).max(1);
    MapConcurrent {
        items,
        f,
        workers,
        limit,
        name: "map_concurrent",
        location: Location::caller(),
    }
}

/// A map that has not begun, from [`map_concurrent`].
///
/// # Cancel safety
///
/// As safe as what it becomes: [`Collect`], [`Unordered`] or [`Ordered`].
#[must_use = "a map does nothing until it is awaited or consumed as a stream"]
pub struct MapConcurrent<I, F> {
    items: I,
    f: F,
    workers: usize,
    limit: usize,
    /// What its group is called.
    name: &'static str,
    location: &'static Location<'static>,
}

impl<I, F> MapConcurrent<I, F> {
    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The values as a stream, in the order in which they are ready.
    ///
    /// At most three times the limit are at work or ready and not yet taken.
    pub fn unordered<Fut, U, E>(self) -> Unordered<U, E>
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
        U: Send + 'static,
        E: Send + 'static,
    {
        Unordered::new(self)
    }

    /// The values as a stream, in the order of the input.
    ///
    /// At most three times the limit are at work or wait for an earlier one or for the consumer: behind
    /// one slow item the map pauses instead of collecting all that follows.
    pub fn ordered<Fut, U, E>(self) -> Ordered<U, E>
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
        U: Send + 'static,
        E: Send + 'static,
    {
        Ordered::new(self)
    }
}

impl<I, F, Fut, U, E> IntoFuture for MapConcurrent<I, F>
where
    I: Iterator<Item: Send + 'static> + Send + 'static,
    F: Fn(I::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Vec<U>, crate::GroupError<E>>;
    type IntoFuture = Collect<U, E>;

    fn into_future(self) -> Collect<U, E> {
        Collect::new(self)
    }
}

impl<I, F> fmt::Debug for MapConcurrent<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapConcurrent")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
