//! The generic cell rate algorithm, as functions of the time.
//!
//! All that a limit remembers is its *theoretical arrival time*, `tat`: when all that was let through will have been earned.
//! Who asks for `n` moves it on by the time in which `n` are earned, and may do so as long as it stays within a burst of now. It is the
//! [leaky bucket as a meter](https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm) of ATM networks, where a bucket that is
//! filled bit by bit never has to be filled.

use crate::Quota;
use crate::stamp::Units;

/// Where the time of somebody who asks now begins: at `tat`, or, when the limit has been at rest, now.
///
/// A limit that is only late has not been at rest: timers ring late, and those they wake come late. Of what was missed so,
/// `slack` is made up for.
#[inline]
pub(crate) fn start(tat: Units, now: Units, slack: Units) -> Units {
    let behind = now.saturating_sub(tat);
    if behind <= slack {
        tat
    } else if behind <= slack * REST {
        now - slack
    } else {
        now
    }
}

/// Who comes as many times later than `slack` finds the limit at rest.
const REST: Units = 10;

/// The new `tat` when `n` may pass now, or else the time from which on they may.
#[inline]
pub(crate) fn take(quota: Quota, start: Units, now: Units, n: u32) -> Result<Units, Units> {
    let due = due(quota, start, n);
    if due <= now {
        Ok(start + quota.cost(n))
    } else {
        Err(due)
    }
}

/// As [`take`] of one at its arrival, where nothing is further away than a word says: most checks are of that kind.
#[inline]
pub(crate) fn take_one_near(one: u64, tolerance: u64, tat: u64, now: u64) -> Result<u64, u64> {
    let end = tat.max(now) + one;
    let due = end.saturating_sub(tolerance);
    if due <= now { Ok(end) } else { Err(due) }
}

/// When `n` may pass. What exceeds the burst waits until the burst is there.
#[inline]
pub(crate) fn due(quota: Quota, start: Units, n: u32) -> Units {
    let needed = quota.cost(n.min(quota.burst_size()));
    (start + needed).saturating_sub(quota.tolerance())
}

/// How many may pass now.
pub(crate) fn remaining(quota: Quota, tat: Units, now: Units) -> u32 {
    let unspent = (now + quota.tolerance()).saturating_sub(tat.max(now));
    quota.earned_in(unspent).0 as u32
}

/// The `tat` without the grant of `n` that moved it to `end`. What of it would be earned by now was of use to nobody, so it does not come back.
pub(crate) fn refund(quota: Quota, tat: Units, now: Units, n: u32, end: Units) -> Units {
    tat - quota.cost(n).min(end.saturating_sub(now)).min(tat)
}

/// The time that is as many intervals of `new` from `now` as `at` is of `old`: what is owed stays owed when the rate changes.
pub(crate) fn rescale(old: Quota, new: Quota, at: Units, now: Units) -> Units {
    let (whole, part) = old.earned_in(at.saturating_sub(now));
    at.min(now) + new.cost_of_many(whole) + new.as_part(part, old)
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// From 64 a nanosecond to one in nine years, in no even steps.
    fn quotas() -> impl Strategy<Value = Quota> {
        (any::<u32>(), any::<u64>(), 0_u32..60, 1_u32..2_000).prop_filter_map(
            "a quota",
            |(n, nanos, shift, burst)| {
                let period = Duration::from_nanos(nanos >> shift);
                Quota::try_per(n >> (shift / 2), period)
                    .ok()?
                    .try_burst(burst)
                    .ok()
            },
        )
    }

    fn now() -> Units {
        1 << 50
    }

    proptest! {
        #[test]
        fn the_time_of_a_refusal_is_honest(quota in quotas(), ahead in any::<u64>(), n in 1_u32..2_000) {
            let tat = now() + Units::from(ahead) % (2 * quota.tolerance() + 1);
            let n = n.min(quota.burst_size());
            if let Err(due) = take(quota, start(tat, now(), 0), now(), n) {
                let at = |now| take(quota, start(tat, now, 0), now, n);
                prop_assert!(at(due).is_ok());
                prop_assert_eq!(at(due - 1), Err(due));
            }
        }

        #[test]
        fn n_at_once_are_n_one_by_one(quota in quotas(), ahead in any::<u64>(), n in 1_u32..50) {
            let tat = now() + Units::from(ahead) % (2 * quota.tolerance() + 1);
            let n = n.min(quota.burst_size());
            let one_by_one = (0..n).try_fold(tat, |tat, _| take(quota, start(tat, now(), 0), now(), 1));
            let at_once = take(quota, start(tat, now(), 0), now(), n);
            prop_assert_eq!(at_once.is_ok(), n <= remaining(quota, tat, now()));
            if let Ok(one_by_one) = one_by_one {
                let rounded = one_by_one - at_once.expect("they are rounded up one by one");
                prop_assert!(rounded < Units::from(n));
            }
        }

        /// However late who waits is served.
        #[test]
        fn slack_adds_no_more_than_itself_to_any_window(
            burst in 1_u32..5,
            slack in 0_u64..5_000,
            asks in prop::collection::vec(prop_oneof![0_u64..50_000, 0_u64..2_000], 1..80),
        ) {
            let quota = Quota::every(Duration::from_nanos(1_000)).burst(burst);
            let nanos = |n: u64| Units::from(n) * 64;
            let (mut tat, mut now, mut grants) = (now(), now(), Vec::new());
            for pause in asks {
                now += nanos(pause);
                while let Ok(next) = take(quota, start(tat, now, nanos(slack)), now, 1) {
                    tat = next;
                    grants.push(now);
                }
            }
            for (i, from) in grants.iter().enumerate() {
                for (n, to) in (1..).zip(&grants[i..]) {
                    prop_assert!(quota.cost(n) <= quota.tolerance() + (to - from) + nanos(slack));
                }
            }
        }

        #[test]
        fn what_is_near_is_taken_as_what_is_not(one in 1_u64..1 << 40, burst in 1_u32..1000, tat in 0_u64..1 << 57, now in 0_u64..1 << 57) {
            let quota = Quota::every(Duration::from_nanos(one)).burst(burst);
            let (one, tolerance) = (quota.cost(1) as u64, quota.tolerance() as u64);
            let (tat, now) = (tat.min(now + 2 * tolerance), now);
            let near = take_one_near(one, tolerance, tat, now);
            let same = take(quota, start(tat.into(), now.into(), 0), now.into(), 1);
            prop_assert_eq!(near.map(Units::from).map_err(Units::from), same);
        }

        /// As if it had never been, unless it has been earned since.
        #[test]
        fn a_refund_is_exact(
            quota in quotas(),
            n in 1_u32..50,
            others in prop::collection::vec((0_u64..4_000, 1_u32..5), 0..8),
            rest in 0_u64..4_000,
        ) {
            let mut now = now();
            let first = now + quota.cost(n); // with a limit at rest
            let (mut with, mut without) = (first, now);
            let mut rested = false;
            for (percent, m) in others {
                now += quota.cost(1) * Units::from(percent) / 100;
                rested |= with <= now; // all that the first grant took has been earned
                with = start(with, now, 0) + quota.cost(m);
                without = start(without, now, 0) + quota.cost(m);
            }
            now += quota.cost(1) * Units::from(rest) / 100;
            let back = refund(quota, with, now, n, first);
            prop_assert!(back.max(now) >= without.max(now), "it gave more than it took");
            if first > now && !rested {
                prop_assert_eq!(back.max(now), with.max(now) - quota.cost(n).min(first - now));
            }
            if first <= now {
                prop_assert_eq!(back, with);
            }
        }

        #[test]
        fn what_is_owed_stays_owed(old in quotas(), new in quotas(), ahead in any::<u64>()) {
            let tat = now() + Units::from(ahead) % (2 * old.tolerance() + 1);
            let there = rescale(old, new, tat, now());
            let owed = |quota: Quota, tat: Units| quota.earned_in(tat - now()).0;
            let (before, after) = (owed(old, tat), owed(new, there));
            prop_assert!(after == before || after == before + 1, "{before} became {after}");
            prop_assert_eq!(rescale(old, new, now(), now()), now());
            let unchanged = rescale(old, old, tat, now());
            prop_assert!(unchanged >= tat && unchanged <= tat + 2);
        }
    }
}
