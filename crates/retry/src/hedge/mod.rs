//! Another attempt beside one that takes long.

mod latencies;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Timer, Timestamp};
use shibuya_waitlist::count;
use tokio::task::coop::poll_proceed;

pub use self::latencies::Latencies;
use crate::budget::{Budget, Cost};

/// Calls `make` again when an attempt takes long, and gives the first success; the others are dropped then.
///
/// It cuts off the slow tail of a service of many machines, where one is slow at times and another is not. The
/// operation must not mind being done twice. When all that run have failed, the next
/// begins at once, so in the end each of them has failed, or one has succeeded.
///
/// Dropping it drops all that run.
///
/// # Cancel safety
///
/// As safe as the operation.
///
/// # Errors
///
/// The error of the last one that failed, when all have.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Budget, Delay, hedge};
/// use tokio::time::sleep;
///
/// static BUDGET: Budget = Budget::ratio(0.1);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut machines = 0;
/// let answer = hedge(Delay::Fixed(Duration::from_millis(5)), || {
///     machines += 1;
///     let slow = machines == 1;
///     async move {
///         sleep(Duration::from_millis(if slow { 60_000 } else { 1 })).await;
///         Ok::<_, ()>("well")
///     }
/// });
/// assert_eq!(answer.budget(&BUDGET).await, Ok("well"));
/// assert_eq!(machines, 2);
/// # }
/// ```
pub fn hedge<M, F, T, E>(delay: Delay<'_>, make: M) -> Hedge<'_, M, F, E>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    Hedge {
        make,
        delay,
        left: 1,
        budget: None,
        first: None,
        first_began: Timestamp::NEVER,
        others: Vec::new(),
        wait: None,
        error: None,
        stage: Stage::New,
    }
}

/// What counts as long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Delay<'l> {
    /// This.
    Fixed(Duration),
    /// Longer than most of the last calls took.
    #[non_exhaustive]
    Quantile {
        /// How long they took. When this one succeeds it is recorded, too: how long the attempt took that did, and
        /// how long the others had taken by then.
        latencies: &'l Latencies,
        /// Which part of them, from 0 to 1, must have been faster.
        part: f64,
        /// With fewer calls than this to go by, there is no other attempt.
        min_samples: u64,
    },
}

impl<'l> Delay<'l> {
    /// Longer than that part of the last calls took, from 0 to 1, such as 0.95. With fewer than a hundred to go
    /// by, there is no other attempt.
    ///
    /// # Panics
    ///
    /// When `part` is not a number from 0 to 1.
    #[track_caller]
    pub fn quantile(latencies: &'l Latencies, part: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&part),
            "a quantile is a number from 0 to 1, such as 0.95"
        );
        Self::Quantile {
            latencies,
            part,
            min_samples: 100,
        }
    }

    /// Goes by as few calls as this; see [`quantile`](Self::quantile). More than 2000 may never be there, as
    /// [`Latencies`] forgets.
    pub fn min_samples(mut self, samples: u64) -> Self {
        if let Self::Quantile { min_samples, .. } = &mut self {
            *min_samples = samples;
        }
        self
    }

    /// What it comes to just now, if there is enough to go by.
    fn get(&self) -> Option<Duration> {
        match *self {
            Self::Fixed(delay) => Some(delay),
            Self::Quantile {
                latencies,
                part,
                min_samples,
            } => {
                let enough = latencies.samples() >= min_samples;
                enough.then(|| latencies.quantile(part)).flatten()
            }
        }
    }

    /// The beginning of an attempt, if anybody will want to know how long it took.
    fn stamp(&self) -> Timestamp {
        match self {
            Self::Fixed(_) => Timestamp::NEVER,
            Self::Quantile { .. } => Timestamp::now(),
        }
    }

    fn record(&self, began: Timestamp) {
        if let Self::Quantile { latencies, .. } = self {
            latencies.record(Timestamp::now().since(began));
        }
    }
}

pin_project! {
    /// The future of [`hedge`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Hedge<'b, M, F, E> {
        make: M,
        delay: Delay<'b>,
        // How many more attempts there may be.
        left: u32,
        budget: Option<&'b Budget>,
        #[pin]
        first: Option<F>,
        first_began: Timestamp,
        others: Vec<Other<F>>,
        // Made when an attempt has to wait and there may be another.
        wait: Option<Pin<Box<Wait>>>,
        error: Option<E>,
        stage: Stage,
    }
}

struct Other<F> {
    fut: Pin<Box<F>>,
    began: Timestamp,
}

pin_project! {
    /// Until the next attempt.
    struct Wait {
        #[pin]
        timer: Timer,
        delay: Duration,
        at: Timestamp,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    New,
    Running,
    Done,
}

impl<'b, M, F, E> Hedge<'b, M, F, E> {
    /// How many attempts there may be beside the first; 1 if this is not called. Each begins when those before
    /// it have taken long once more.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.left = hedges;
        self
    }

    /// Takes each attempt but the first from a budget that many calls share. Within a retry give it to one of
    /// the two: each of them pays in.
    pub fn budget(mut self, budget: &'b Budget) -> Self {
        self.budget = Some(budget);
        self
    }
}

impl<M, F, T, E> Hedge<'_, M, F, E>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    /// Begins the first attempt.
    fn begin(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Some(budget) = this.budget {
            budget.deposit();
        }
        *this.first_began = this.delay.stamp();
        *this.stage = Stage::Running;
        let fut = (this.make)();
        this.first.set(Some(fut));
    }

    /// Begins another one, unless it is one too many.
    fn begin_other(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        if *this.left == 0 {
            return false;
        }
        if let Some(budget) = this.budget {
            match budget.try_withdraw(Cost::Hedge) {
                Some(withdrawal) => withdrawal.spend(),
                None => {
                    *this.left = 0;
                    return false;
                }
            }
        }
        *this.left -= 1;
        count!(HEDGES);
        this.others.push(Other {
            began: this.delay.stamp(),
            fut: Box::pin((this.make)()),
        });
        true
    }

    /// Polls all, the oldest first: a success of one. Those that fail are dropped.
    fn poll_all(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<T> {
        let mut this = self.project();
        if let Some(fut) = this.first.as_mut().as_pin_mut() {
            if let Poll::Ready(answer) = fut.poll(cx) {
                this.first.set(None);
                match answer {
                    Ok(value) => {
                        this.delay.record(*this.first_began);
                        return Some(value);
                    }
                    Err(error) => *this.error = Some(error),
                }
            }
        }
        let mut i = 0;
        while i < this.others.len() {
            match this.others[i].fut.as_mut().poll(cx) {
                Poll::Pending => i += 1,
                Poll::Ready(answer) => {
                    let other = this.others.remove(i);
                    match answer {
                        Ok(value) => {
                            this.delay.record(other.began);
                            return Some(value);
                        }
                        Err(error) => *this.error = Some(error),
                    }
                }
            }
        }
        None
    }

    /// Ready when it has taken long enough for another attempt; pending for ever if it never does.
    fn poll_long(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.wait.is_none() {
            // With nothing to go by nothing is long.
            let delay = this.delay.get().unwrap_or(Duration::MAX);
            *this.wait = Some(Box::pin(Wait {
                timer: Timer::new(),
                delay,
                at: Timestamp::now().after(delay),
            }));
        }
        let mut wait = this.wait.as_mut().expect("made above").as_mut().project();
        if !wait.delay.is_zero() {
            ready!(wait.timer.as_mut().poll(*wait.at, cx));
            wait.timer.disarm();
            *wait.at = Timestamp::now().after(*wait.delay);
        }
        Poll::Ready(())
    }

    /// Drops those that have lost, before their rival's value is given.
    fn drop_all(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.stage = Stage::Done;
        if this.first.is_some() {
            this.delay.record(*this.first_began);
        }
        for other in this.others.iter() {
            this.delay.record(other.began);
        }
        *this.wait = None;
        this.first.set(None);
        this.others.clear();
    }
}

impl<M, F, T, E> Future for Hedge<'_, M, F, E>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.stage {
            Stage::New => self.as_mut().begin(),
            Stage::Running => {}
            Stage::Done => panic!("`Hedge` polled after it was done"),
        }
        loop {
            if let Some(value) = self.as_mut().poll_all(cx) {
                self.as_mut().drop_all();
                return Poll::Ready(Ok(value));
            }
            let all_failed = self.first.is_none() && self.others.is_empty();
            if !all_failed {
                if self.left == 0 {
                    return Poll::Pending;
                }
                ready!(self.as_mut().poll_long(cx));
            }
            if !self.as_mut().begin_other() {
                if !all_failed {
                    return Poll::Pending;
                }
                let this = self.project();
                *this.stage = Stage::Done;
                return Poll::Ready(Err(this.error.take().expect("each left its error")));
            }
            if all_failed {
                // The one that begins now has all of its time.
                *self.as_mut().project().wait = None;
                ready!(poll_proceed(cx)).made_progress();
            }
        }
    }
}

impl<M, F, E> fmt::Debug for Hedge<'_, M, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("others", &self.others.len())
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
