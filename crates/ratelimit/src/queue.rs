//! A limit with those who wait for it: the meter, the line, and the alarm that rings when the head's turn comes.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::{Guard, WaitList};
use tokio::runtime::Id;

use crate::alarm::{Alarm, Set};
use crate::line::{Line, Loan};
use crate::meter::{Ask, Meter, Refusal, Taken};
use crate::snapshot::RateSnapshot;
use crate::stamp::{self, Units};
use crate::{Denied, Quota, gcra};

pub(crate) struct Queue {
    pub(crate) meter: Arc<Meter>,
    line: WaitList<Line>,
    alarm: Alarm,
    this: Weak<Self>,
    slack: Units,
}

impl Queue {
    pub(crate) fn new(quota: Quota, tat: Units, slack: Units, max_waiters: usize) -> Arc<Self> {
        let meter = Arc::new(Meter::new(quota, tat));
        Arc::new_cyclic(|this| Self {
            line: WaitList::new(Line::new(meter.clone(), slack, max_waiters)),
            meter,
            alarm: Alarm::new(),
            this: this.clone(),
            slack,
        })
    }

    /// For who comes now and would rather not wait. Forgives what the limit was late to serve.
    pub(crate) fn take_without_waiting(&self, n: u32, now: Timestamp) -> Result<Taken, Refusal> {
        let ask = Ask {
            slack: self.slack,
            ..Ask::at_once(n, stamp::units(now))
        };
        self.meter.take(ask)
    }

    /// Takes fairly: not as long as somebody waits.
    #[inline]
    pub(crate) fn take_in_turn(
        &self,
        n: u32,
        now: Timestamp,
        take: impl Fn(&Meter) -> Result<Taken, Refusal>,
    ) -> Result<Taken, Denied> {
        loop {
            match take(&self.meter) {
                Ok(taken) => return Ok(taken),
                Err(Refusal::Until(due)) => return Err(retry_after(due, now)),
                Err(Refusal::Exceeds { burst }) => {
                    return Err(Denied::ExceedsBurst { asked: n, burst });
                }
                Err(Refusal::Line) => self.ask_the_line(n, now)?,
            }
        }
    }

    /// Whether it is empty after all.
    #[cold]
    fn ask_the_line(&self, n: u32, now: Timestamp) -> Result<(), Denied> {
        let mut line = self.line.lock();
        if line.closed {
            return Err(Denied::Closed);
        }
        if is_empty(&mut line) {
            return Ok(());
        }
        let due = line.due_behind_all(n, now);
        Err(Denied::RetryAfter(due.since(now)))
    }

    /// Serves all whose turn has come, and sets the alarm for the next. To be called when a turn may come earlier than it seemed.
    ///
    /// A waker that panics does so when all is done.
    pub(crate) fn tend(&self) {
        let mut panic = None;
        loop {
            // Whoever unlocks the line serves it.
            let served = catch_unwind(AssertUnwindSafe(|| drop(self.line.lock())));
            panic = panic.or(served.err());
            if !self.set_alarm() {
                break;
            }
        }
        if let Some(panic) = panic.filter(|_| !thread::panicking()) {
            resume_unwind(panic);
        }
    }

    /// Tends it when it is dropped, and so after a panic, too.
    pub(crate) fn tend_afterwards(&self) -> impl Drop + '_ {
        struct Tend<'a>(&'a Queue);
        impl Drop for Tend<'_> {
            fn drop(&mut self) {
                self.0.tend();
            }
        }
        Tend(self)
    }

    /// A waiter was polled, in this runtime, and waits. The alarm must ring here.
    #[track_caller]
    pub(crate) fn watch(&self) {
        let rings = self.alarm.hang_up_bell(|runtime| {
            let limit = self.this.clone();
            Waker::from(Arc::new(Ringer { limit, runtime }))
        });
        if rings | self.set_alarm() {
            self.tend();
        }
    }

    /// Gives whether the time has come already.
    fn set_alarm(&self) -> bool {
        loop {
            let version = self.alarm.version();
            match self.alarm.set(self.next_due(), version) {
                Set::Later => return false,
                Set::Now => return true,
                // Another thread has set it meanwhile, to what this one may not have seen or the other way round.
                Set::Stale => {}
            }
        }
    }

    fn next_due(&self) -> Timestamp {
        let mut line = self.line.lock();
        match is_empty(&mut line) {
            true => Timestamp::NEVER,
            false => line.due(),
        }
    }

    /// Takes in advance, for a time that it gives.
    pub(crate) fn reserve(&self, n: u32, now: Timestamp) -> Result<(Loan, Timestamp), Denied> {
        let mut line = self.line.lock();
        if line.closed {
            return Err(Denied::Closed);
        }
        if !is_empty(&mut line) {
            let due = line.due_behind_all(n, now);
            return Err(Denied::RetryAfter(due.since(now)));
        }
        match self.meter.take_ahead(n, stamp::units(now)) {
            Ok((taken, due)) => {
                let due = Timestamp::from_nanos(stamp::nanos(due));
                Ok((line.lend(taken), due))
            }
            Err(burst) => Err(Denied::ExceedsBurst { asked: n, burst }),
        }
    }

    pub(crate) fn refund(&self, loan: Loan) {
        let tend = self.tend_afterwards();
        self.line.lock().refund(loan, Timestamp::now());
        drop(tend);
    }

    pub(crate) fn set_quota_from_now(&self, quota: Quota) {
        let tend = self.tend_afterwards();
        self.line.lock().set_quota_from_now(quota);
        drop(tend);
    }

    pub(crate) fn set_quota(&self, change: impl FnOnce(Quota) -> Quota) {
        let tend = self.tend_afterwards();
        // Under the lock, so that one changes it at a time.
        let mut line = self.line.lock();
        let quota = change(self.meter.quota());
        line.set_quota(quota, Timestamp::now());
        drop(line);
        drop(tend);
    }

    pub(crate) fn close(&self) {
        let tend = self.tend_afterwards();
        let mut line = self.line.lock();
        line.close();
        Guard::close(&mut line);
        drop(line);
        drop(tend);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.line.lock().closed
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> RateSnapshot {
        let line = self.line.lock();
        let (waiters, queued) = (Guard::waiting(&line, 0), line.queued());
        let due = line.due_behind_all(1, now);
        drop(line);
        let (quota, tat) = self.meter.read();
        RateSnapshot {
            quota,
            remaining: match waiters {
                0 if due <= now => gcra::remaining(quota, tat, stamp::units(now)),
                _ => 0,
            },
            retry_after: due.since(now),
            reset_after: since(tat, now),
            waiters,
            queued,
        }
    }
}

/// How long it is from now until then.
#[inline]
pub(crate) fn since(at: Units, now: Timestamp) -> Duration {
    Timestamp::from_nanos(stamp::nanos(at)).since(now)
}

/// Whether nobody waits, of which the meter is told.
fn is_empty(line: &mut Guard<'_, Line>) -> bool {
    let is_empty = Guard::waiting(line, 0) == 0;
    if is_empty && !line.closed {
        line.meter().clear_queued();
    }
    is_empty
}

#[inline]
pub(crate) fn retry_after(due: Units, now: Timestamp) -> Denied {
    Denied::RetryAfter(since(due, now))
}

/// One bell of the alarm.
struct Ringer {
    limit: Weak<Queue>,
    runtime: Id,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(limit) = self.limit.upgrade() else {
            return;
        };
        if limit.alarm.rang(self.runtime) {
            // A panic of somebody's waker was reported, and must not go on into what drives the timers of all.
            let _ = catch_unwind(AssertUnwindSafe(|| limit.tend()));
        }
    }
}

/// A pointer to a limit, as one to its line.
#[derive(Clone)]
pub(crate) struct Lane<P>(pub(crate) P);

impl<P: Deref<Target = Queue>> Deref for Lane<P> {
    type Target = WaitList<Line>;

    fn deref(&self) -> &WaitList<Line> {
        &self.0.line
    }
}
