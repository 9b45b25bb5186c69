//! The half-open state: who may try whether the other side is back. Without a clock.

use std::num::NonZeroU64;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

/// The calls that are let through, so many at a time.
#[derive(Debug)]
pub(super) struct Probes {
    /// Those under way, and until when each is waited for.
    leases: Vec<(NonZeroU64, Timestamp)>,
    next: NonZeroU64,
    succeeded: u32,
}

/// What the probes have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The other side is back.
    Well,
    /// It is not.
    Ill,
    Nothing,
}

impl Probes {
    pub(super) const fn new() -> Self {
        Self {
            leases: Vec::new(),
            next: NonZeroU64::MIN,
            succeeded: 0,
        }
    }

    pub(super) fn begin(&mut self) {
        // Numbers go on, so that a late probe of an earlier time is none of now.
        self.leases.clear();
        self.succeeded = 0;
    }

    /// Lets another probe through, if fewer than `most` are under way or have succeeded. A probe that is late
    /// by now makes room.
    pub(super) fn lease(
        &mut self,
        most: u32,
        lease: Duration,
        now: Timestamp,
    ) -> Result<NonZeroU64, Duration> {
        self.leases.retain(|(_, until)| *until > now);
        let taken = self.leases.len() + self.succeeded as usize;
        if taken >= most as usize {
            let first = self.leases.iter().map(|(_, until)| until.since(now)).min();
            return Err(first.unwrap_or(Duration::ZERO));
        }
        let number = self.next;
        self.next = number.saturating_add(1);
        self.leases.push((number, now.after(lease)));
        Ok(number)
    }

    /// A probe ended, well, badly, or without telling anything. One that is no longer waited for has no vote.
    pub(super) fn end(&mut self, number: NonZeroU64, failed: Option<bool>, needed: u32) -> Finding {
        let place = self.leases.iter().position(|(lease, _)| *lease == number);
        let Some(place) = place else {
            return Finding::Nothing;
        };
        self.leases.swap_remove(place);
        match failed {
            None => Finding::Nothing,
            Some(true) => Finding::Ill,
            Some(false) => {
                self.succeeded += 1;
                match self.succeeded >= needed {
                    true => Finding::Well,
                    false => Finding::Nothing,
                }
            }
        }
    }
}
