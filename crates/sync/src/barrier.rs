use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use shibuya_waitlist::primitives::Mutex;
use shibuya_waitlist::{Latch, Wait, WaitList};
use thiserror::Error;

/// A place where a fixed number of tasks wait for each other, again and again, and that breaks
/// instead of keeping them for ever when one of them can't come.
///
/// Whoever is cancelled or panics while it waits breaks the barrier: the others get [`Broken`], those
/// who come later too, until it is [reset](Self::reset). Tokio's barrier waits for the missing one
/// without end. For a task that may fail *between* two waits, hold a [`Party`]: its drop breaks the
/// barrier, too.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_sync::Barrier;
///
/// # #[tokio::main]
/// # async fn main() {
/// let barrier = Arc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = barrier.clone();
///         tokio::spawn(async move {
///             let first = barrier.wait().await?; // all have begun
///             let second = barrier.wait().await?; // all are past the first
///             Ok::<_, shibuya_sync::Broken>((first.is_last(), second.is_last()))
///         })
///     })
///     .collect();
/// let mut last = (0, 0);
/// for task in tasks {
///     let (first, second) = task.await.unwrap().unwrap();
///     last = (last.0 + usize::from(first), last.1 + usize::from(second));
/// }
/// assert_eq!(last, (1, 1));
/// # }
/// ```
///
/// One that gives up sets the others free:
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_sync::{Barrier, Broken};
/// use tokio::time::timeout;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let barrier = Barrier::new(3);
/// let hasty = timeout(Duration::from_secs(1), barrier.wait());
/// let (hasty, patient) = tokio::join!(hasty, barrier.wait());
/// assert!(hasty.is_err());
/// assert_eq!(patient.unwrap_err(), Broken);
/// # }
/// ```
pub struct Barrier {
    parties: usize,
    gate: Mutex<Gate>,
}

struct Gate {
    arrived: usize,
    broken: bool,
    /// Those who wait now. Each round has a list of its own, so that one can begin while the last
    /// of the one before still wakes.
    round: Arc<Round>,
}

type Round = WaitList<Latch<Result<(), Broken>>>;

/// The barrier broke: one of those who were expected will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the barrier is broken: one of its parties was cancelled or panicked, or it was reset")]
pub struct Broken;

/// How somebody came through a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    index: usize,
    parties: usize,
}

impl Arrival {
    /// Its number in the order of arrival, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Whether it was the one for which the others waited: exactly one is, in each round.
    pub fn is_last(self) -> bool {
        self.index + 1 == self.parties
    }
}

impl Barrier {
    /// A barrier for so many.
    ///
    /// # Panics
    ///
    /// When `parties` is 0: nobody could ever come through.
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        assert!(
            parties > 0,
            "a barrier for 0 parties lets nobody through; the least is 1"
        );
        Self {
            parties,
            gate: Mutex::new(Gate {
                arrived: 0,
                broken: false,
                round: Arc::default(),
            }),
        }
    }

    /// Waits for the others.
    ///
    /// **Dropping it** once it was polled breaks the barrier, unless all had come by then.
    ///
    /// # Cancel safety
    ///
    /// Nobody is left waiting for one that gave up; but it can't be taken up again.
    ///
    /// # Errors
    ///
    /// [`Broken`] when one of the others gave up, or the barrier was reset.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait {
            barrier: self,
            stage: Stage::New,
        }
    }

    /// A guard that breaks the barrier when it is dropped before [`leave`](Party::leave): for a task
    /// that may be cancelled or panic between two waits.
    pub fn party(&self) -> Party<'_> {
        Party { barrier: self }
    }

    /// Breaks the barrier: who waits, and who comes, gets [`Broken`].
    pub fn break_now(&self) {
        self.break_round(None);
    }

    /// Makes the barrier as new. Whoever waits gets [`Broken`].
    pub fn reset(&self) {
        let mut gate = self.gate.lock();
        let round = gate.next_round();
        gate.broken = false;
        drop(gate);
        round.lock().open(Err(Broken));
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.gate.lock().broken
    }

    /// How many it takes.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.gate.lock().arrived
    }

    fn arrive(&self) -> Stage {
        let mut gate = self.gate.lock();
        if gate.broken {
            return Stage::Done(Err(Broken));
        }
        let arrival = Arrival {
            index: gate.arrived,
            parties: self.parties,
        };
        gate.arrived += 1;
        if !arrival.is_last() {
            return Stage::Waiting(arrival, Wait::new(gate.round.clone(), ()));
        }
        let round = gate.next_round();
        drop(gate);
        round.lock().open(Ok(()));
        Stage::Done(Ok(arrival))
    }

    /// Breaks the barrier; for one of a round, only while that round waits.
    fn break_round(&self, of: Option<&Arc<Round>>) {
        let mut gate = self.gate.lock();
        if of.is_some_and(|round| !Arc::ptr_eq(round, &gate.round)) {
            return;
        }
        let round = gate.next_round();
        gate.broken = true;
        drop(gate);
        round.lock().open(Err(Broken));
    }
}

impl Gate {
    /// Begins another round. Gives the one before, to be opened without this lock.
    fn next_round(&mut self) -> Arc<Round> {
        self.arrived = 0;
        std::mem::take(&mut self.round)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("broken", &self.is_broken())
            .finish()
    }
}

/// The future of [`Barrier::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    stage: Stage,
}

enum Stage {
    New,
    Waiting(Arrival, Wait<Arc<Round>>),
    Done(Result<Arrival, Broken>),
}

impl Future for BarrierWait<'_> {
    type Output = Result<Arrival, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::New = this.stage {
            this.stage = this.barrier.arrive();
        }
        if let Stage::Waiting(arrival, wait) = &mut this.stage {
            // A round is never closed: it is opened, once.
            let end = ready!(Pin::new(wait).poll(cx)).unwrap_or(Err(Broken));
            this.stage = Stage::Done(end.map(|()| *arrival));
        }
        match this.stage {
            Stage::Done(end) => Poll::Ready(end),
            Stage::New | Stage::Waiting(..) => unreachable!("it has arrived, and does not wait"),
        }
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(_, wait) = &self.stage {
            self.barrier.break_round(Some(wait.list()));
        }
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New => "new",
            Stage::Waiting(..) => "waiting",
            Stage::Done(_) => "done",
        };
        f.debug_struct("BarrierWait")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

/// A task's membership in a [`Barrier`], from [`Barrier::party`]. Dropping it, also in a panic or when
/// the task is cancelled, breaks the barrier.
#[derive(Debug)]
#[must_use = "a party that is dropped breaks the barrier"]
pub struct Party<'a> {
    barrier: &'a Barrier,
}

impl Party<'_> {
    /// Waits for the others; see [`Barrier::wait`].
    ///
    /// # Cancel safety
    ///
    /// As of [`Barrier::wait`].
    ///
    /// # Errors
    ///
    /// As of [`Barrier::wait`].
    pub fn wait(&self) -> BarrierWait<'_> {
        self.barrier.wait()
    }

    /// Goes without breaking the barrier: all rounds are done.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        self.barrier.break_round(None);
    }
}
