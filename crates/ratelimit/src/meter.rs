//! The state of a limit, in one atomic word: who takes, takes by one compare-and-swap.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::AtomicU64;

use crate::quota::UNITS_PER_NANO;
use crate::stamp::{self, NEAR, Units};
use crate::{Quota, gcra};

pub(crate) struct Meter {
    word: AtomicU64,
    /// The quota of each generation and the one before. A change of the quota writes the slot that nobody reads any more and then makes
    /// its generation the current one, so that who has calculated with the old one can't store what came out.
    slots: [Slot; 2],
    /// In nanoseconds. Nothing passes before.
    paused_until: AtomicU64,
}

struct Slot {
    quota: [AtomicU64; 2],
    /// What one costs, and a burst, as far as they are near: calculated once.
    one: AtomicU64,
    tolerance: AtomicU64,
}

/// Who asks, and when.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) n: u32,
    pub(crate) now: Units,
    /// By how much the limit may have been late.
    pub(crate) slack: Units,
}

impl Ask {
    pub(crate) fn at_once(n: u32, now: Units) -> Self {
        Self { n, now, slack: 0 }
    }
}

/// A grant: how many, and the state that it led to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) n: u32,
    end: Word,
}

impl Taken {
    /// Up to where it moved the theoretical arrival time.
    pub(crate) fn end(self) -> Units {
        self.end.tat()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not before then.
    Until(Units),
    /// More than can be had at once.
    Exceeds { burst: u32 },
    /// Others wait in line.
    Line,
}

/// Generation (3 bits), whether somebody waits in line (1), and the theoretical arrival time as a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

const QUEUED: u64 = 1 << stamp::BITS;
const GENERATION: u32 = stamp::BITS + 1;

impl Word {
    #[inline]
    fn tat(self) -> Units {
        stamp::unpack(self.0 & (QUEUED - 1))
    }

    #[inline]
    fn with_tat(self, tat: Units) -> Self {
        Self(self.0 & !(QUEUED - 1) | stamp::pack(tat))
    }

    #[inline]
    fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    #[inline]
    fn generation(self) -> u64 {
        self.0 >> GENERATION
    }

    /// Wraps round, so that one is told from the next seven.
    fn next_generation(self) -> Self {
        Self(self.0.wrapping_add(1 << GENERATION))
    }
}

impl Slot {
    fn new(quota: Quota) -> Self {
        let [one, tolerance] = quota.near();
        Self {
            quota: quota.to_words().map(AtomicU64::new),
            one: AtomicU64::new(one),
            tolerance: AtomicU64::new(tolerance),
        }
    }

    #[inline]
    fn quota(&self) -> Quota {
        // Acquire, so that who sees a part of a newer quota sees in the word that this one's time is over.
        Quota::from_words(self.quota.each_ref().map(|word| word.load(Acquire)))
    }

    fn store(&self, quota: Quota) {
        for (word, new) in self.quota.iter().zip(quota.to_words()) {
            word.store(new, Release);
        }
        let [one, tolerance] = quota.near();
        self.one.store(one, Release);
        self.tolerance.store(tolerance, Release);
    }
}

impl Meter {
    pub(crate) fn new(quota: Quota, tat: Units) -> Self {
        Self {
            word: AtomicU64::new(stamp::pack(tat)),
            slots: [Slot::new(quota), Slot::new(quota)],
            paused_until: AtomicU64::new(0),
        }
    }

    #[inline]
    fn load(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    #[inline]
    fn slot(&self, generation: u64) -> &Slot {
        &self.slots[generation as usize % 2]
    }

    /// What is in force, and the `tat`.
    pub(crate) fn read(&self) -> (Quota, Units) {
        loop {
            let word = self.load();
            let quota = self.slot(word.generation()).quota();
            if self.load().generation() == word.generation() {
                return (quota, word.tat());
            }
        }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.read().0
    }

    #[inline]
    fn paused_until(&self) -> Units {
        stamp::units(Timestamp::from_nanos(self.paused_until.load(Relaxed)))
    }

    /// Takes all of it or nothing. The clock was read before, and once: however often others come between, the answer is that of the same moment.
    #[inline]
    pub(crate) fn take(&self, ask: Ask) -> Result<Taken, Refusal> {
        self.take_if(ask, |word| !word.is_queued())
    }

    /// As [`take`](Self::take), past those who wait in line.
    #[inline]
    pub(crate) fn take_barging(&self, ask: Ask) -> Result<Taken, Refusal> {
        self.take_if(ask, |_| true)
    }

    /// As [`take`](Self::take) of one, where all is near and nobody waits. `None` where it is not so.
    #[inline]
    pub(crate) fn take_one_near(&self, now: u64) -> Option<Result<(), u64>> {
        let word = self.load();
        let slot = self.slot(word.generation());
        let (one, tolerance) = (slot.one.load(Acquire), slot.tolerance.load(Acquire));
        let tat = word.0 & (QUEUED - 1);
        if word.is_queued() || tat.max(now) >= NEAR || tolerance >= NEAR {
            return None;
        }
        let paused = self.paused_until.load(Relaxed);
        if paused.saturating_mul(UNITS_PER_NANO.into()) > now {
            return None;
        }
        match gcra::take_one_near(one, tolerance, tat, now) {
            Ok(end) if end < NEAR => {
                let end = Word(word.0 - tat + end);
                self.swap(word, end).ok().map(Ok)
            }
            Err(due) if self.load().generation() == word.generation() => Some(Err(due)),
            _ => None,
        }
    }

    #[inline]
    fn take_if(&self, ask: Ask, may: impl Fn(Word) -> bool) -> Result<Taken, Refusal> {
        let paused = self.paused_until();
        let mut word = self.load();
        loop {
            if !may(word) {
                return Err(Refusal::Line);
            }
            let quota = self.slot(word.generation()).quota();
            let start = gcra::start(word.tat(), ask.now, ask.slack);
            let fits = ask.n <= quota.burst_size() || quota.allows_debt();
            let verdict = gcra::take(quota, start, ask.now, ask.n);
            let refusal = match verdict {
                Ok(tat) if fits && paused <= ask.now => {
                    let end = word.with_tat(tat);
                    match self.swap(word, end) {
                        Ok(()) => return Ok(Taken { n: ask.n, end }),
                        Err(newer) => word = newer,
                    }
                    continue;
                }
                _ if !fits => Refusal::Exceeds {
                    burst: quota.burst_size(),
                },
                verdict => Refusal::Until(verdict.err().unwrap_or(0).max(paused)),
            };
            let newer = self.load();
            if newer.generation() == word.generation() {
                return Err(refusal);
            }
            word = newer;
        }
    }

    /// Takes `n`, or as many as there are.
    pub(crate) fn take_up_to(&self, n: u32, now: Units) -> Result<Taken, Refusal> {
        loop {
            let (quota, tat) = self.read();
            let there = match self.paused_until() <= now {
                true => gcra::remaining(quota, tat, now),
                false => 0,
            };
            let n = n.min(there).max(1);
            match self.take(Ask::at_once(n, now)) {
                Err(Refusal::Until(_)) if n > 1 => {} // somebody took some of them meanwhile
                taken => return taken,
            }
        }
    }

    /// Takes `n` in advance. Gives, too, from when on they may pass. `Err` with the burst if they are more. Under the lock of the line.
    pub(crate) fn take_ahead(&self, n: u32, now: Units) -> Result<(Taken, Units), u32> {
        let mut word = self.load();
        loop {
            let quota = self.slot(word.generation()).quota();
            let burst = quota.burst_size();
            if n > burst && !quota.allows_debt() {
                return Err(burst);
            }
            // In a pause, all that is taken in advance is for after it.
            let paused = self.paused_until();
            let start = word.tat().max(now).max(paused);
            let end = word.with_tat(start + quota.cost(n));
            match self.swap(word, end) {
                Ok(()) => return Ok((Taken { n, end }, gcra::due(quota, start, n).max(paused))),
                Err(newer) => word = newer,
            }
        }
    }

    /// Gives back `n` of which what is left reaches up to `end`, as far as they would not have been earned by now anyway. Gives what the
    /// `tat` was before, and how much less it is. Under the lock of the line, as what changes the quota.
    pub(crate) fn refund(&self, n: u32, end: Units, now: Units) -> (Units, Units) {
        let mut word = self.load();
        loop {
            let quota = self.slot(word.generation()).quota();
            let tat = gcra::refund(quota, word.tat(), now, n, end);
            match self.swap(word, word.with_tat(tat)) {
                Ok(()) => return (word.tat(), word.tat() - tat),
                Err(newer) => word = newer,
            }
        }
    }

    /// From now on it is `quota`, by which the `tat` becomes what `measured` makes of it. Gives that. One caller at a time.
    pub(crate) fn set_quota(&self, quota: Quota, measured: impl Fn(Units) -> Units) -> Units {
        let mut word = self.load();
        self.slot(word.generation() + 1).store(quota);
        loop {
            let tat = measured(word.tat());
            match self.swap(word, word.with_tat(tat).next_generation()) {
                Ok(()) => return tat,
                Err(newer) => word = newer,
            }
        }
    }

    /// Until the later of the two.
    pub(crate) fn pause_until(&self, nanos: u64) {
        self.paused_until.fetch_max(nanos, AcqRel);
    }

    pub(crate) fn resume(&self) {
        self.paused_until.store(0, Release);
    }

    /// From when on `n` may pass who come now and stand behind `queued` others.
    pub(crate) fn due_behind(&self, queued: u64, ask: Ask) -> Units {
        let (quota, tat) = self.read();
        let paused = self.paused_until();
        let start = gcra::start(tat, ask.now.max(paused), ask.slack);
        let behind = start + quota.cost_of_many(queued.into());
        gcra::due(quota, behind, ask.n).max(paused)
    }

    /// Nobody passes those who wait in line.
    pub(crate) fn set_queued(&self) {
        self.word.fetch_or(QUEUED, AcqRel);
    }

    pub(crate) fn clear_queued(&self) {
        self.word.fetch_and(!QUEUED, AcqRel);
    }

    /// `Err` with the word as it is.
    #[inline]
    fn swap(&self, old: Word, new: Word) -> Result<(), Word> {
        match self
            .word
            .compare_exchange_weak(old.0, new.0, AcqRel, Acquire)
        {
            Ok(_) => Ok(()),
            Err(word) => Err(Word(word)),
        }
    }
}
