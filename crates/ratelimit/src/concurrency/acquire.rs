use std::fmt;
use std::future::Future;
use std::mem::replace;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use shibuya_cancel::raw::{Timer, Timestamp, bound, covers};
use shibuya_waitlist::Wait;

use super::limiter::{Line, Refused};
use super::{ConcurrencyLimiter, Permit};
use crate::Denied;
use crate::tally::{CONCURRENCY, Waiting};

/// Waits for a slot, from [`ConcurrencyLimiter::acquire`] and its kin. It is `Unpin`.
///
/// Dropping it leaves the line.
///
/// # Cancel safety
///
/// A slot that was handed over and not looked at goes to the next in line.
///
/// # Panics
///
/// When polled again after it completed.
#[must_use = "futures do nothing unless polled"]
pub struct AcquirePermit<L: Deref<Target = ConcurrencyLimiter>> {
    stage: Stage<L>,
    max: Duration,
}

enum Stage<L: Deref<Target = ConcurrencyLimiter>> {
    New(L),
    /// It was known before that there will be no slot.
    Denied(Denied),
    Waiting(Wait<Line<L>>, Option<Alarm>, Waiting),
    Done,
}

/// When the waiting ends. It has a heap of its own, since most never need one.
struct Alarm {
    timer: Pin<Box<Timer>>,
    began: Timestamp,
    at: Timestamp,
}

impl<L: Deref<Target = ConcurrencyLimiter> + Clone> AcquirePermit<L> {
    pub(super) fn new(limiter: L, max: Duration) -> Self {
        Self {
            stage: Stage::New(limiter),
            max,
        }
    }

    pub(super) fn denied(denied: Denied) -> Self {
        Self {
            stage: Stage::Denied(denied),
            max: Duration::MAX,
        }
    }

    /// Joins the line.
    #[cold]
    fn queue(&mut self, limiter: L, cx: &mut Context<'_>) -> Poll<Result<Permit<L>, Denied>> {
        let alarm = match Alarm::within(self.max, cx) {
            Ok(alarm) => alarm,
            Err(denied) => return Poll::Ready(Err(limiter.deny(denied))),
        };
        let ask = limiter.ask();
        let waiting = Waiting::begin(CONCURRENCY);
        self.wait(Wait::new(Line(limiter), ask), alarm, waiting, cx)
    }

    fn wait(
        &mut self,
        mut wait: Wait<Line<L>>,
        mut alarm: Option<Alarm>,
        waiting: Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit<L>, Denied>> {
        let turn = match Pin::new(&mut wait).poll(cx) {
            Poll::Ready(turn) => turn,
            Poll::Pending => {
                return match alarm.as_mut().map(|alarm| alarm.poll(cx)) {
                    Some(Poll::Ready(denied)) => {
                        let limiter = wait.list().0.clone();
                        // The place in line goes first: who looks at the limiter now doesn't see it any more.
                        drop(wait);
                        Poll::Ready(Err(limiter.deny(denied)))
                    }
                    Some(Poll::Pending) | None => {
                        self.stage = Stage::Waiting(wait, alarm, waiting);
                        Poll::Pending
                    }
                };
            }
        };
        let limiter = wait.list().0.clone();
        let call = match turn {
            Ok(turn) => limiter.call(turn),
            Err(_) => Err(Denied::Closed),
        };
        Poll::Ready(match call {
            Ok(call) => {
                waiting.note();
                Ok(Permit::new(limiter, call))
            }
            Err(denied) => Err(limiter.deny(denied)),
        })
    }
}

impl Alarm {
    /// The end of what there is of time from now on, unless somebody else ends the wait then.
    fn within(max: Duration, cx: &Context<'_>) -> Result<Option<Self>, Denied> {
        let deadline = bound().at();
        if max == Duration::MAX && deadline == Timestamp::NEVER {
            return Ok(None);
        }
        let began = Timestamp::now();
        let at = began.after(max).min(deadline);
        if at <= began {
            let after = Duration::ZERO;
            return Err(Denied::TimedOut { after });
        }
        Ok((!covers(at, cx)).then(|| Self {
            timer: Box::pin(Timer::new()),
            began,
            at,
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Denied> {
        let timer = self.timer.as_mut().poll(self.at, cx);
        timer.map(|()| Denied::TimedOut {
            after: self.at.since(self.began),
        })
    }
}

impl<L: Deref<Target = ConcurrencyLimiter> + Clone> Future for AcquirePermit<L> {
    type Output = Result<Permit<L>, Denied>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match replace(&mut this.stage, Stage::Done) {
            Stage::New(limiter) => match limiter.try_call() {
                Ok(call) => Poll::Ready(Ok(Permit::new(limiter, call))),
                Err(Refused::Busy) => this.queue(limiter, cx),
                Err(Refused::Closed) => Poll::Ready(Err(limiter.deny(Denied::Closed))),
            },
            Stage::Waiting(wait, alarm, waiting) => this.wait(wait, alarm, waiting, cx),
            Stage::Denied(denied) => Poll::Ready(Err(denied)),
            Stage::Done => panic!("`AcquirePermit` polled after it completed"),
        }
    }
}

// Nothing in it is pinned: what waits is an entry in the list, and a timer in a box.
impl<L: Deref<Target = ConcurrencyLimiter>> Unpin for AcquirePermit<L> {}

impl<L: Deref<Target = ConcurrencyLimiter>> fmt::Debug for AcquirePermit<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New(_) | Stage::Denied(_) => "new",
            Stage::Waiting(..) => "waiting",
            Stage::Done => "done",
        };
        f.debug_struct("AcquirePermit")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
