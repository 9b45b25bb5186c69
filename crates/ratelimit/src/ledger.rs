//! What a refund has to know: what became of the debt since the grant.
//!
//! A grant moved the theoretical arrival time to its `end`. If nothing but other grants came after it, what of it is not earned yet is
//! `end - now`. But a refund of what lies below in the pile of debts lets all above it sink, and a change of the quota stretches the
//! pile. So these are kept here, as long as a grant may be left from before them.

use std::collections::VecDeque;

use crate::stamp::Units;
use crate::{Quota, gcra};

#[derive(Default)]
pub(crate) struct Ledger {
    /// How many events there were. A grant remembers the number of those before it.
    count: u64,
    /// Nothing is left of grants from before this one.
    earned_before: u64,
    events: VecDeque<Event>,
}

struct Event {
    number: u64,
    /// How high the pile was then: all older grants are earned when this is past.
    tat: Units,
    what: What,
}

enum What {
    /// So much was taken out of the pile, below `end`.
    Refund {
        end: Units,
        amount: Units,
    },
    Change {
        old: Quota,
        new: Quota,
        at: Units,
    },
}

/// Of more refunds, the oldest two are taken for one: a later refund may then be less than it could be, and is never more.
const MAX: usize = 64;

impl Ledger {
    /// The number for a grant that is made now.
    pub(crate) fn number(&self) -> u64 {
        self.count
    }

    /// Up to where a grant reaches now that was made after so many events, and reached up to `end`.
    pub(crate) fn end(&self, number: u64, end: Units) -> Units {
        if number < self.earned_before {
            return 0;
        }
        let since = self.events.iter().filter(|event| event.number > number);
        since.fold(end, |end, event| match event.what {
            What::Refund { end: of, amount } if of < end => end.saturating_sub(amount),
            What::Refund { .. } => end,
            What::Change { old, new, at } => gcra::rescale(old, new, end, at),
        })
    }

    /// `amount` was given back of a grant that reached up to `end`, and the pile was as high as `tat`.
    pub(crate) fn refunded(&mut self, end: Units, amount: Units, tat: Units, now: Units) {
        self.forget(now);
        self.push(tat, What::Refund { end, amount });
    }

    /// Another quota has made the pile as high as `tat`.
    pub(crate) fn changed(&mut self, old: Quota, new: Quota, tat: Units, now: Units) {
        self.forget(now);
        self.push(tat, What::Change { old, new, at: now });
    }

    fn push(&mut self, tat: Units, what: What) {
        self.count += 1;
        let number = self.count;
        self.events.push_back(Event { number, tat, what });
        if self.events.len() > MAX {
            let oldest = self.events.pop_front().expect("there are more than none");
            let next = &mut self.events[0];
            match (oldest.what, &mut next.what) {
                (
                    What::Refund { end, amount },
                    What::Refund {
                        end: of,
                        amount: and,
                    },
                ) => {
                    *of = end.min(*of);
                    *and += amount;
                    next.tat = next.tat.max(oldest.tat);
                }
                _ => self.earned_before = oldest.number,
            }
        }
    }

    fn forget(&mut self, now: Units) {
        let behind = self.events.iter().rposition(|event| event.tat <= now);
        if let Some(behind) = behind {
            self.earned_before = self.events[behind].number;
            self.events.drain(..=behind);
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Grant(u32),
        Refund(usize),
    }

    proptest! {
        /// Never less is owed than if it had known from the beginning who would give back.
        #[test]
        fn a_refund_gives_no_more_than_if_the_grant_had_never_been(
            steps in prop::collection::vec(prop_oneof![
                (0_u64..1_500).prop_map(Step::Wait),
                (1_u32..5).prop_map(Step::Grant),
                (0_usize..8).prop_map(Step::Refund),
            ], 1..60),
        ) {
            let quota = Quota::every(Duration::from_nanos(1_000)).burst(1_000);
            let unit = Units::from(64_u32);
            let mut now = 0;
            let mut tat = 0;
            let mut ledger = Ledger::default();
            // When, how many, up to where, by which number.
            let mut grants: Vec<(Units, u32, Units, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(nanos) => now += Units::from(nanos) * unit,
                    Step::Grant(n) => {
                        tat = gcra::start(tat, now, 0) + quota.cost(n);
                        grants.push((now, n, tat, ledger.number()));
                    }
                    Step::Refund(_) if grants.is_empty() => {}
                    Step::Refund(i) => {
                        let (_, n, end, number) = grants.remove(i % grants.len());
                        let (end, before) = (ledger.end(number, end), tat);
                        tat = gcra::refund(quota, tat, now, n, end);
                        ledger.refunded(end, before - tat, before, now);
                        let never = grants.iter().fold(0, |tat, (at, n, ..)| {
                            gcra::start(tat, *at, 0) + quota.cost(*n)
                        });
                        prop_assert!(tat.max(now) >= never.max(now), "{tat} of {never} at {now}");
                    }
                }
            }
        }
    }

    /// However many: first come first back, or the other way round.
    #[test]
    fn all_may_come_back() {
        let quota = Quota::every(Duration::from_nanos(1_000)).burst(10);
        for backwards in [false, true] {
            let mut ledger = Ledger::default();
            let mut ends: Vec<_> = (1..=1_000).map(|n| quota.cost(1) * n).collect();
            let mut tat = ends[999];
            if backwards {
                ends.reverse();
            }
            for end in ends {
                let (end, before) = (ledger.end(0, end), tat);
                tat = gcra::refund(quota, tat, 0, 1, end);
                ledger.refunded(end, before - tat, before, 0);
            }
            assert_eq!(tat, 0);
            assert!(ledger.events.len() <= MAX);
        }
    }

    #[test]
    fn the_ledger_is_empty_when_all_is_earned() {
        let mut ledger = Ledger::default();
        for i in 1..=10_000 {
            ledger.refunded(i, 1, i + 1_000_000, i);
        }
        ledger.refunded(1, 1, 2_000_000, 1_999_999);
        assert_eq!(ledger.events.len(), 1);
    }
}
