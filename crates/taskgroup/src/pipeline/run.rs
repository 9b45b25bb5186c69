use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use shibuya_sync::Queue;

use super::Pipeline;
use super::line::{Inlet, Numbered, Place};
use crate::{Cause, Failure, GroupError, Name};

/// The future of [`Pipeline::run`].
#[must_use = "futures do nothing unless polled"]
pub struct PipelineRun<T, E>(BoxFuture<'static, Result<Vec<T>, GroupError<E>>>);

impl<T: Send + 'static, E: Send + 'static> PipelineRun<T, E> {
    #[track_caller]
    pub(super) fn new(pipeline: Pipeline<T, E>) -> Self {
        let queue = Queue::bounded(pipeline.buffer);
        let values = Inlet(queue.clone());
        Self(Box::pin(pipeline.drive(queue, async move {
            let mut done = Vec::new();
            while let Some(value) = values.next().await {
                done.push(value);
            }
            done.sort_by_key(|value| value.place);
            Ok(done.into_iter().map(|value| value.value).collect())
        })))
    }
}

impl<T, E> Future for PipelineRun<T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for PipelineRun<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipelineRun(..)")
    }
}

/// The future of [`Pipeline::for_each`].
#[must_use = "futures do nothing unless polled"]
pub struct PipelineForEach<'a, E>(BoxFuture<'a, Result<(), GroupError<E>>>);

impl<'a, E: Send + 'static> PipelineForEach<'a, E> {
    #[track_caller]
    pub(super) fn new<T, F, Fut>(pipeline: Pipeline<T, E>, mut f: F) -> Self
    where
        T: Send + 'static,
        F: FnMut(T) -> Fut + Send + 'a,
        Fut: Future<Output = Result<(), E>> + Send + 'a,
    {
        let queue = Queue::bounded(pipeline.buffer);
        let values = Inlet(queue.clone());
        let at = Place::new();
        let seen = at.clone();
        let run = pipeline.drive(queue, async move {
            while let Some(Numbered { place, value }) = values.next().await {
                at.set(place);
                f(value).await?;
            }
            Ok(())
        });
        Self(Box::pin(async move {
            run.await
                .map_err(|error| error.rename(|failure| of_consumer(failure, &seen)))
        }))
    }
}

/// The consumer is the body of the group.
fn of_consumer<E>(failure: &Failure<E>, at: &Place) -> Option<Name> {
    let failed = matches!(failure.cause(), Cause::Error(_) | Cause::Panic(_));
    (failed && *failure.name() == "body").then(|| at.name(&"for_each".into()))
}

impl<E> Future for PipelineForEach<'_, E> {
    type Output = Result<(), GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for PipelineForEach<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipelineForEach(..)")
    }
}
