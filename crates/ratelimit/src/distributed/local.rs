//! GCRA as a function of the time: what a store does, for one that is in this process.
//!
//! The state is the time at which the burst will be full again, `tat`. One that lies in the past is a full burst.

use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use super::backend::{Answer, Charge, Take, Verdict};
use crate::Quota;
use crate::quota::UNITS_PER_NANO;

/// A time, or a length of it, in the parts of a nanosecond that quotas are counted in.
pub(crate) type Units = i128;

/// The state after `take`, and the answer to it.
pub(crate) fn decide(tat: Units, now: Units, quota: Quota, take: Take) -> (Units, Verdict) {
    let level = Level::new(tat, now, quota);
    match take {
        Take::Peek => (level.tat, level.verdict(Answer::Done)),
        Take::Acquire { least, most } => level.acquire(least, most),
        Take::Refund { n, charge } => {
            let unearned = (charge.0 - now).max(0);
            let tat = level.tat - level.cost(n).min(unearned);
            let level = Level::new(tat, now, quota);
            (level.tat, level.verdict(Answer::Done))
        }
    }
}

/// How full the burst is at one moment.
struct Level {
    /// Not in the past.
    tat: Units,
    now: Units,
    quota: Quota,
}

impl Level {
    fn new(tat: Units, now: Units, quota: Quota) -> Self {
        let tat = tat.max(now);
        Self { tat, now, quota }
    }

    fn cost(&self, n: u32) -> Units {
        Units::from(self.quota.units()) * Units::from(n)
    }

    /// What may be charged on top of what was.
    fn room(&self) -> Units {
        self.cost(self.quota.burst_size()) - (self.tat - self.now)
    }

    fn available(&self) -> u32 {
        let n = self.room().max(0) / Units::from(self.quota.units());
        u32::try_from(n).expect("not above the burst")
    }

    fn acquire(mut self, least: u32, most: u32) -> (Units, Verdict) {
        // Who takes on debt needs the whole burst.
        let needed = least.min(self.quota.burst_size());
        let lacking = self.cost(needed) - self.room();
        if lacking > 0 {
            let retry_after = duration(lacking);
            return (self.tat, self.verdict(Answer::Denied { retry_after }));
        }
        let n = most.min(self.available()).max(least);
        self.tat += self.cost(n);
        let charge = Charge(self.tat);
        (self.tat, self.verdict(Answer::Granted { n, charge }))
    }

    fn verdict(&self, answer: Answer) -> Verdict {
        Verdict {
            answer,
            remaining: self.available(),
            reset_after: duration(self.tat - self.now),
        }
    }
}

/// On the clock of this process.
pub(crate) fn at(time: Timestamp) -> Units {
    Units::from(time.as_nanos()) * Units::from(UNITS_PER_NANO)
}

#[cfg(all(test, not(shibuya_loom)))]
pub(crate) fn units(d: Duration) -> Units {
    Units::try_from(d.as_nanos()).expect("94 bits") * Units::from(UNITS_PER_NANO)
}

/// Rounded up; what is too long for a `Duration` is the longest one.
pub(crate) fn duration(units: Units) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let nanos = units.max(0).unsigned_abs().div_ceil(UNITS_PER_NANO.into());
    match u64::try_from(nanos / NANOS) {
        Ok(secs) => Duration::new(secs, (nanos % NANOS) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Units = 1_000_000 * 64;
    const TEN: Quota = Quota::per_second(100).burst(10); // one each 10 ms

    fn granted((tat, verdict): (Units, Verdict)) -> (Units, u32, Charge) {
        match verdict.answer {
            Answer::Granted { n, charge } => (tat, n, charge),
            other => panic!("{other:?}"),
        }
    }

    fn retry_after((_, verdict): (Units, Verdict)) -> Duration {
        match verdict.answer {
            Answer::Denied { retry_after } => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_burst_then_one_each_interval() {
        let (tat, n, _) = granted(decide(0, 7 * MS, TEN, Take::exactly(10)));
        assert_eq!((tat, n), (107 * MS, 10));
        let wait = retry_after(decide(tat, 7 * MS, TEN, Take::exactly(1)));
        assert_eq!(wait, Duration::from_millis(10));
        granted(decide(tat, 17 * MS, TEN, Take::exactly(1)));
        assert_eq!(
            retry_after(decide(tat, 17 * MS - 1, TEN, Take::exactly(1))),
            Duration::from_nanos(1)
        );
    }

    #[test]
    fn what_is_there_is_taken_up_to_the_most() {
        let all = Take::Acquire { least: 2, most: 50 };
        let (tat, n, _) = granted(decide(0, 0, TEN, all));
        assert_eq!(n, 10);
        assert_eq!(
            retry_after(decide(tat, 15 * MS, TEN, all)),
            Duration::from_millis(5)
        );
        assert_eq!(granted(decide(tat, 35 * MS, TEN, all)).1, 3);
    }

    #[test]
    fn a_debt_needs_a_full_burst_and_is_paid_by_those_who_follow() {
        let (tat, n, _) = granted(decide(0, 0, TEN.debt(), Take::exactly(30)));
        assert_eq!((tat, n), (300 * MS, 30));
        assert_eq!(
            retry_after(decide(tat, 0, TEN.debt(), Take::exactly(1))),
            Duration::from_millis(210)
        );
        assert_eq!(
            retry_after(decide(10 * MS, 0, TEN.debt(), Take::exactly(30))),
            Duration::from_millis(10)
        );
    }

    #[test]
    fn a_refund_gives_back_what_was_not_earned_again() {
        let (tat, n, charge) = granted(decide(0, 0, TEN, Take::exactly(5)));
        for (after, left) in [(0, 0), (20, 0), (49, 0), (50, 0), (60, 0)] {
            let (tat, _) = decide(tat, after * MS, TEN, Take::Refund { n, charge });
            assert_eq!(tat - after * MS, left * MS, "after {after} ms");
        }
        let (later, ..) = granted(decide(tat, 0, TEN, Take::exactly(5)));
        let (refunded, _) = decide(later, 30 * MS, TEN, Take::Refund { n, charge });
        assert_eq!(later - refunded, 20 * MS, "30 ms of it were earned again");
    }

    fn take() -> impl Strategy<Value = (Units, Take)> {
        let acquire = (1..11u32, 0..9u32).prop_map(|(least, more)| Take::Acquire {
            least,
            most: least + more,
        });
        (0..40 * MS, prop_oneof![4 => acquire, 1 => Just(Take::Peek)])
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_burst_and_what_was_earned(takes in prop::collection::vec(take(), 1..60)) {
            let (mut tat, mut now) = (0, 0);
            let mut grants: Vec<(Units, u32)> = Vec::new();
            for (pause, take) in takes {
                now += pause;
                let (next, verdict) = decide(tat, now, TEN, take);
                match (verdict.answer, take) {
                    (Answer::Granted { n, .. }, Take::Acquire { least, most }) => {
                        prop_assert!((least..=most).contains(&n));
                        grants.push((now, n));
                    }
                    (Answer::Denied { retry_after }, Take::Acquire { least, .. }) => {
                        let due = now + units(retry_after);
                        let answer = |at| decide(next, at, TEN, Take::exactly(least)).1.answer;
                        prop_assert!(matches!(answer(due), Answer::Granted { .. }), "honest");
                        prop_assert!(matches!(answer(due - 64), Answer::Denied { .. }), "and no later than needed");
                    }
                    _ => prop_assert_eq!(next, tat.max(now)),
                }
                tat = next;
            }
            for (i, (from, _)) in grants.iter().enumerate() {
                let mut sum = 0;
                for (to, n) in &grants[i..] {
                    sum += Units::from(*n);
                    prop_assert!(sum * 10 * MS <= 100 * MS + (to - from));
                }
            }
        }
    }
}
