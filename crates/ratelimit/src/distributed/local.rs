//! What a store does, as a function of the time: for one that is in this process.
//!
//! The state is the time at which the burst will be full again, `tat`. One that lies in the past is a full burst.

use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use super::backend::{Answer, Charge, Take, Verdict};
use crate::quota::UNITS_PER_NANO;
use crate::{Quota, gcra};

/// A time, or a length of it, in the parts of a nanosecond that quotas are counted in.
pub(crate) type Units = i128;

/// The state after `take`, and the answer to it.
pub(crate) fn decide(tat: Units, now: Units, quota: Quota, take: Take) -> (Units, Verdict) {
    let quota = quota.in_units();
    // Seen from now, so that it does not matter where the store's clock begins.
    let ahead = |at: Units| u128::try_from(at.saturating_sub(now)).unwrap_or(0);
    let owed = ahead(tat);
    let (owed, answer) = match take {
        Take::Peek => (owed, Answer::Done),
        Take::Refund { n, charge } => {
            let end = ahead(charge.0);
            (gcra::refund(quota, owed, 0, n, end), Answer::Done)
        }
        Take::Acquire { least, most } => match gcra::take(quota, owed, 0, least) {
            Ok(_) => {
                let n = most.min(gcra::remaining(quota, owed, 0)).max(least);
                let owed = owed + quota.cost(n);
                let charge = Charge(now + owed as Units);
                (owed, Answer::Granted { n, charge })
            }
            Err(due) => {
                let retry_after = duration(due);
                (owed, Answer::Denied { retry_after })
            }
        },
    };
    let verdict = Verdict {
        answer,
        remaining: gcra::remaining(quota, owed, 0),
        reset_after: duration(owed),
    };
    (now + owed as Units, verdict)
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
fn duration(units: u128) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let nanos = units.div_ceil(UNITS_PER_NANO.into());
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
