use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::backoff::{Backoff, Curve};
use crate::budget::Budget;
use crate::error::{Failure, RetryError};
use crate::notify::{Event, Notify, Silent};
use crate::policy::Policy;
use crate::run::Run;
use crate::verdict::{Always, Attempt, By, Classify, Verdict, When};

/// Whatever makes a new future for each attempt: closures and functions without an argument.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Policy, Retryable};
///
/// #[derive(Debug, PartialEq)]
/// enum Error {
///     Busy,
///     NotFound,
/// }
///
/// async fn read(key: &str, calls: &mut u32) -> Result<u32, Error> {
///     *calls += 1;
///     match (key, *calls) {
///         ("limit", 3..) => Ok(17),
///         ("limit", _) => Err(Error::Busy),
///         _ => Err(Error::NotFound),
///     }
/// }
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(1));
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let calls = std::cell::Cell::new(0);
/// let count = async |key| {
///     let mut so_far = calls.get();
///     let answer = read(key, &mut so_far).await;
///     calls.set(so_far);
///     answer
/// };
/// let limit = (|| count("limit")).retry(&POLICY).when(|error| *error == Error::Busy);
/// assert_eq!(limit.await.unwrap(), 17);
///
/// let gone = (|| count("other")).retry(&POLICY).when(|error| *error == Error::Busy);
/// let error = gone.await.unwrap_err();
/// assert_eq!(error.attempts(), 1);
/// assert_eq!(error.into_error(), Some(Error::NotFound));
/// # }
/// ```
pub trait Retryable<T, E, F>: FnMut() -> F + Sized
where
    F: Future<Output = Result<T, E>>,
{
    /// Calls it again and again until what it gives succeeds, or there are to be no more attempts.
    fn retry<B: Backoff>(self, policy: &Policy<B>) -> Retry<'_, Self, F, E, B>;
}

impl<M, T, E, F> Retryable<T, E, F> for M
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    fn retry<B: Backoff>(self, policy: &Policy<B>) -> Retry<'_, Self, F, E, B> {
        Retry {
            run: Run::new(policy),
            make: self,
            stage: Stage::Due,
        }
    }
}

pin_project! {
    /// The future of [`Retryable::retry`].
    ///
    /// An operation that succeeds at once costs no allocation and no random number, and no look at a clock unless
    /// there is a timeout or a deadline for it to see. A delay of zero costs no tick of a timer. Each attempt is
    /// dropped before the wait that follows.
    ///
    /// Dropping it drops the attempt that runs, and gives a retry that was granted and has not begun back to
    /// the budget.
    ///
    /// # Cancel safety
    ///
    /// As safe as the operation: whoever drops it may not know whether the last attempt had an effect.
    ///
    /// # Errors
    ///
    /// [`RetryError`] with the last failure, when there are to be no more attempts.
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers. A panic of the operation goes
    /// through, and is not retried.
    #[must_use = "futures do nothing unless polled"]
    pub struct Retry<'p, M, F, E, B = Curve, W = Always, N = Silent> {
        run: Run<'p, E, B, W, N>,
        make: M,
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<F> {
        // An attempt is to begin.
        Due,
        Attempt {
            #[pin]
            fut: F,
        },
        Wait,
        Done,
    }
}

impl<'p, M, F, E, B, W, N> Retry<'p, M, F, E, B, W, N> {
    fn with<W2, N2>(
        self,
        change: impl FnOnce(Run<'p, E, B, W, N>) -> Run<'p, E, B, W2, N2>,
    ) -> Retry<'p, M, F, E, B, W2, N2> {
        Retry {
            run: change(self.run),
            make: self.make,
            stage: self.stage,
        }
    }

    /// Tries again only after an error for which `retryable` says so; what takes too long is tried again.
    pub fn when<P: FnMut(&E) -> bool>(self, retryable: P) -> Retry<'p, M, F, E, B, When<P>, N> {
        self.with(|run| run.when(retryable))
    }

    /// Does after each error what `classify` says; what takes too long is tried again.
    ///
    /// # Examples
    ///
    /// Waiting for as long as the other side asks:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_retry::{Policy, Retryable, Verdict};
    ///
    /// enum Error {
    ///     TooManyRequests { retry_after: Duration },
    ///     Gone,
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let mut calls = 0;
    /// # let mut request = || { calls += 1; std::future::ready(if calls < 2 { Err(Error::TooManyRequests { retry_after: Duration::from_millis(2) }) } else { Ok("served") }) };
    /// static POLICY: Policy = Policy::exponential(Duration::from_millis(100), Duration::from_secs(1));
    ///
    /// let answer = (|| request()).retry(&POLICY).classify(|error, attempt| match error {
    ///     Error::TooManyRequests { retry_after } => Verdict::RetryAfter(*retry_after),
    ///     Error::Gone if attempt.number < 2 => Verdict::Retry,
    ///     Error::Gone => Verdict::Abort,
    /// });
    /// assert_eq!(answer.await.ok(), Some("served"));
    /// # }
    /// ```
    pub fn classify<P>(self, classify: P) -> Retry<'p, M, F, E, B, By<P>, N>
    where
        P: FnMut(&E, &Attempt) -> Verdict,
    {
        self.with(|run| run.classify(classify))
    }

    /// Calls `notify` after each failure, before the wait.
    pub fn notify<P: FnMut(Event<'_, E>)>(self, notify: P) -> Retry<'p, M, F, E, B, W, P> {
        self.with(|run| run.notify(notify))
    }

    /// Drops an attempt that takes longer than this, and counts it as failed. Inside it, that is the
    /// [deadline in force](shibuya_cancel::remaining).
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        self.with(|run| run.attempt_timeout(limit))
    }

    /// Lets no attempt go on past this instant, and begins none that would start after it: it then gives up
    /// at once, with the error that it has, in place of waiting in vain. The deadline of the
    /// [scope](shibuya_cancel) it runs in holds anyhow.
    pub fn deadline(self, at: Instant) -> Self {
        self.with(|run| run.deadline(at))
    }

    /// Takes each retry from a budget that many calls share.
    pub fn budget(self, budget: &'p Budget) -> Self {
        self.with(|run| run.budget(budget))
    }
}

impl<M, F, T, E, B, W, N> Future for Retry<'_, M, F, E, B, W, N>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    B: Backoff,
    W: Classify<E>,
    N: Notify<E>,
{
    type Output = Result<T, RetryError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            if let StageProj::Due = this.stage.as_mut().project() {
                let fut = (this.make)();
                this.stage.set(Stage::Attempt { fut });
            }
            let StageProj::Attempt { fut } = this.stage.as_mut().project() else {
                ready!(self.as_mut().poll_wait(cx))?;
                continue;
            };
            match ready!(this.run.poll_attempt(fut, cx)) {
                Ok(value) => {
                    this.stage.set(Stage::Done);
                    return Poll::Ready(Ok(value));
                }
                Err(failure) => self.as_mut().judge(failure)?,
            }
        }
    }
}

/// What a call that succeeds at once does not come to: out of its way.
impl<M, F, T, E, B, W, N> Retry<'_, M, F, E, B, W, N>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    B: Backoff,
    W: Classify<E>,
    N: Notify<E>,
{
    #[cold]
    fn judge(self: Pin<&mut Self>, failure: Failure<E>) -> Result<(), RetryError<E>> {
        let mut this = self.project();
        this.stage.set(Stage::Done);
        this.run.judge(failure)?;
        this.stage.set(Stage::Wait);
        Ok(())
    }

    #[cold]
    fn poll_wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        let mut this = self.project();
        let StageProj::Wait = this.stage.as_mut().project() else {
            panic!("`Retry` polled after it was done");
        };
        let due = ready!(this.run.poll_wait(cx));
        this.stage.set(match due {
            Ok(()) => Stage::Due,
            Err(_) => Stage::Done,
        });
        Poll::Ready(due)
    }
}

impl<M, F, E, B, W, N> fmt::Debug for Retry<'_, M, F, E, B, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// Runs `op` on what it borrows, again and again, until it succeeds or there are to be no more attempts: a
/// short form of [`Run::run`].
///
/// # Cancel safety
///
/// Dropping it drops the attempt that runs; what that had begun is in `context`, as with any other caller of
/// `op`.
///
/// # Errors
///
/// [`RetryError`] when there are to be no more attempts.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// A closure could not lend its connection to a future that it returns:
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Policy, retry_with};
///
/// struct Connection(u32);
///
/// impl Connection {
///     async fn query(&mut self, what: &str) -> Result<u32, &'static str> {
///         self.0 += 1;
///         if self.0 < 3 { Err("busy") } else { Ok(what.len() as u32) }
///     }
/// }
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(1));
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut context = (Connection(0), String::from("limit"));
/// let answer = retry_with(&POLICY, &mut context, async |(connection, what): &mut (Connection, String)| {
///     connection.query(what).await
/// });
/// assert_eq!(answer.await.unwrap(), 5);
/// # }
/// ```
pub fn retry_with<'p, C, T, E, O, B>(
    policy: &'p Policy<B>,
    context: &'p mut C,
    op: O,
) -> impl Future<Output = Result<T, RetryError<E>>>
where
    C: ?Sized,
    B: Backoff,
    O: for<'a> crate::run::AsyncOp<&'a mut C, Output = Result<T, E>>,
{
    policy.start().run(context, op)
}
