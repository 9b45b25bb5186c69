mod beat;
mod jitter;
mod turns;

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use self::turns::Loop;

/// A loop that runs a function once in each `period`, in the task that awaits it.
///
/// The first run comes after one period, or [at once](Every::immediately). Runs never overlap: the
/// next one begins when the last has ended, at the earliest. What then becomes of those that were
/// due meanwhile says [`Missed`]. The schedule is counted from the start, so it does not drift.
///
/// # Panics
///
/// When `period` is 0.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{Reason, TaskGroup, every};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::<std::io::Error>::builder().grace(Duration::from_millis(500));
/// let beats = group.run(async |g| {
///     let mut beats = 0;
///     let heart = every(Duration::from_millis(5)).run(|| {
///         beats += 1;
///         if beats == 3 {
///             g.cancel(Reason::Requested); // from anywhere
///         }
///         async { Ok::<_, std::io::Error>(()) }
///     });
///     heart.await?; // ends well, as it was told to
///     Ok(beats)
/// });
/// assert_eq!(beats.await.unwrap(), 3);
/// # }
/// ```
#[track_caller]
pub fn every(period: Duration) -> Every {
    assert!(
        !period.is_zero(),
        "a period of 0 has no end of runs; the least is 1 ns"
    );
    Every {
        period,
        missed: Missed::default(),
        jitter: Duration::ZERO,
        seed: None,
        immediately: false,
        times: None,
    }
}

/// What becomes of the runs that were due while the one before took its time.
///
/// ```text
/// period 4 ms, the second run takes 9 ms
/// due              1   2   3   4   5   6
/// ms               0   4   8  12  16  20
/// Missed::Skip     1   2········· 5   6
/// Missed::Burst    1   2········345   6
/// Missed::Delay    1   2········    3   4
/// ```
///
/// Tokio's `MissedTickBehavior` (1.48) has the same words for a timer that is asked late, and gives
/// the late tick at once under each of them. Here the time is looked at when a run has ended: under
/// `Skip` and `Delay` nothing runs late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out; the next comes when it is due by the schedule.
    #[default]
    Skip,
    /// They are made up for, one right after the other.
    Burst,
    /// They are left out, and the schedule begins anew: the next comes a period after the end of the
    /// late one.
    Delay,
}

/// A periodic loop to be, from [`every`].
#[derive(Clone, Debug)]
#[must_use = "a loop does nothing until `run` is awaited"]
pub struct Every {
    period: Duration,
    missed: Missed,
    jitter: Duration,
    seed: Option<u64>,
    immediately: bool,
    times: Option<usize>,
}

impl Every {
    /// What becomes of runs that were due while another took its time. Default: they are skipped.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Delays each run by a random time below `limit`, so that many loops don't act as one. The
    /// schedule stays as it is. A first run [at once](Self::immediately) is not delayed.
    ///
    /// # Panics
    ///
    /// When `limit` is longer than the period.
    #[track_caller]
    pub fn jitter(mut self, limit: Duration) -> Self {
        assert!(
            limit <= self.period,
            "a jitter of {limit:?} reaches into the next period; the most is the period, {:?}",
            self.period
        );
        self.jitter = limit;
        self
    }

    /// Makes the jitter the same in each run of the program. For tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs for the first time at once, not after one period.
    pub fn immediately(mut self) -> Self {
        self.immediately = true;
        self
    }

    /// Ends after so many runs. Default: it goes on.
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Runs `f` in each period, until it fails, its [`times`](Self::times) are over or its scope is
    /// cancelled. To end it from inside, take [`run_until`](Self::run_until).
    ///
    /// `f` runs in the caller's task and may borrow: an `async || { .. }` what it only reads, and what
    /// it changes where it makes its future, `|| { count += 1; async move { .. } }`. In a scope that is cancelled with a grace no
    /// further run begins, and the one at work ends by itself, as everything does there.
    ///
    /// Dropping the returned future drops the run at work.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: the schedule goes with it. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// The first error of `f`.
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime, or in one without timers. A panic of `f` goes on here.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_taskgroup::every;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut left = 3;
    /// let countdown = every(Duration::from_millis(2)).immediately().run(|| {
    ///     left -= 1;
    ///     let now = left == 0;
    ///     async move { if now { Err("lift-off") } else { Ok(()) } }
    /// });
    /// assert_eq!(countdown.await, Err("lift-off"));
    /// # }
    /// ```
    pub fn run<F, Fut, E>(self, f: F) -> RunEvery<F, Fut>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        RunEvery {
            inner: Loop::new(self, f),
        }
    }

    /// Like [`run`](Self::run), until `f` gives [`ControlFlow::Break`] with a value. `None` when the
    /// loop ended before, by its [`times`](Self::times) or with its scope.
    ///
    /// Dropping the returned future drops the run at work.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: the schedule goes with it. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// The first error of `f`.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::ops::ControlFlow::{Break, Continue};
    /// use std::time::Duration;
    ///
    /// use shibuya_taskgroup::every;
    ///
    /// async fn is_ready(asked: &Cell<u32>) -> Result<bool, std::io::Error> {
    ///     asked.set(asked.get() + 1);
    ///     Ok(asked.get() == 4)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let asked = Cell::new(0);
    /// let ready = every(Duration::from_millis(2)).immediately().times(100);
    /// let ready = ready.run_until(async || match is_ready(&asked).await {
    ///     Ok(true) => Ok(Break("ready")),
    ///     Ok(false) => Ok(Continue(())),
    ///     Err(error) => Err(error),
    /// });
    /// assert_eq!(ready.await.unwrap(), Some("ready"));
    /// assert_eq!(asked.get(), 4);
    /// # }
    /// ```
    pub fn run_until<F, Fut, T, E>(self, f: F) -> RunUntil<F, Fut>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<ControlFlow<T>, E>>,
    {
        RunUntil {
            inner: Loop::new(self, f),
        }
    }
}

pin_project! {
    /// The future of [`Every::run`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RunEvery<F, Fut> {
        #[pin]
        inner: Loop<F, Fut>,
    }
}

impl<F, Fut, E> Future for RunEvery<F, Fut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = self.project().inner.poll(cx, |result| match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        failed.map(|failed| failed.map_or(Ok(()), Err))
    }
}

impl<F, Fut> fmt::Debug for RunEvery<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunEvery").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Every::run_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RunUntil<F, Fut> {
        #[pin]
        inner: Loop<F, Fut>,
    }
}

impl<F, Fut, T, E> Future for RunUntil<F, Fut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<ControlFlow<T>, E>>,
{
    type Output = Result<Option<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = self.project().inner.poll(cx, |result| match result {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(value)) => ControlFlow::Break(Ok(value)),
            Err(error) => ControlFlow::Break(Err(error)),
        });
        ended.map(Option::transpose)
    }
}

impl<F, Fut> fmt::Debug for RunUntil<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunUntil").finish_non_exhaustive()
    }
}
