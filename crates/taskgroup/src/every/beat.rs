//! When a periodic loop runs next: decisions without a clock of their own.

use std::time::Duration;

use tokio::time::Instant;

use super::Missed;

/// The run after one that was scheduled for `scheduled` and ended at `now`; `None` where the clock
/// doesn't reach that far. Never in the past, except under [`Missed::Burst`].
pub(super) fn next(
    missed: Missed,
    period: Duration,
    scheduled: Instant,
    now: Instant,
) -> Option<Instant> {
    let due = scheduled.checked_add(period)?;
    if due >= now {
        return Some(due);
    }
    match missed {
        Missed::Burst => Some(due),
        Missed::Delay => now.checked_add(period),
        Missed::Skip => {
            // The late run's own time is on the grid, so what is past of the latest period counts.
            let past = now.duration_since(scheduled).as_nanos() % period.as_nanos();
            match past {
                0 => Some(now),
                // Less than a lateness that a clock has shown, so it fits.
                past => (now - Duration::from_nanos(past as u64)).checked_add(period),
            }
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn policy() -> impl Strategy<Value = Missed> {
        prop_oneof![Just(Missed::Skip), Just(Missed::Burst), Just(Missed::Delay)]
    }

    #[test]
    fn what_is_on_time_keeps_to_the_schedule() {
        let start = Instant::now();
        for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
            let at = |ended| next(missed, 10 * MS, start, start + ended);
            assert_eq!(at(Duration::ZERO), Some(start + 10 * MS), "{missed:?}");
            assert_eq!(at(10 * MS), Some(start + 10 * MS), "{missed:?}");
        }
    }

    #[test]
    fn what_is_late_goes_by_the_policy() {
        let start = Instant::now();
        let at = |missed| next(missed, 10 * MS, start, start + 25 * MS);
        assert_eq!(at(Missed::Skip), Some(start + 30 * MS));
        assert_eq!(at(Missed::Burst), Some(start + 10 * MS));
        assert_eq!(at(Missed::Delay), Some(start + 35 * MS));
        let just_now = next(Missed::Skip, 10 * MS, start, start + 30 * MS);
        assert_eq!(just_now, Some(start + 30 * MS), "it is due, not missed");
    }

    #[test]
    fn a_period_that_no_clock_reaches_never_ends() {
        let now = Instant::now();
        for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
            assert_eq!(next(missed, Duration::MAX, now, now), None);
        }
    }

    proptest! {
        /// A loop of runs of any length: each begins when the one before has ended, at the earliest.
        #[test]
        fn no_drift_no_overlap_and_nothing_in_the_past(
            missed in policy(),
            period in 1u64..5_000_000,
            runs in prop::collection::vec(0u64..50_000_000, 1..60),
        ) {
            let period = Duration::from_nanos(period);
            let start = Instant::now();
            let mut scheduled = start;
            let mut now = start;
            for (done, run) in runs.iter().enumerate() {
                now = now.max(scheduled) + Duration::from_nanos(*run);
                let at = next(missed, period, scheduled, now).unwrap();
                let on_grid = at.duration_since(start).as_nanos() % period.as_nanos() == 0;
                prop_assert!(at >= scheduled + period, "two in one period");
                match missed {
                    Missed::Burst => {
                        prop_assert_eq!(at, start + period * (done as u32 + 1), "one run for each period");
                    }
                    Missed::Skip => {
                        prop_assert!(on_grid, "it drifts");
                        prop_assert!(at >= now, "in the past");
                        prop_assert!(at == scheduled + period || at < now + period, "skipped one too many");
                    }
                    Missed::Delay => {
                        prop_assert!(at == scheduled + period || at == now + period);
                        prop_assert!(at >= now, "in the past");
                    }
                }
                scheduled = at;
            }
        }
    }
}
