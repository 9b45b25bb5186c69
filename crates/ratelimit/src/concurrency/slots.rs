//! Who is under way, and whether another may be. No time, no tasks: the list around it does the waiting.

use shibuya_waitlist::Serve;
use tokio::time::Instant;

use super::{Algorithm, Outcome, Sample};

pub(super) struct Slots {
    limit: usize,
    in_flight: usize,
    /// `None` for a limit that is fixed.
    algorithm: Option<Box<dyn Algorithm>>,
    counts: Counts,
}

/// How it went for those who had a slot.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) granted: u64,
    pub(super) succeeded: u64,
    pub(super) overloaded: u64,
    pub(super) ignored: u64,
}

/// How many may stand in line before whoever asks.
pub(super) struct Ask {
    pub(super) max_waiters: usize,
}

/// What becomes of whoever asks.
pub(super) enum Turn {
    /// It has a slot, as one of so many.
    Slot { in_flight: usize },
    /// The line is full.
    Full,
}

/// How a slot was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Told(Outcome),
    Ignored,
}

#[cfg(feature = "metrics")]
impl End {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Told(Outcome::Success) => "success",
            Self::Told(Outcome::Overloaded) => "overloaded",
            Self::Ignored => "ignored",
        }
    }
}

impl Slots {
    pub(super) const fn fixed(limit: usize) -> Self {
        Self {
            limit,
            in_flight: 0,
            algorithm: None,
            counts: Counts {
                granted: 0,
                succeeded: 0,
                overloaded: 0,
                ignored: 0,
            },
        }
    }

    pub(super) fn adaptive(algorithm: Box<dyn Algorithm>) -> Self {
        Self {
            limit: algorithm.limit().max(1),
            algorithm: Some(algorithm),
            ..Self::fixed(1)
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Those who are above a lower limit go on.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// A slot is free again.
    #[inline]
    pub(super) fn leave(&mut self, end: End) {
        self.in_flight -= 1;
        match end {
            End::Told(Outcome::Success) => self.counts.succeeded += 1,
            End::Told(Outcome::Overloaded) => self.counts.overloaded += 1,
            End::Ignored => self.counts.ignored += 1,
        }
    }

    /// What a call told, and the limit if that changes it.
    pub(super) fn learn(&mut self, sample: Sample, now: Instant) -> Option<usize> {
        let limit = self.algorithm.as_mut()?.update(sample, now).max(1);
        let has_changed = limit != self.limit;
        self.limit = limit;
        has_changed.then_some(limit)
    }
}

impl Serve for Slots {
    type Request = Ask;
    type Grant = Turn;

    #[inline]
    fn try_serve(&mut self, _: &mut Ask) -> Option<Turn> {
        if self.in_flight >= self.limit {
            return None;
        }
        self.in_flight += 1;
        self.counts.granted += 1;
        Some(Turn::Slot {
            in_flight: self.in_flight,
        })
    }

    fn take_back(&mut self, turn: Turn) {
        if let Turn::Slot { .. } = turn {
            self.leave(End::Ignored);
        }
    }

    fn enlist(&mut self, ask: &mut Ask, waiting: usize) -> Option<Turn> {
        (waiting >= ask.max_waiters).then_some(Turn::Full)
    }
}
