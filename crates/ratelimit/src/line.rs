//! Those who wait for a limit, in the order in which they came.

use std::sync::Arc;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::Serve;

use crate::ledger::Ledger;
use crate::meter::{Ask, Meter, Refusal, Taken};
use crate::stamp::{self, Units};
use crate::{Quota, gcra};

/// What the lock of the line protects.
pub(crate) struct Line {
    meter: Arc<Meter>,
    slack: Units,
    max_waiters: usize,
    /// What all in line ask for together.
    queued: u64,
    /// When the head's turn comes, as of the last time that it was asked for.
    due: Units,
    pub(crate) closed: bool,
    ledger: Ledger,
}

/// What was granted, and can be given back.
pub(crate) struct Loan {
    taken: Taken,
    number: u64,
}

/// What a waiter asks for.
pub(crate) struct Claim {
    n: u32,
    in_line: bool,
    /// Who can't be served by then need not wait.
    deadline: Timestamp,
}

pub(crate) enum Answer {
    Granted(Loan),
    Exceeds { burst: u32 },
    Full { max_waiters: usize },
    Hopeless { due: Timestamp },
}

impl Claim {
    pub(crate) fn new(n: u32, deadline: Timestamp) -> Self {
        Self {
            n,
            in_line: false,
            deadline,
        }
    }

    fn ask(&self, now: Timestamp, slack: Units) -> Ask {
        Ask {
            n: self.n,
            now: stamp::units(now),
            slack,
        }
    }
}

impl Line {
    pub(crate) fn new(meter: Arc<Meter>, slack: Units, max_waiters: usize) -> Self {
        Self {
            meter,
            slack,
            max_waiters,
            queued: 0,
            due: 0,
            closed: false,
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn due(&self) -> Timestamp {
        // However far it is, it is not never: somebody waits.
        Timestamp::from_nanos(stamp::nanos(self.due).min(u64::MAX - 1))
    }

    /// For what was taken under this lock.
    pub(crate) fn lend(&self, taken: Taken) -> Loan {
        Loan {
            taken,
            number: self.ledger.number(),
        }
    }

    pub(crate) fn refund(&mut self, Loan { taken, number }: Loan, now: Timestamp) {
        let now = stamp::units(now);
        let end = self.ledger.end(number, taken.end());
        let (before, amount) = self.meter.refund(taken.n, end, now);
        self.ledger.refunded(end, amount, before, now);
    }

    pub(crate) fn set_quota(&mut self, quota: Quota, now: Timestamp) {
        let now = stamp::units(now);
        let old = self.meter.quota();
        let rescaled = |tat| gcra::rescale(old, quota, tat, now);
        let tat = self.meter.set_quota(quota, rescaled);
        self.ledger.changed(old, quota, tat, now);
    }

    /// As a limit that remembers no more than a time: what is owed is as much time as before.
    pub(crate) fn set_quota_from_now(&mut self, quota: Quota) {
        self.meter.set_quota(quota, |tat| tat);
    }

    /// Who waits is refused, and who comes.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.queued = 0;
        self.meter.set_queued();
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// When the turn of a newcomer would come.
    pub(crate) fn due_behind_all(&self, n: u32, now: Timestamp) -> Timestamp {
        let ask = Ask {
            slack: self.slack,
            ..Ask::at_once(n, stamp::units(now))
        };
        Timestamp::from_nanos(stamp::nanos(self.meter.due_behind(self.queued, ask)))
    }
}

impl Serve for Line {
    type Request = Claim;
    type Grant = Answer;

    fn try_serve(&mut self, claim: &mut Claim) -> Option<Answer> {
        let ask = claim.ask(Timestamp::now(), self.slack);
        let answer = match self.meter.take_barging(ask) {
            Ok(taken) => Answer::Granted(self.lend(taken)),
            Err(Refusal::Exceeds { burst }) => Answer::Exceeds { burst },
            Err(Refusal::Until(due)) => {
                self.due = due;
                return None;
            }
            Err(Refusal::Line) => unreachable!("the head of the line passes nobody"),
        };
        self.delist(claim);
        Some(answer)
    }

    fn take_back(&mut self, answer: Answer) {
        if let Answer::Granted(loan) = answer {
            self.refund(loan, Timestamp::now());
        }
    }

    fn enlist(&mut self, claim: &mut Claim, waiting: usize) -> Option<Answer> {
        if waiting >= self.max_waiters {
            return Some(Answer::Full {
                max_waiters: self.max_waiters,
            });
        }
        let now = Timestamp::now();
        let ask = claim.ask(now, self.slack);
        let due = stamp::nanos(self.meter.due_behind(self.queued, ask));
        let due = Timestamp::from_nanos(due);
        if due > claim.deadline {
            return Some(Answer::Hopeless { due });
        }
        if waiting == 0 {
            self.meter.set_queued();
        }
        self.queued += u64::from(claim.n);
        claim.in_line = true;
        None
    }

    fn delist(&mut self, claim: &mut Claim) {
        if claim.in_line {
            claim.in_line = false;
            // None of those who are refused counts.
            self.queued = self.queued.saturating_sub(claim.n.into());
        }
    }
}
