use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use shibuya_cancel::{UntilCancelled, cancelled};
use tokio::time::{Instant, Sleep, sleep_until};

use super::jitter::Jitter;
use super::{Every, beat};

pin_project! {
    /// The loop itself: waits for a turn, runs the function, and judges what it gave.
    pub(super) struct Loop<F, Fut> {
        f: F,
        #[pin]
        at_work: Option<Fut>,
        #[pin]
        turns: Turns,
    }
}

impl<F, Fut> Loop<F, Fut>
where
    F: FnMut() -> Fut,
    Fut: Future,
{
    pub(super) fn new(every: Every, f: F) -> Self {
        let turns = Turns {
            every,
            begun: None,
            timer: None,
            is_due: false,
        };
        Self {
            f,
            at_work: None,
            turns,
        }
    }

    /// What the judge broke off with; `None` when there are no more turns.
    pub(super) fn poll<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        judge: impl Fn(Fut::Output) -> ControlFlow<R>,
    ) -> Poll<Option<R>> {
        let mut this = self.project();
        loop {
            if this.at_work.is_none() {
                if !ready!(this.turns.as_mut().poll_next(cx)) {
                    return Poll::Ready(None);
                }
                this.at_work.set(Some((this.f)()));
            }
            let run = this.at_work.as_mut().as_pin_mut().expect("set above");
            let output = ready!(run.poll(cx));
            this.at_work.set(None);
            if let ControlFlow::Break(end) = judge(output) {
                return Poll::Ready(Some(end));
            }
        }
    }
}

pin_project! {
    /// The turns of a loop.
    struct Turns {
        every: Every,
        // Begun by the first poll: there the scope is that of the loop.
        begun: Option<Begun>,
        #[pin]
        timer: Option<Sleep>,
        // Whether the timer is set for the turn that is waited for.
        is_due: bool,
    }
}

struct Begun {
    jitter: Jitter,
    /// What the last turn was scheduled for, or the start.
    scheduled: Instant,
    cancelled: UntilCancelled,
}

impl Turns {
    /// Waits for the next turn; false when there is none.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut this = self.project();
        let every = this.every;
        let begun = this.begun.get_or_insert_with(|| Begun {
            jitter: Jitter::new(every.jitter, every.seed),
            scheduled: Instant::now(),
            cancelled: cancelled(),
        });
        // Asked first: a loop that is late must not miss it.
        if every.times == Some(0) || Pin::new(&mut begun.cancelled).poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        if !*this.is_due {
            let Some(at) = begun.schedule(every) else {
                return Poll::Pending;
            };
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) => timer.reset(at),
                None => this.timer.set(Some(sleep_until(at))),
            }
            *this.is_due = true;
        }
        let timer = this.timer.as_pin_mut().expect("set above");
        ready!(timer.poll(cx));
        *this.is_due = false;
        if let Some(times) = &mut every.times {
            *times -= 1;
        }
        Poll::Ready(true)
    }
}

impl Begun {
    /// When the next turn comes, jitter included; `None` for never.
    fn schedule(&mut self, every: &mut Every) -> Option<Instant> {
        if std::mem::take(&mut every.immediately) {
            return Some(self.scheduled);
        }
        let now = Instant::now();
        let at = beat::next(every.missed, every.period, self.scheduled, now)?;
        if at > self.scheduled + every.period {
            tracing::debug!(late = ?(now - self.scheduled - every.period), "runs were missed");
        }
        self.scheduled = at;
        at.checked_add(self.jitter.next())
    }
}
