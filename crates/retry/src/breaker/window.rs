//! What a closed breaker remembers of the last calls. No locks: a call that succeeds changes a word or two.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::{AtomicU32, AtomicU64, AtomicUsize};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// How many calls there were, and how many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(super) fn record(&self, outcome: Outcome, now: impl FnOnce() -> Timestamp) {
        match self {
            Self::Count(window) => window.record(outcome),
            Self::Time(window) => window.record(outcome, now()),
        }
    }

    pub(super) fn tally(&self, now: impl FnOnce() -> Timestamp) -> Tally {
        match self {
            Self::Count(window) => window.tally(),
            Self::Time(window) => window.tally(now()),
        }
    }

    /// Forgets all; nobody records meanwhile.
    pub(super) fn clear(&self) {
        match self {
            Self::Count(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

/// The last so many calls.
pub(super) struct CountWindow {
    /// Outcomes as bits; 0 where no call was recorded yet.
    slots: Box<[AtomicU32]>,
    next: AtomicUsize,
    // Each swap says what it pushed out, so the sums stay exact.
    calls: AtomicU32,
    failed: AtomicU32,
    slow: AtomicU32,
}

const CALL: u32 = 1;
const FAILED: u32 = 2;
const SLOW: u32 = 4;

impl CountWindow {
    pub(super) fn new(calls: usize) -> Self {
        Self {
            slots: (0..calls).map(|_| AtomicU32::new(0)).collect(),
            next: AtomicUsize::new(0),
            calls: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            slow: AtomicU32::new(0),
        }
    }

    fn record(&self, outcome: Outcome) {
        let new =
            CALL | if outcome.failed { FAILED } else { 0 } | if outcome.slow { SLOW } else { 0 };
        let place = self.next.fetch_add(1, Relaxed) % self.slots.len();
        let slot = &self.slots[place];
        if slot.load(Relaxed) == new {
            // It would push out its like: among successes, one locked instruction is enough.
            return;
        }
        let old = slot.swap(new, Relaxed);
        for (bit, sum) in [
            (CALL, &self.calls),
            (FAILED, &self.failed),
            (SLOW, &self.slow),
        ] {
            match (new & bit, old & bit) {
                (0, 0) => {}
                (0, _) => drop(sum.fetch_sub(1, Relaxed)),
                (_, 0) => drop(sum.fetch_add(1, Relaxed)),
                _ => {}
            }
        }
    }

    fn tally(&self) -> Tally {
        // What pushes an outcome out may be counted before that outcome is.
        let sum = |sum: &AtomicU32| (sum.load(Relaxed) as i32).max(0) as u32;
        Tally {
            calls: sum(&self.calls),
            failed: sum(&self.failed),
            slow: sum(&self.slow),
        }
    }

    fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Relaxed);
        }
        for sum in [&self.calls, &self.failed, &self.slow] {
            sum.store(0, Relaxed);
        }
    }
}

/// The calls of the last so many seconds, in ten parts, each of which goes as a whole.
pub(super) struct TimeWindow {
    part_nanos: u64,
    parts: [AtomicU64; PARTS],
}

const PARTS: usize = 10;

impl TimeWindow {
    pub(super) fn new(span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self {
            part_nanos: (nanos / PARTS as u64).max(1),
            parts: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn record(&self, outcome: Outcome, now: Timestamp) {
        let tick = self.tick(now);
        let part = &self.parts[(tick % PARTS as u64) as usize];
        let add = |word| Some(Part(word).add(tick, outcome).0);
        let _ = part.fetch_update(Relaxed, Relaxed, add);
    }

    fn tally(&self, now: Timestamp) -> Tally {
        let tick = self.tick(now);
        let mut tally = Tally::default();
        for part in &self.parts {
            let part = Part(part.load(Relaxed));
            if part.age(tick) < PARTS as u64 {
                tally.calls += part.calls() as u32;
                tally.failed += part.failed() as u32;
                tally.slow += part.slow() as u32;
            }
        }
        tally
    }

    /// The number of the part of time that `now` lies in. The first is 1, so that 0 is of no time.
    fn tick(&self, now: Timestamp) -> u64 {
        now.as_nanos() / self.part_nanos + 1
    }

    fn clear(&self) {
        for part in &self.parts {
            part.store(0, Relaxed);
        }
    }
}

/// A part of the window's time in one word: 22 bits that say which, and three counts of 14 bits.
#[derive(Clone, Copy)]
struct Part(u64);

/// The most that a count may say.
pub(super) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

const COUNT_BITS: u32 = 14;
const TICK_SHIFT: u32 = 3 * COUNT_BITS;
const TICK_MASK: u64 = (1 << (64 - TICK_SHIFT)) - 1;

impl Part {
    fn new(tick: u64, calls: u64, failed: u64, slow: u64) -> Self {
        let counts = calls | failed << COUNT_BITS | slow << (2 * COUNT_BITS);
        Self((tick & TICK_MASK) << TICK_SHIFT | counts)
    }

    fn add(self, tick: u64, outcome: Outcome) -> Self {
        let (mut calls, mut failed, mut slow) = match self.age(tick) {
            0 => (self.calls(), self.failed(), self.slow()),
            _ => (0, 0, 0),
        };
        if calls == COUNT_MAX {
            // The rates stay what they are.
            (calls, failed, slow) = (calls / 2, failed / 2, slow / 2);
        }
        let failed = failed + u64::from(outcome.failed);
        Self::new(tick, calls + 1, failed, slow + u64::from(outcome.slow))
    }

    /// How many parts ago it was.
    fn age(self, tick: u64) -> u64 {
        tick.wrapping_sub(self.0 >> TICK_SHIFT) & TICK_MASK
    }

    fn calls(self) -> u64 {
        self.0 & COUNT_MAX
    }

    fn failed(self) -> u64 {
        self.0 >> COUNT_BITS & COUNT_MAX
    }

    fn slow(self) -> u64 {
        self.0 >> (2 * COUNT_BITS) & COUNT_MAX
    }
}
