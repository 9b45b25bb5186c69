use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;

use super::crew::Crew;
use crate::task::spawn::TaskBuilder;
use crate::{GroupError, Name, TaskGroup};

/// Runs an async function on every item, on at most `limit` of them at the same time, and waits for
/// all. The first failure cancels the rest.
///
/// It is [`map_concurrent`](crate::map_concurrent) for functions that give no value: what is done
/// leaves nothing behind, so the input may be endless. The items run on `limit` spawned tasks, which
/// pull from the iterator under a lock: keep it cheap. For an iterator that knows that it has no item,
/// it is ready at once.
///
/// Dropping the returned future has the workers dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: the items that were taken and not done are dropped with it. Nothing
/// is leaked.
///
/// # Errors
///
/// [`GroupError`], in which a failed item is named after its position, counted from 0: `item 17`.
///
/// # Panics
///
/// When `limit` is 0: it would never end. When polled outside of a Tokio runtime. A panic in `f`, in
/// its futures or in the iterator is a failure of its item.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::for_each_concurrent;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sent = for_each_concurrent(["anna", "ben", ""], 2, |name| async move {
///     tokio::task::yield_now().await; // a mail, say
///     if name.is_empty() { Err("nobody") } else { Ok(()) }
/// });
/// let error = sent.await.unwrap_err();
/// assert_eq!(*error.first().name(), "item 2");
/// # }
/// ```
#[track_caller]
pub fn for_each_concurrent<I, F, Fut, E>(items: I, limit: usize, f: F) -> ForEachConcurrent<E>
where
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
    F: Fn(I::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    assert!(
        limit > 0,
        "a concurrent loop with a limit of 0 never runs an item; the least is 1"
    );
    let items = items.into_iter();
    let workers = limit.min(items.size_hint().1.unwrap_or(limit));
    let location = Location::caller();
    let crew = Arc::new(Crew::new(items, f, workers, usize::MAX));
    let shared = crew.clone();
    let run = TaskGroup::builder()
        .name("for_each_concurrent")
        .run(async move |g| {
            let spawn = |worker| {
                let crew = shared.clone();
                TaskBuilder::new(&g, Name::worker(worker), location).spawn(async move {
                    let mut worker = crew.worker(worker);
                    while let Some((_, item)) = crew.next(&mut worker).await {
                        (crew.f)(item).await?;
                    }
                    Ok(())
                })
            };
            let tasks: Vec<_> = (0..workers).map(spawn).collect();
            // Else one that is cancelled, where nobody can drop it, looked like one that is done.
            for task in tasks {
                task.await;
            }
            Ok(())
        });
    ForEachConcurrent(Box::pin(async move {
        run.await.map_err(|error| crew.name_failures(error))
    }))
}

/// The future of [`for_each_concurrent`].
#[must_use = "futures do nothing unless polled"]
pub struct ForEachConcurrent<E>(BoxFuture<'static, Result<(), GroupError<E>>>);

impl<E> Future for ForEachConcurrent<E> {
    type Output = Result<(), GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for ForEachConcurrent<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForEachConcurrent(..)")
    }
}
