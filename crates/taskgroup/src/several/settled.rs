use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::{Outcome, Panic};

pin_project! {
    /// A future whose failure is its value, so that it never fails its group.
    pub(crate) struct Settled<F> {
        #[pin]
        fut: Option<F>,
    }
}

impl<F> Settled<F> {
    pub(crate) fn new(fut: F) -> Self {
        Self { fut: Some(fut) }
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
            Err(payload) => {
                // Of two panics the first is told.
                let _ = catch_unwind(AssertUnwindSafe(|| fut.set(None)));
                Outcome::Panicked(Panic::new(payload))
            }
        }))
    }
}
