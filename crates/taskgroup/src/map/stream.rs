use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use tokio::task::yield_now;

use super::MapConcurrent;
use super::crew::Crew;
use super::outlet::{Outlet, here};
use crate::task::spawn::TaskBuilder;
use crate::{GroupError, Name, TaskGroup};

/// Values in the order in which they are ready, from [`MapConcurrent::unordered`].
///
/// After a failure it gives what was ready before, then the error, then ends. Dropping it has the
/// workers dropped at their next poll, without waiting for that.
///
/// Polled by an executor that parks a worker of the runtime, such as `futures::executor::block_on`
/// inside a task, it hangs: the tasks it waits for need that worker.
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
/// Polled by an executor that parks a worker of the runtime, such as `futures::executor::block_on`
/// inside a task, it hangs: the tasks it waits for need that worker.
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

/// What the consumer does when it has given all that it had.
///
/// A wake for each value, and a look for each, would cost more than the value. So it lets the other
/// tasks run first, which brings many: before it waits, and also when there were [`MANY`].
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It looks; with nothing there, it lets the others run.
    Look,
    /// It lets the others run, and looks when that is done.
    Lap,
    /// The others had their turn: it looks; with nothing there, it waits.
    Wait,
}

/// From so many values at a time on, more are coming.
const MANY: usize = 16;

/// How many limits of items may be taken and not consumed. One is at work. One more is ready after a
/// round of the run queue, when the consumer has its turn; and while that turn takes, another.
const AHEAD: usize = 3;

/// The group of workers, and what it has to give.
struct Workers<U, E> {
    run: Option<BoxFuture<'static, Result<(), GroupError<E>>>>,
    /// How the group ended, until it is told.
    end: Option<Result<(), GroupError<E>>>,
    outlet: Arc<Outlet<U>>,
    /// Moves the horizon of the feed.
    advance: Box<dyn FnMut(usize) + Send>,
    /// Consumed since the horizon was last moved, and how many are worth moving it.
    consumed: usize,
    step: usize,
    then: Then,
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
            name,
            location,
        } = map;
        let crew = Arc::new(Crew::new(items, f, workers, limit.saturating_mul(AHEAD)));
        let outlet = Arc::new(Outlet::new());
        let shared = (crew.clone(), outlet.clone());
        let advance = Box::new({
            let crew = crew.clone();
            let mut woken = Vec::new();
            move |consumed| crew.feed.advance(consumed, &mut woken)
        });
        let run = TaskGroup::builder().name(name).run(async move |g| {
            for worker in 0..workers {
                let (crew, outlet) = shared.clone();
                TaskBuilder::new(&g, Name::worker(worker), location).spawn(async move {
                    let mut worker = crew.worker(worker);
                    while let Some((place, item)) = crew.next(&mut worker).await {
                        let value = (crew.f)(item).await?;
                        outlet.push(here(), place, value);
                    }
                    Ok(())
                });
            }
            Ok(())
        });
        let run = async move { run.await.map_err(|error| crew.name_failures(error)) };
        Self {
            run: Some(Box::pin(run)),
            end: None,
            outlet,
            advance,
            consumed: 0,
            step: (limit / 4).max(1),
            then: Then::Look,
        }
    }
}

impl<U, E> Workers<U, E> {
    /// One value more was given. The horizon follows in steps, so that the workers are seldom
    /// disturbed and never stand there while the consumer keeps up.
    fn consumed(&mut self) {
        self.consumed += 1;
        if self.consumed >= self.step {
            (self.advance)(take(&mut self.consumed));
        }
    }

    /// Lets all that is ready run before the consumer is polled again. Tokio's own yield does that; a
    /// plain wake may come before them.
    fn lap(&mut self, cx: &mut Context<'_>) {
        self.then = Then::Wait;
        let _ = pin!(yield_now()).poll(cx);
    }

    /// Has the next value wake the consumer.
    fn wait(&mut self, cx: &mut Context<'_>) {
        // Who stands at the horizon is not to wait for a consumer that waits for him.
        if self.consumed > 0 {
            (self.advance)(take(&mut self.consumed));
        }
        self.outlet.park(cx.waker());
    }

    /// More values, or how the group ended once they are all given.
    fn poll_more(
        &mut self,
        into: &mut VecDeque<(usize, U)>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), GroupError<E>>>> {
        if self.run.is_some() && self.then == Then::Lap {
            self.lap(cx);
            return Poll::Pending;
        }
        self.outlet.take_all(into);
        if self.run.is_some() && into.is_empty() {
            match self.then {
                Then::Wait => self.wait(cx),
                Then::Look | Then::Lap => self.lap(cx),
            }
            if let Some(Poll::Ready(end)) = self.run.as_mut().map(|run| run.as_mut().poll(cx)) {
                self.run = None;
                self.end = Some(end);
            }
            self.outlet.take_all(into);
        }
        if !into.is_empty() {
            let many = into.len() >= MANY;
            self.then = if many { Then::Lap } else { Then::Look };
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
