use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Timer, Timestamp, bound, covers, enter_deadline};
use shibuya_waitlist::count;
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;

use crate::backoff::{Backoff, Curve};
use crate::budget::{Budget, Cost, Withdrawal};
use crate::course::Course;
use crate::error::{Failure, Inner, Reason, RetryError};
use crate::notify::{Event, Next, Notify, Silent};
use crate::policy::Policy;
use crate::verdict::{Always, Attempt, By, Classify, Verdict, When};

/// A series of attempts, driven by hand: for operations that borrow what a closure can't lend, and for
/// asynchronous work between two attempts.
///
/// [`Policy::start`] makes one. [`attempt`](Self::attempt) runs one attempt, [`backoff`](Self::backoff) takes its
/// failure and waits, and ends the series when there are to be no more. [`run`](Self::run) does both in a loop.
///
/// Dropping it gives a retry that was granted and has not begun back to the budget.
///
/// # Examples
///
/// Connecting again between two attempts:
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Policy, RetryError};
///
/// struct Connection(u32);
///
/// impl Connection {
///     async fn open() -> Self {
///         Self(0)
///     }
///
///     async fn query(&mut self, what: &str) -> Result<String, &'static str> {
///         self.0 += 1;
///         match self.0 {
///             1 => Err("the connection was reset"),
///             _ => Ok(format!("{what} is 17")),
///         }
///     }
/// }
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(1));
///
/// async fn answer(what: &str) -> Result<String, RetryError<&'static str>> {
///     let mut connection = Connection::open().await;
///     let mut run = POLICY.start();
///     loop {
///         match run.attempt(connection.query(what)).await {
///             Ok(answer) => break Ok(answer),
///             Err(failure) => run.backoff(failure).await?,
///         }
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(answer("the limit").await.unwrap(), "the limit is 17");
/// # }
/// ```
#[must_use = "it makes no attempt by itself"]
pub struct Run<'p, E, B = Curve, W = Always, N = Silent> {
    policy: &'p Policy<B>,
    budget: Option<&'p Budget>,
    /// No attempt goes on past it.
    deadline: Timestamp,
    /// How long one attempt may take, in nanoseconds; `u64::MAX` for as long as it likes.
    attempt_nanos: u64,
    /// When the first attempt had to wait or failed; `NEVER` before.
    began: Timestamp,
    /// The same of the present attempt.
    attempt_began: Timestamp,
    /// What a call that succeeds at once does not need.
    slow: Lazy<'p, E>,
    classify: W,
    notify: N,
}

pin_project! {
    struct Slow<'p, E> {
        // The present attempt's timeout, or the delay after it: never both.
        #[pin]
        timer: Timer,
        course: Course,
        attempts: u32,
        last: Option<Failure<E>>,
        history: VecDeque<Failure<E>>,
        // When the next attempt begins; `None` for at once.
        next: Option<Timestamp>,
        // What it has taken from the budget, and may still give back.
        withdrawal: Option<Withdrawal<'p>>,
    }
}

/// Most calls never make one, so dropping it in line is a look whether it is there, and the rest is out of line.
struct Lazy<'p, E>(Option<Pin<Box<Slow<'p, E>>>>);

impl<E> Drop for Lazy<'_, E> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn free<E>(slow: Pin<Box<Slow<'_, E>>>) {
            drop(slow);
        }
        if let Some(slow) = self.0.take() {
            free(slow);
        }
    }
}

impl<E> Slow<'_, E> {
    /// The attempt that was paid for begins.
    #[cold]
    fn spend(self: Pin<&mut Self>) {
        if let Some(withdrawal) = self.project().withdrawal.take() {
            withdrawal.spend();
        }
    }
}

impl<'p, E, B> Run<'p, E, B> {
    pub(crate) fn new(policy: &'p Policy<B>) -> Self {
        Self {
            policy,
            budget: None,
            deadline: Timestamp::NEVER,
            attempt_nanos: u64::MAX,
            began: Timestamp::NEVER,
            attempt_began: Timestamp::NEVER,
            slow: Lazy(None),
            classify: Always,
            notify: Silent,
        }
    }
}

impl<'p, E, B, W, N> Run<'p, E, B, W, N> {
    /// Drops an attempt that takes longer than this, and counts it as failed. Inside it, that is the
    /// [deadline in force](shibuya_cancel::remaining).
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Lets no attempt go on past this instant, and begins none that would start after it: it then gives up
    /// at once, with the error that it has, in place of waiting in vain. The deadline of the
    /// [scope](shibuya_cancel) it runs in holds anyhow.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Timestamp::from(at);
        self
    }

    /// Takes each retry from a budget that many calls share.
    pub fn budget(mut self, budget: &'p Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Tries again only after an error for which `retryable` says so.
    pub fn when<F: FnMut(&E) -> bool>(self, retryable: F) -> Run<'p, E, B, When<F>, N> {
        self.with(|_, notify| (When(retryable), notify))
    }

    /// Does after each error what `classify` says.
    pub fn classify<F>(self, classify: F) -> Run<'p, E, B, By<F>, N>
    where
        F: FnMut(&E, &Attempt) -> Verdict,
    {
        self.with(|_, notify| (By(classify), notify))
    }

    /// Calls `notify` after each failure, before the wait.
    pub fn notify<M: FnMut(Event<'_, E>)>(self, notify: M) -> Run<'p, E, B, W, M> {
        self.with(|classify, _| (classify, notify))
    }

    /// The same with another judge or listener, which are part of its type.
    fn with<V, M>(self, change: impl FnOnce(W, N) -> (V, M)) -> Run<'p, E, B, V, M> {
        let (classify, notify) = change(self.classify, self.notify);
        Run {
            policy: self.policy,
            budget: self.budget,
            deadline: self.deadline,
            attempt_nanos: self.attempt_nanos,
            began: self.began,
            attempt_began: self.attempt_began,
            slow: self.slow,
            classify,
            notify,
        }
    }
}

impl<'p, E, B, W, N> Run<'p, E, B, W, N>
where
    B: Backoff,
    W: Classify<E>,
    N: Notify<E>,
{
    /// Runs one attempt, under the timeout and the deadline.
    ///
    /// Dropping it drops `fut`.
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`. The series may go on with another attempt.
    ///
    /// # Errors
    ///
    /// What is to be passed to [`backoff`](Self::backoff): the error of `fut`, or that it took too long and
    /// was dropped.
    pub fn attempt<F, T>(&mut self, fut: F) -> RunAttempt<'_, 'p, F, E, B, W, N>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.begin();
        RunAttempt {
            run: self,
            fut: Some(fut),
        }
    }

    /// Waits until the next attempt is due.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped the wait is over, and the next attempt may begin.
    ///
    /// # Errors
    ///
    /// [`RetryError`], with the failure inside, when there is to be no other attempt.
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    pub fn backoff(&mut self, failure: Failure<E>) -> RunBackoff<'_, 'p, E, B, W, N> {
        RunBackoff {
            run: self,
            failure: Some(failure),
        }
    }

    /// Runs `op` on what it borrows, again and again, until it succeeds or there are to be no more attempts.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the attempt that runs; what that had begun is in `context`, as with any other
    /// caller of `op`.
    ///
    /// # Errors
    ///
    /// [`RetryError`] when there are to be no more attempts.
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would hold its arguments twice"
    )]
    pub fn run<C, T, O>(
        mut self,
        context: &mut C,
        mut op: O,
    ) -> impl Future<Output = Result<T, RetryError<E>>>
    where
        C: ?Sized,
        O: for<'a> AsyncOp<&'a mut C, Output = Result<T, E>>,
    {
        async move {
            loop {
                match self.attempt(op(context)).await {
                    Ok(value) => return Ok(value),
                    Err(failure) => self.backoff(failure).await?,
                }
            }
        }
    }

    /// Forgets an attempt that was dropped before it ended.
    fn begin(&mut self) {
        self.attempt_began = Timestamp::NEVER;
        if let Some(slow) = &mut self.slow.0 {
            slow.as_mut().project().timer.disarm();
        }
    }

    /// The present attempt, which must be dropped once this has given something.
    ///
    /// In line whatever the compiler thinks of it, for the sake of an attempt that succeeds at once.
    #[inline(always)]
    pub(crate) fn poll_attempt<F, T>(
        &mut self,
        fut: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Failure<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let is_first_poll = self.attempt_began == Timestamp::NEVER;
        if is_first_poll {
            self.spend();
        }
        match (self.attempt_nanos, self.deadline) {
            (u64::MAX, Timestamp::NEVER) => self.poll_unbounded(fut, cx),
            _ => self.poll_bounded(fut, cx, is_first_poll),
        }
    }

    /// Under a timeout or a deadline, for which the clock is read.
    fn poll_bounded<F, T>(
        &mut self,
        fut: Pin<&mut F>,
        cx: &mut Context<'_>,
        is_first_poll: bool,
    ) -> Poll<Result<T, Failure<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if is_first_poll {
            self.note_beginning(Timestamp::now());
        }
        let end = self.end_of_attempt();
        if covers(end, cx) {
            return self.poll_unbounded(fut, cx);
        }
        if is_first_poll && end <= self.attempt_began {
            return Poll::Ready(Err(Failure::TimedOut));
        }
        let inside = enter_deadline(end, cx);
        let answer = fut.poll(cx);
        drop(inside);
        if answer.is_ready() {
            return answer.map_err(Failure::Error);
        }
        ready!(self.slow().project().timer.poll(end, cx));
        Poll::Ready(Err(Failure::TimedOut))
    }

    /// Nothing cuts it off, or what is around it does so sooner.
    #[inline]
    fn poll_unbounded<F, T>(
        &mut self,
        fut: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Failure<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        match fut.poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(Failure::Error)),
            Poll::Pending => {
                if self.attempt_began == Timestamp::NEVER {
                    self.note_beginning(Timestamp::now());
                }
                Poll::Pending
            }
        }
    }

    /// When the present attempt is dropped.
    fn end_of_attempt(&self) -> Timestamp {
        let limit = match self.attempt_nanos {
            u64::MAX => Timestamp::NEVER,
            nanos => self.attempt_began.after(Duration::from_nanos(nanos)),
        };
        limit.min(self.deadline)
    }

    fn note_beginning(&mut self, now: Timestamp) {
        self.attempt_began = now;
        self.began = self.began.min(now);
    }

    /// What follows a failure. From then on [`poll_wait`](Self::poll_wait) waits for the next attempt.
    pub(crate) fn judge(&mut self, failure: Failure<E>) -> Result<(), RetryError<E>> {
        let now = Timestamp::now();
        self.began = self.began.min(now);
        let ran = now.since(self.attempt_began.min(now));
        self.attempt_began = Timestamp::NEVER;
        let elapsed = now.since(self.began);
        let deadline = self.deadline.min(bound().at());
        let (policy, budget) = (self.policy, self.budget);

        let slow = self.slow().project();
        slow.timer.disarm();
        *slow.attempts = slow.attempts.saturating_add(1);
        if let Some(earlier) = slow.last.take() {
            remember(slow.history, earlier, policy.history);
        }
        let attempt = Attempt {
            number: *slow.attempts,
            elapsed,
        };
        let (verdict, cost) = match &failure {
            Failure::Error(error) => (self.classify.classify(error, &attempt), Cost::Error),
            Failure::TimedOut => (Verdict::Retry, Cost::Timeout),
        };
        let slow = self.slow.0.as_mut().expect("made above").as_mut().project();
        let next = slow
            .course
            .after(policy, verdict, ran, now, deadline)
            .and_then(|delay| match budget {
                Some(budget) => {
                    let withdrawal = budget.withdraw(cost, || now).ok_or(Reason::Budget)?;
                    *slow.withdrawal = Some(withdrawal);
                    Ok(delay)
                }
                None => Ok(delay),
            });
        let (next, decided) = match next {
            Ok(Duration::ZERO) => (Next::Retry(Duration::ZERO), Ok(None)),
            Ok(delay) => (Next::Retry(delay), Ok(Some(now.after(delay)))),
            Err(reason) => (Next::GiveUp(reason), Err(reason)),
        };
        tell(&attempt, next);
        self.notify.notify(Event {
            failure: &failure,
            attempt,
            next,
        });
        let slow = self.slow.0.as_mut().expect("made above").as_mut().project();
        *slow.last = Some(failure);
        match decided {
            Ok(at) => {
                *slow.next = at;
                Ok(())
            }
            Err(reason) => Err(self.give_up(reason, now)),
        }
    }

    /// Ready when the next attempt is due.
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RetryError<E>>> {
        let mut slow = self.slow().project();
        match *slow.next {
            // No tick of a timer for no delay; only a turn for others, now and then.
            None => ready!(poll_proceed(cx)).made_progress(),
            Some(at) => {
                ready!(slow.timer.as_mut().poll(at, cx));
                slow.timer.disarm();
            }
        }
        let now = match self.deadline {
            Timestamp::NEVER => return Poll::Ready(Ok(())),
            _ => Timestamp::now(),
        };
        // This thread may have come late to its timer.
        Poll::Ready(match now >= self.deadline {
            true => Err(self.give_up(Reason::Deadline, now)),
            false => Ok(()),
        })
    }

    /// With the last failure, which is kept for this.
    fn give_up(&mut self, reason: Reason, now: Timestamp) -> RetryError<E> {
        count!(GIVE_UPS, "reason" = crate::metrics::label(reason));
        let elapsed = now.since(self.began);
        let slow = self.slow().project();
        *slow.withdrawal = None;
        RetryError(Box::new(Inner {
            reason,
            last: slow.last.take().expect("it follows a failure"),
            attempts: *slow.attempts,
            elapsed,
            history: std::mem::take(slow.history),
        }))
    }

    /// An attempt begins: the first is a deposit, and each other was paid for.
    #[inline]
    fn spend(&mut self) {
        count!(ATTEMPTS);
        if let (Some(budget), Timestamp::NEVER) = (self.budget, self.began) {
            budget.deposit();
        }
        if let Some(slow) = &mut self.slow.0 {
            slow.as_mut().spend();
        }
    }

    fn slow(&mut self) -> Pin<&mut Slow<'p, E>> {
        let policy = self.policy;
        let slow = self.slow.0.get_or_insert_with(|| {
            Box::pin(Slow {
                timer: Timer::new(),
                course: Course::new(policy.seed),
                attempts: 0,
                last: None,
                history: VecDeque::new(),
                next: None,
                withdrawal: None,
            })
        });
        slow.as_mut()
    }
}

fn remember<E>(history: &mut VecDeque<Failure<E>>, failure: Failure<E>, most: usize) {
    if most == 0 {
        return;
    }
    if history.len() == most {
        history.pop_front();
    }
    history.push_back(failure);
}

fn tell(attempt: &Attempt, next: Next) {
    let number = attempt.number;
    match next {
        Next::Retry(delay) => {
            count!(RETRIES);
            count!(DELAY: delay.as_secs_f64());
            tracing::debug!(attempt = number, ?delay, "retry");
        }
        Next::GiveUp(reason) => tracing::debug!(attempt = number, %reason, "give up"),
    }
}

impl<E, B, W, N> fmt::Debug for Run<'_, E, B, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.slow.0.as_ref().map_or(0, |slow| slow.attempts);
        f.debug_struct("Run")
            .field("failed_attempts", &attempts)
            .finish_non_exhaustive()
    }
}

/// An asynchronous function of one argument: what an async closure that captures nothing is, and an
/// `async fn`. The future may borrow from the argument.
pub trait AsyncOp<A>: FnMut(A) -> <Self as AsyncOp<A>>::Future {
    /// What it gives in the end.
    type Output;
    /// What is to be awaited for that.
    type Future: Future<Output = <Self as AsyncOp<A>>::Output>;
}

impl<A, F, Fut> AsyncOp<A> for F
where
    F: FnMut(A) -> Fut,
    Fut: Future,
{
    type Output = Fut::Output;
    type Future = Fut;
}

pin_project! {
    /// The future of [`Run::attempt`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RunAttempt<'r, 'p, F, E, B, W, N> {
        run: &'r mut Run<'p, E, B, W, N>,
        #[pin]
        fut: Option<F>,
    }
}

impl<F, T, E, B, W, N> Future for RunAttempt<'_, '_, F, E, B, W, N>
where
    F: Future<Output = Result<T, E>>,
    B: Backoff,
    W: Classify<E>,
    N: Notify<E>,
{
    type Output = Result<T, Failure<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let fut = this.fut.as_mut().as_pin_mut();
        let fut = fut.expect("`RunAttempt` polled after it was done");
        let answer = ready!(this.run.poll_attempt(fut, cx));
        this.fut.set(None);
        Poll::Ready(answer)
    }
}

/// The future of [`Run::backoff`].
#[must_use = "futures do nothing unless polled"]
pub struct RunBackoff<'r, 'p, E, B, W, N> {
    run: &'r mut Run<'p, E, B, W, N>,
    failure: Option<Failure<E>>,
}

impl<E, B, W, N> Unpin for RunBackoff<'_, '_, E, B, W, N> {}

impl<E, B, W, N> Future for RunBackoff<'_, '_, E, B, W, N>
where
    B: Backoff,
    W: Classify<E>,
    N: Notify<E>,
{
    type Output = Result<(), RetryError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(failure) = self.failure.take() {
            self.run.judge(failure)?;
        }
        self.run.poll_wait(cx)
    }
}

impl<F, E, B, W, N> fmt::Debug for RunAttempt<'_, '_, F, E, B, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAttempt").finish_non_exhaustive()
    }
}

impl<E, B, W, N> fmt::Debug for RunBackoff<'_, '_, E, B, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunBackoff").finish_non_exhaustive()
    }
}
