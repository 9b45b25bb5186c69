use std::fmt;
use std::ops::Deref;

use tokio::time::Instant;

use super::limiter::Refused;
use super::slots::End;
use super::{ConcurrencyLimiter, Outcome};
use crate::Denied;
use crate::tally::{self, CONCURRENCY};

/// A slot of a [`ConcurrencyLimiter`], to be told how the call ended.
///
/// Dropped without a word it says nothing, as [`ignore`](Self::ignore): the slot is free again, and the limit learns nothing
/// from a call that was cancelled or panicked.
///
/// `L` is how it knows the limiter: by a reference, or by a share of it.
#[must_use = "the slot is free again as soon as its permit drops"]
pub struct Permit<L: Deref<Target = ConcurrencyLimiter>> {
    limiter: L,
    call: Call,
    end: End,
}

/// A call that is under way.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// `None` where the time tells nothing.
    pub(super) began: Option<Instant>,
    /// How many were under way then, with this one.
    pub(super) in_flight: usize,
}

impl<L: Deref<Target = ConcurrencyLimiter>> Permit<L> {
    #[inline]
    pub(super) fn new(limiter: L, call: Call) -> Self {
        tally::granted(CONCURRENCY);
        Self {
            limiter,
            call,
            end: End::Ignored,
        }
    }

    pub(super) fn try_new(limiter: L) -> Result<Self, Denied> {
        match limiter.try_call() {
            Ok(call) => Ok(Self::new(limiter, call)),
            Err(Refused::Closed) => Err(limiter.deny(Denied::Closed)),
            Err(Refused::Busy) => {
                let limit = limiter.limit();
                Err(limiter.deny(Denied::AtLimit { limit }))
            }
        }
    }

    /// The call begins only now: what was waited for since the permit was given is none of the other side's time.
    pub(crate) fn begin(&mut self) {
        if let Some(began) = &mut self.call.began {
            *began = Instant::now();
        }
    }

    /// The call was served. The time since the permit was given is what it took.
    pub fn success(mut self) {
        self.end = End::Told(Outcome::Success);
    }

    /// The call was refused, or took too long, since the other side has too much to do.
    pub fn overloaded(mut self) {
        self.end = End::Told(Outcome::Overloaded);
    }

    /// The call says nothing of the other side's load: the same as dropping the permit. For a mistake of the caller's
    /// own, or where a call was not made after all.
    pub fn ignore(self) {}

    /// The limiter that it is of.
    pub fn limiter(&self) -> &L {
        &self.limiter
    }
}

impl<L: Deref<Target = ConcurrencyLimiter>> Drop for Permit<L> {
    #[inline]
    fn drop(&mut self) {
        self.limiter.release(self.call, self.end);
    }
}

impl<L: Deref<Target = ConcurrencyLimiter>> fmt::Debug for Permit<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
