use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;

use super::MapConcurrent;
use super::crew::Crew;
use crate::task::spawn::TaskBuilder;
use crate::{GroupError, Name, TaskGroup};

/// The future of an awaited [`map_concurrent`](crate::map_concurrent).
///
/// Dropping it has the workers dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
#[must_use = "futures do nothing unless polled"]
pub struct Collect<U, E>(BoxFuture<'static, Result<Vec<U>, GroupError<E>>>);

impl<U: Send + 'static, E: Send + 'static> Collect<U, E> {
    pub(super) fn new<I, F, Fut>(map: MapConcurrent<I, F>) -> Self
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
    {
        let MapConcurrent {
            items,
            f,
            workers,
            name,
            location,
            ..
        } = map;
        let crew = Arc::new(Crew::new(items, f, workers, usize::MAX));
        let shared = crew.clone();
        let run = TaskGroup::builder().name(name).run(async move |g| {
            let spawn = |worker| {
                let crew = shared.clone();
                TaskBuilder::new(&g, Name::worker(worker), location).spawn(async move {
                    let mut worker = crew.worker(worker);
                    let mut done = Vec::new();
                    while let Some((place, item)) = crew.next(&mut worker).await {
                        done.push((place, (crew.f)(item).await?));
                    }
                    Ok(done)
                })
            };
            let tasks: Vec<_> = (0..workers).map(spawn).collect();
            let mut parts = Vec::with_capacity(workers);
            for task in tasks {
                parts.push(task.await);
            }
            Ok(in_order(parts, shared.feed.taken()))
        });
        Self(Box::pin(async move {
            run.await.map_err(|error| crew.name_failures(error))
        }))
    }
}

/// Puts every value in the place of its item.
fn in_order<U>(parts: Vec<Vec<(usize, U)>>, len: usize) -> Vec<U> {
    let mut slots: Vec<Option<U>> = Vec::new();
    slots.resize_with(len, || None);
    for (place, value) in parts.into_iter().flatten() {
        slots[place] = Some(value);
    }
    slots
        .into_iter()
        .map(|value| value.expect("each item taken gave a value"))
        .collect()
}

impl<U, E> Future for Collect<U, E> {
    type Output = Result<Vec<U>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<U, E> fmt::Debug for Collect<U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collect(..)")
    }
}
