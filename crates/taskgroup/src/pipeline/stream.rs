use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use shibuya_sync::Queue;
use shibuya_sync::queue::QueueStream;

use super::Pipeline;
use super::line::{Inlet, Numbered};
use crate::GroupError;

/// The values of a pipeline, one by one, from [`Pipeline::stream`].
///
/// After a failure it gives what had come through before, then the error, then ends. Dropping it has the
/// workers dropped at their next poll, without waiting for that; a group further out waits for them
/// instead.
///
/// # Cancel safety
///
/// Waiting for the next value can be given up and taken up again: a value is taken only when it is given.
#[must_use = "streams do nothing unless polled"]
pub struct PipelineStream<T, E> {
    /// Before the values: what comes when these are gone is dropped.
    run: Option<BoxFuture<'static, Result<(), GroupError<E>>>>,
    /// How it failed, until that is told.
    error: Option<GroupError<E>>,
    values: QueueStream<Numbered<T>>,
    _left: Inlet<T>,
}

impl<T: Send + 'static, E: Send + 'static> PipelineStream<T, E> {
    #[track_caller]
    pub(super) fn new(pipeline: Pipeline<T, E>) -> Self {
        let queue = Queue::bounded(pipeline.buffer);
        Self {
            values: queue.stream(),
            _left: Inlet(queue.clone()),
            run: Some(Box::pin(pipeline.drive(queue, ready(Ok(()))))),
            error: None,
        }
    }
}

impl<T, E> PipelineStream<T, E> {
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
    pub async fn next(&mut self) -> Option<Result<T, GroupError<E>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T, E> Stream for PipelineStream<T, E> {
    type Item = Result<T, GroupError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let value = Pin::new(&mut this.values).poll_next(cx);
            if let Poll::Ready(Some(value)) = value {
                return Poll::Ready(Some(Ok(value.into_inner().value)));
            }
            let Some(run) = &mut this.run else {
                ready!(value);
                return Poll::Ready(this.error.take().map(Err));
            };
            this.error = ready!(run.as_mut().poll(cx)).err();
            this.run = None;
        }
    }
}

impl<T, E> fmt::Debug for PipelineStream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineStream")
            .field("ready", &self._left.0.len())
            .finish_non_exhaustive()
    }
}

/// Nothing in it is pinned but what has a box of its own.
impl<T, E> Unpin for PipelineStream<T, E> {}
