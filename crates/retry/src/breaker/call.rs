use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use thiserror::Error;

use super::{Breaker, Open, Permit};

impl Breaker {
    /// Runs `fut` if a call may go through, which is asked when it is first polled. An error of it is a failure.
    ///
    /// Dropping it drops `fut`, which is no vote.
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`. The place of a probe is free again.
    ///
    /// # Errors
    ///
    /// [`CallError::Open`] when no call may go through, in which case `fut` was not polled, and
    /// [`CallError::Failed`] with its own error.
    ///
    /// # Panics
    ///
    /// A panic of `fut` goes through, and is no vote.
    pub fn call<T, E, F>(&self, fut: F) -> BreakerCall<'_, F, fn(&E) -> bool>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_when(fut, |_| true)
    }

    /// Like [`call`](Self::call), where only the errors for which `is_failure` says so speak against the other
    /// side: not a request that was wrong, for example. Others are a success.
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`. The place of a probe is free again.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn call_when<T, E, F, P>(&self, fut: F, is_failure: P) -> BreakerCall<'_, F, P>
    where
        F: Future<Output = Result<T, E>>,
        P: FnOnce(&E) -> bool,
    {
        BreakerCall {
            gate: Gate::Before(self),
            fut: Some(fut),
            is_failure: Some(is_failure),
        }
    }
}

pin_project! {
    /// The future of [`Breaker::call`] and [`Breaker::call_when`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerCall<'b, F, P> {
        gate: Gate<'b>,
        #[pin]
        fut: Option<F>,
        is_failure: Option<P>,
    }
}

enum Gate<'b> {
    Before(&'b Breaker),
    Inside(Permit<'b>),
    Done,
}

impl<T, E, F, P> Future for BreakerCall<'_, F, P>
where
    F: Future<Output = Result<T, E>>,
    P: FnOnce(&E) -> bool,
{
    type Output = Result<T, CallError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // A permit stays here, and not in the future, if the answer is ready.
        let permit = match std::mem::replace(this.gate, Gate::Done) {
            Gate::Inside(permit) => permit,
            Gate::Before(breaker) => match breaker.try_acquire() {
                Ok(permit) => permit,
                Err(open) => {
                    this.fut.set(None);
                    return Poll::Ready(Err(CallError::Open(open)));
                }
            },
            Gate::Done => panic!("`BreakerCall` polled after it was done"),
        };
        let fut = this.fut.as_mut().as_pin_mut();
        let Poll::Ready(answer) = fut.expect("it is not done").poll(cx) else {
            *this.gate = Gate::Inside(permit);
            return Poll::Pending;
        };
        this.fut.set(None);
        let failed = match (&answer, this.is_failure.take()) {
            (Err(error), Some(is_failure)) => is_failure(error),
            _ => false,
        };
        match failed {
            true => permit.failure(),
            false => permit.success(),
        }
        Poll::Ready(answer.map_err(CallError::Failed))
    }
}

impl<F, P> fmt::Debug for BreakerCall<'_, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerCall").finish_non_exhaustive()
    }
}

/// A call through a [`Breaker`] that gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError<E> {
    /// It was not let through.
    #[error(transparent)]
    Open(Open),
    /// It was, and failed.
    #[error("{0}")]
    Failed(E),
}

impl<E> CallError<E> {
    /// Whether it was not let through.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// When another call may be let through, if this one was not.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Open(open) => Some(open.retry_in),
            Self::Failed(_) => None,
        }
    }

    /// Its own error, if it was let through.
    pub fn into_failed(self) -> Option<E> {
        match self {
            Self::Open(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}
