//! Points in time in one word, for as far as a limit can look ahead: a limit of one a day with a burst of a million has to.

use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use crate::quota::UNITS_PER_NANO;

/// Parts of a nanosecond, since the clock's beginning where a point is meant. No arithmetic of a limit leaves its range.
pub(crate) type Units = u128;

/// A floating point number: exact for 26 days of uptime, then whole nanoseconds for years, rounded up; and coarser where somebody
/// owes for longer. As words they compare as the times do.
const MANTISSA: u32 = 57;
const EXPONENT: u32 = 3;
/// Each exponent stands for so many bits: those of the [parts of a nanosecond](UNITS_PER_NANO).
const STEP: u32 = UNITS_PER_NANO.ilog2();
const LIMIT: Units = 1 << MANTISSA;

/// Below this a time is its own stamp.
pub(crate) const NEAR: u64 = LIMIT as u64;

/// How many bits of the word are used.
pub(crate) const BITS: u32 = MANTISSA + EXPONENT;

#[inline]
pub(crate) const fn pack(at: Units) -> u64 {
    if at < LIMIT { at as u64 } else { far(at) }
}

#[cold]
const fn far(mut at: Units) -> u64 {
    let mut exponent = 0;
    while at >= LIMIT {
        at = at.div_ceil(1 << STEP);
        exponent += 1;
    }
    if exponent >> EXPONENT != 0 {
        return (1 << BITS) - 1;
    }
    (exponent << MANTISSA) | at as u64
}

#[inline]
pub(crate) const fn unpack(stamp: u64) -> Units {
    if stamp < LIMIT as u64 {
        return stamp as Units;
    }
    let exponent = (stamp >> MANTISSA) as u32 & ((1 << EXPONENT) - 1);
    ((stamp & (LIMIT as u64 - 1)) as Units) << (exponent * STEP)
}

#[inline]
pub(crate) fn units(at: Timestamp) -> Units {
    Units::from(at.as_nanos()) * Units::from(UNITS_PER_NANO)
}

/// In one word, whether it is [`NEAR`] or not.
#[inline]
pub(crate) fn near(at: Timestamp) -> u64 {
    at.as_nanos().saturating_mul(UNITS_PER_NANO.into())
}

pub(crate) fn length(d: Duration) -> Units {
    d.as_nanos().saturating_mul(Units::from(UNITS_PER_NANO))
}

/// Rounded up, so that the time has really come then.
#[inline]
pub(crate) fn nanos(units: Units) -> u64 {
    let nanos = units.div_ceil(Units::from(UNITS_PER_NANO));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Up to where it saturates, in a trillion years.
    fn any_units() -> impl Strategy<Value = Units> {
        (any::<u128>(), 30_u32..128).prop_map(|(bits, shift)| bits >> shift)
    }

    proptest! {
        #[test]
        fn near_times_are_exact_and_far_ones_a_hair_later(at in any_units()) {
            let back = unpack(pack(at));
            prop_assert!(back >= at);
            prop_assert!(back - at <= at >> (MANTISSA - STEP));
            prop_assert!(at >= LIMIT || back == at);
            prop_assert_eq!(pack(back), pack(at));
        }

        #[test]
        fn words_compare_as_the_times(a in any_units(), b in any_units()) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(pack(a) <= pack(b));
        }
    }

    #[test]
    fn a_month_is_exact_and_years_to_the_nanosecond() {
        let days =
            |days: u64| Units::from(days * 86_400) * 1_000_000_000 * Units::from(UNITS_PER_NANO);
        assert_eq!(unpack(pack(days(26) + 1)), days(26) + 1);
        assert_eq!(nanos(unpack(pack(days(1500) + 1))), nanos(days(1500)) + 1);
        assert_eq!(pack(Units::MAX), (1 << BITS) - 1);
        assert_eq!(nanos(65), 2);
        assert_eq!(nanos(Units::MAX), u64::MAX);
    }
}
