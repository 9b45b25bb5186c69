use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// A value in place of an error, for futures of a `Result`.
///
/// A cancelled future gives no value at all, so a cancellation is never taken for an error.
///
/// # Examples
///
/// ```
/// use shibuya_retry::Fallback;
///
/// async fn price() -> Result<u32, &'static str> {
///     Err("the shop is closed")
/// }
///
/// async fn price_of_yesterday(_: &'static str) -> Result<u32, &'static str> {
///     Ok(7)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(price().or(5).await, 5);
/// assert_eq!(price().or_default().await, 0);
/// assert_eq!(price().or_else(price_of_yesterday).await, Ok(7));
/// # }
/// ```
pub trait Fallback<T, E>: Future<Output = Result<T, E>> + Sized {
    /// `value` in place of an error.
    ///
    /// # Cancel safety
    ///
    /// As safe as the future itself.
    fn or(self, value: T) -> Or<Self, T> {
        Or {
            fut: self,
            value: Some(value),
        }
    }

    /// The default of its type in place of an error.
    ///
    /// # Cancel safety
    ///
    /// As safe as the future itself.
    fn or_default(self) -> OrDefault<Self>
    where
        T: Default,
    {
        OrDefault { fut: self }
    }

    /// What another future gives in place of an error. The first one is dropped by then.
    ///
    /// # Cancel safety
    ///
    /// As safe as the two futures.
    ///
    /// # Errors
    ///
    /// The error of the other one.
    fn or_else<M, F, E2>(self, make: M) -> OrElse<Self, M, F>
    where
        M: FnOnce(E) -> F,
        F: Future<Output = Result<T, E2>>,
    {
        let turn = Turn::First {
            fut: self,
            make: Some(make),
        };
        OrElse { turn }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Fallback<T, E> for F {}

pin_project! {
    /// The future of [`Fallback::or`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Or<F, T> {
        #[pin]
        fut: F,
        value: Option<T>,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Or<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let answer = ready!(this.fut.poll(cx));
        let value = this.value.take().expect("`Or` polled after it was done");
        Poll::Ready(answer.unwrap_or(value))
    }
}

pin_project! {
    /// The future of [`Fallback::or_default`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OrDefault<F> {
        #[pin]
        fut: F,
    }
}

impl<T: Default, E, F: Future<Output = Result<T, E>>> Future for OrDefault<F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.project().fut.poll(cx).map(Result::unwrap_or_default)
    }
}

pin_project! {
    /// The future of [`Fallback::or_else`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OrElse<F, M, G> {
        #[pin]
        turn: Turn<F, M, G>,
    }
}

pin_project! {
    #[project = TurnProj]
    enum Turn<F, M, G> {
        First {
            #[pin]
            fut: F,
            make: Option<M>,
        },
        Other {
            #[pin]
            fut: G,
        },
        Done,
    }
}

impl<T, E, E2, F, M, G> Future for OrElse<F, M, G>
where
    F: Future<Output = Result<T, E>>,
    M: FnOnce(E) -> G,
    G: Future<Output = Result<T, E2>>,
{
    type Output = Result<T, E2>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut turn = self.project().turn;
        loop {
            let answer = match turn.as_mut().project() {
                TurnProj::First { fut, make } => match ready!(fut.poll(cx)) {
                    Ok(value) => Ok(value),
                    Err(error) => {
                        let make = make.take().expect("called once");
                        turn.set(Turn::Done);
                        let fut = make(error);
                        turn.set(Turn::Other { fut });
                        continue;
                    }
                },
                TurnProj::Other { fut } => ready!(fut.poll(cx)),
                TurnProj::Done => panic!("`OrElse` polled after it was done"),
            };
            turn.set(Turn::Done);
            return Poll::Ready(answer);
        }
    }
}

impl<F, T> fmt::Debug for Or<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Or").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for OrDefault<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrDefault").finish_non_exhaustive()
    }
}

impl<F, M, G> fmt::Debug for OrElse<F, M, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrElse").finish_non_exhaustive()
    }
}
