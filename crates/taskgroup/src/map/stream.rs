use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::future::BoxFuture;

use super::outlet::Outlet;
use super::{Feed, MapConcurrent};
use crate::spawn::TaskBuilder;
use crate::{GroupError, Name, TaskGroup};

/// Values in the order in which they are ready, from [`MapConcurrent::unordered`].
///
/// After a failure it gives what was ready before, then the error, then ends. Dropping it has the
/// workers dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Waiting for the next value can be given up and taken up again: a value is taken only when it is
/// given.
#[must_use = "streams do nothing unless polled"]
pub struct Unordered<U, E> {
    workers: Workers<U, E>,
    ready: VecDeque<(usize, U)>,
}

/// Values in the order of the input, from [`MapConcurrent::ordered`].
///
/// After a failure it gives what can still be given in order, then the error, then ends. Dropping
/// it has the workers dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Waiting for the next value can be given up and taken up again: a value is taken only when it is
/// given.
#[must_use = "streams do nothing unless polled"]
pub struct Ordered<U, E> {
    workers: Workers<U, E>,
    arrived: VecDeque<(usize, U)>,
    /// From the next value to be given on; bounded by the window.
    waiting: VecDeque<Option<U>>,
    next: usize,
}

impl<U: Send + 'static, E: Send + 'static> Unordered<U, E> {
    pub(super) fn new<I, F, Fut>(map: MapConcurrent<I, F>) -> Self
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
    {
        Self {
            workers: Workers::new(map),
            ready: VecDeque::new(),
        }
    }
}

impl<U: Send + 'static, E: Send + 'static> Ordered<U, E> {
    pub(super) fn new<I, F, Fut>(map: MapConcurrent<I, F>) -> Self
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
    {
        let (arrived, waiting) = (VecDeque::new(), VecDeque::new());
        Self {
            workers: Workers::new(map),
            arrived,
            waiting,
            next: 0,
        }
    }
}

impl<U, E> Unordered<U, E> {
    /// The next value; `None` when all are given.
    ///
    /// For combinators take a crate of them: it is a `Stream`.
    ///
    /// # Cancel safety
    ///
    /// A value is taken only when it is given, so nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`GroupError`], once, when an item failed; then `None`.
    pub async fn next(&mut self) -> Option<Result<U, GroupError<E>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<U, E> Stream for Unordered<U, E> {
    type Item = Result<U, GroupError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some((_, value)) = this.ready.pop_front() {
                this.workers.consumed();
                return Poll::Ready(Some(Ok(value)));
            }
            if let Some(end) = ready!(this.workers.poll_more(&mut this.ready, cx)) {
                return Poll::Ready(end.err().map(Err));
            }
        }
    }
}

impl<U, E> Ordered<U, E> {
    /// The next value; `None` when all are given.
    ///
    /// For combinators take a crate of them: it is a `Stream`.
    ///
    /// # Cancel safety
    ///
    /// A value is taken only when it is given, so nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`GroupError`], once, when an item failed; then `None`.
    pub async fn next(&mut self) -> Option<Result<U, GroupError<E>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<U, E> Stream for Ordered<U, E> {
    type Item = Result<U, GroupError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(Some(_)) = this.waiting.front() {
                let value = this.waiting.pop_front().flatten();
                this.next += 1;
                this.workers.consumed();
                return Poll::Ready(value.map(Ok));
            }
            if let Some(end) = ready!(this.workers.poll_more(&mut this.arrived, cx)) {
                return Poll::Ready(end.err().map(Err));
            }
            for (place, value) in this.arrived.drain(..) {
                let ahead = place - this.next;
                if this.waiting.len() <= ahead {
                    this.waiting.resize_with(ahead + 1, || None);
                }
                this.waiting[ahead] = Some(value);
            }
        }
    }
}

/// The group of workers, and what it has to give.
struct Workers<U, E> {
    run: Option<BoxFuture<'static, Result<(), GroupError<E>>>>,
    /// How the group ended, until it is told.
    end: Option<Result<(), GroupError<E>>>,
    outlet: Arc<Outlet<U>>,
    /// Moves the horizon of the feed.
    advance: Box<dyn Fn(usize) + Send + Sync>,
    /// Consumed since the horizon was last moved.
    consumed: usize,
    window: usize,
    /// The consumer found nothing, and lets the runtime's other tasks run once before it parks.
    lapped: bool,
}

impl<U: Send + 'static, E: Send + 'static> Workers<U, E> {
    fn new<I, F, Fut>(map: MapConcurrent<I, F>) -> Self
    where
        I: Iterator<Item: Send + 'static> + Send + 'static,
        F: Fn(I::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
    {
        let MapConcurrent {
            items,
            f,
            workers,
            limit,
            location,
        } = map;
        let window = limit.saturating_mul(2);
        let outlet = Arc::new(Outlet::new(workers));
        let feed = Arc::new(Feed::new(items, workers, window));
        let shared = Arc::new((feed.clone(), f, outlet.clone()));
        let advance = Box::new({
            let feed = feed.clone();
            move |consumed| feed.advance(consumed)
        });
        let run = TaskGroup::builder()
            .name("map_concurrent")
            .run(async move |g| {
                for worker in 0..workers {
                    let shared = shared.clone();
                    TaskBuilder::new(&g, Name::worker(worker), location).spawn(async move {
                        let (feed, f, outlet) = &*shared;
                        while let Some((place, item)) = feed.next(worker).await {
                            let value = f(item).await?;
                            outlet.push(worker, place, value);
                        }
                        Ok(())
                    });
                }
                Ok(())
            });
        let run = async move { run.await.map_err(|error| feed.name_failures(error)) };
        let run = Some(Box::pin(run) as BoxFuture<'static, _>);
        Self {
            run,
            end: None,
            outlet,
            advance,
            consumed: 0,
            window,
            lapped: false,
        }
    }
}

impl<U, E> Workers<U, E> {
    /// One value more was given. The workers go on half a window at a time, while the consumer takes
    /// the rest.
    fn consumed(&mut self) {
        self.consumed += 1;
        if self.consumed >= self.window / 2 {
            (self.advance)(std::mem::take(&mut self.consumed));
        }
    }

    /// More values, or how the group ended once they are all given.
    fn poll_more(
        &mut self,
        into: &mut VecDeque<(usize, U)>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), GroupError<E>>>> {
        if self.consumed > 0 {
            (self.advance)(std::mem::take(&mut self.consumed));
        }
        self.outlet.take_all(into);
        if let Some(run) = self.run.as_mut().filter(|_| into.is_empty()) {
            if std::mem::replace(&mut self.lapped, true) {
                self.outlet.park(cx.waker());
            } else {
                // A wake for each value would cost more than the value: one round of the run queue
                // brings many.
                cx.waker().wake_by_ref();
            }
            if let Poll::Ready(end) = run.as_mut().poll(cx) {
                self.run = None;
                self.end = Some(end);
            }
            self.outlet.take_all(into);
        }
        if !into.is_empty() {
            self.lapped = false;
            return Poll::Ready(None);
        }
        if self.run.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(Some(self.end.take().unwrap_or(Ok(()))))
    }
}

impl<U, E> fmt::Debug for Unordered<U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered")
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl<U, E> fmt::Debug for Ordered<U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Nothing in them is pinned but what has a box of its own.
impl<U, E> Unpin for Unordered<U, E> {}
impl<U, E> Unpin for Ordered<U, E> {}
