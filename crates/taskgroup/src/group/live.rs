//! The count of a group's living tasks, in one word with what ends it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use shibuya_waitlist::primitives::AtomicUsize;

/// No task may enter any more.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// The driver is gone; the group further out waits for the last task instead.
const ORPHANED: usize = 1 << (usize::BITS - 2);
const COUNT: usize = ORPHANED - 1;

/// On a cache line of its own, since every task changes it twice and every spawn reads its neighbours.
///
/// Invariants: once `CLOSED`, no task enters; once closed and empty, the word never changes.
#[repr(align(128))]
pub(crate) struct Live(AtomicUsize);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    Yes,
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// So many others live on.
    Others(usize),
    /// It was the last one.
    Empty,
    /// It was the last one, and the driver is gone.
    EmptyOrphaned,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Acquire) & COUNT
    }

    pub(crate) fn enter(&self) -> Entered {
        let mut now = self.0.load(Relaxed);
        loop {
            if now & CLOSED != 0 {
                return Entered::Closed;
            }
            match self.0.compare_exchange_weak(now, now + 1, AcqRel, Relaxed) {
                Ok(_) => return Entered::Yes,
                Err(seen) => now = seen,
            }
        }
    }

    /// For the orphans of a group inside: a closed group waits for them too, as long as it waits
    /// for anything.
    pub(crate) fn adopt(&self) -> bool {
        let mut now = self.0.load(Acquire);
        while !over(now) {
            match self.0.compare_exchange_weak(now, now + 1, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// Nobody waits here any more, and nothing ever will.
    pub(crate) fn is_over(&self) -> bool {
        over(self.0.load(Acquire))
    }

    pub(crate) fn leave(&self) -> Left {
        let before = self.0.fetch_sub(1, AcqRel);
        match (before & COUNT, before & ORPHANED != 0) {
            (1, true) => Left::EmptyOrphaned,
            (1, false) => Left::Empty,
            (n, _) => Left::Others(n - 1),
        }
    }

    pub(crate) fn try_close(&self) -> bool {
        self.0.compare_exchange(0, CLOSED, AcqRel, Relaxed).is_ok()
    }

    /// Gives how many live on without a driver.
    pub(crate) fn orphan(&self) -> usize {
        self.0.fetch_or(CLOSED | ORPHANED, AcqRel) & COUNT
    }
}

fn over(now: usize) -> bool {
    now & CLOSED != 0 && now & COUNT == 0
}
