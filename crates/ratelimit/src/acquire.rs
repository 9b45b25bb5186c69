//! Waiting for one's turn.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Timer, Timestamp, bound, covers};
use shibuya_waitlist::Wait;

use crate::Denied;
use crate::line::{Answer, Claim};
use crate::meter::Refusal;
use crate::queue::{Lane, Queue};
use crate::tally::{RATE, Tally, Waiting};

/// What all futures that wait for a turn have inside.
pub(crate) struct Turn<P: Pointer> {
    n: u32,
    stage: Stage<P>,
}

pub(crate) trait Pointer: Deref<Target = Queue> + Clone {}

impl<P: Deref<Target = Queue> + Clone> Pointer for P {}

enum Stage<P: Pointer> {
    New(P),
    Waiting(Wait<Lane<P>>, Waiting),
    Done,
}

impl<P: Pointer> Turn<P> {
    pub(crate) fn new(limit: P, n: u32) -> Self {
        Self {
            n,
            stage: Stage::New(limit),
        }
    }

    /// Who can't be served by `deadline`, or by that of the scope, is told so at once.
    fn poll(&mut self, deadline: Timestamp, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        match &mut self.stage {
            Stage::New(_) => self.enter(deadline, cx),
            Stage::Waiting(..) => self.look(deadline, cx),
            Stage::Done => panic!("the future was polled after it completed"),
        }
    }

    /// As [`poll`](Self::poll), and ends by itself at the deadline: when the limit was made slower meanwhile, or somebody barged in, the
    /// turn may come later than it was expected.
    pub(crate) fn poll_until(
        &mut self,
        deadline: Timestamp,
        after: Duration,
        timer: Pin<&mut Timer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Denied>> {
        if let Poll::Ready(answer) = self.poll(deadline, cx) {
            return Poll::Ready(answer);
        }
        if covers(deadline, cx) || timer.poll(deadline, cx).is_pending() {
            return Poll::Pending;
        }
        self.leave();
        Poll::Ready(Err(Denied::TimedOut { after }).tally(RATE))
    }

    fn enter(&mut self, deadline: Timestamp, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        let Stage::New(limit) = std::mem::replace(&mut self.stage, Stage::Done) else {
            unreachable!("it enters once");
        };
        let now = Timestamp::now();
        match limit.take_without_waiting(self.n, now) {
            Ok(_) => return Poll::Ready(Ok(()).tally(RATE)),
            Err(Refusal::Exceeds { burst }) => {
                let asked = self.n;
                return Poll::Ready(Err(Denied::ExceedsBurst { asked, burst }).tally(RATE));
            }
            Err(Refusal::Until(_) | Refusal::Line) => {}
        }
        let claim = Claim::new(self.n, deadline.min(bound().at()));
        self.stage = Stage::Waiting(Wait::new(Lane(limit), claim), Waiting::begin(RATE));
        self.look(deadline, cx)
    }

    fn look(&mut self, deadline: Timestamp, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        let Stage::Waiting(wait, waiting) = &mut self.stage else {
            unreachable!("it waits");
        };
        let Poll::Ready(answer) = Pin::new(&mut *wait).poll(cx) else {
            wait.list().0.watch();
            return Poll::Pending;
        };
        if let Ok(Answer::Granted(_)) = answer {
            waiting.note();
        }
        self.stage = Stage::Done;
        let answer = match answer {
            Ok(Answer::Granted(_)) => Ok(()),
            Ok(Answer::Exceeds { burst }) => Err(Denied::ExceedsBurst {
                asked: self.n,
                burst,
            }),
            Ok(Answer::Full { max_waiters }) => Err(Denied::QueueFull { max_waiters }),
            Ok(Answer::Hopeless { due }) => Err(hopeless(due, deadline.min(bound().at()))),
            Err(_closed) => Err(Denied::Closed),
        };
        Poll::Ready(answer.tally(RATE))
    }

    /// Leaves the line; what was granted and never seen goes back, and who is behind moves up.
    fn leave(&mut self) {
        if let Stage::Waiting(wait, _) = std::mem::replace(&mut self.stage, Stage::Done) {
            let limit = wait.list().0.clone();
            let _tend = limit.tend_afterwards();
            drop(wait);
        }
    }
}

fn hopeless(due: Timestamp, deadline: Timestamp) -> Denied {
    let now = Timestamp::now();
    Denied::Hopeless {
        needs: due.since(now),
        remaining: deadline.since(now),
    }
}

impl<P: Pointer> Drop for Turn<P> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits for its turn, from [`RateLimiter::acquire`](crate::RateLimiter::acquire).
///
/// Dropping it leaves the line: all behind it move up, and what was granted and never seen goes back.
///
/// # Panics
///
/// When it has to wait outside of a Tokio runtime with timers, or is polled after it completed.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a>(Turn<&'a Queue>);

pin_project! {
    // A turn that is not waited for without end.
    struct Within<P>
    where
        P: Pointer,
    {
        turn: Turn<P>,
        max: Duration,
        deadline: Option<Timestamp>,
        #[pin]
        timer: Timer,
    }
}

impl<P: Pointer> Within<P> {
    fn new(limit: P, n: u32, max: Duration) -> Self {
        Self {
            turn: Turn::new(limit, n),
            max,
            deadline: None,
            timer: Timer::new(),
        }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        let this = self.project();
        let deadline = *this
            .deadline
            .get_or_insert_with(|| Timestamp::now().after(*this.max));
        this.turn.poll_until(deadline, *this.max, this.timer, cx)
    }
}

pin_project! {
    /// Waits for its turn, from [`RateLimiter::acquire_owned`](crate::RateLimiter::acquire_owned) and
    /// [`acquire_owned_within`](crate::RateLimiter::acquire_owned_within). As [`Acquire`], and `'static`.
    #[must_use = "futures do nothing unless polled"]
    pub struct AcquireOwned {
        #[pin]
        within: Within<Arc<Queue>>,
    }
}

pin_project! {
    /// Waits for its turn, and not for longer than told, from [`RateLimiter::acquire_within`](crate::RateLimiter::acquire_within).
    /// Otherwise as [`Acquire`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AcquireWithin<'a> {
        #[pin]
        within: Within<&'a Queue>,
    }
}

impl<'a> Acquire<'a> {
    pub(crate) fn new(limit: &'a Queue, n: u32) -> Self {
        Self(Turn::new(limit, n))
    }
}

impl AcquireOwned {
    pub(crate) fn new(limit: Arc<Queue>, n: u32, max: Duration) -> Self {
        let within = Within::new(limit, n, max);
        Self { within }
    }
}

impl<'a> AcquireWithin<'a> {
    pub(crate) fn new(limit: &'a Queue, n: u32, max: Duration) -> Self {
        let within = Within::new(limit, n, max);
        Self { within }
    }
}

impl Future for Acquire<'_> {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(Timestamp::NEVER, cx)
    }
}

impl Future for AcquireOwned {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().within.poll(cx)
    }
}

impl Future for AcquireWithin<'_> {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().within.poll(cx)
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt("Acquire", f)
    }
}

impl fmt::Debug for AcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within.turn.fmt("AcquireOwned", f)
    }
}

impl fmt::Debug for AcquireWithin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within.turn.fmt("AcquireWithin", f)
    }
}

impl<P: Pointer> Turn<P> {
    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("n", &self.n)
            .field("waits", &matches!(self.stage, Stage::Waiting(..)))
            .finish_non_exhaustive()
    }
}
