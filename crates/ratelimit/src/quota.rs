use std::fmt;
use std::time::Duration;

use crate::InvalidQuota;
use crate::stamp::Units;

/// How much may pass: one each interval in the long run, and a burst at once.
///
/// A plain value, to be kept in a constant, compared and copied. In each time of length `w`, at most
/// `burst + w / interval` are let through.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::Quota;
///
/// const API: Quota = Quota::per_second(100).burst(10);
/// assert_eq!(API.interval(), Duration::from_millis(10));
/// assert!(Quota::try_per(0, Duration::from_secs(1)).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// The interval in [units](UNITS_PER_NANO), rounded up, with `fraction` bits behind the point: a limit of bytes has intervals far below
    /// a nanosecond.
    interval: u64,
    fraction: u8,
    debt: bool,
    burst: u32,
}

/// Points in time are counted in parts of a nanosecond, so that what is added up is not rounded by much.
pub(crate) const UNITS_PER_NANO: u32 = 64;

/// More bits would say nothing that a clock could tell.
const FRACTION_MAX: u8 = 40;

impl Quota {
    /// `n` each second, one at a time.
    ///
    /// # Panics
    ///
    /// When `n` is 0. For what comes from a configuration see [`try_per`](Self::try_per).
    #[track_caller]
    pub const fn per_second(n: u32) -> Self {
        Self::per(n, Duration::from_secs(1))
    }

    /// `n` each minute, one at a time.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub const fn per_minute(n: u32) -> Self {
        Self::per(n, Duration::from_secs(60))
    }

    /// One each `interval`.
    ///
    /// # Panics
    ///
    /// When the interval is zero or longer than nine years.
    #[track_caller]
    pub const fn every(interval: Duration) -> Self {
        Self::per(1, interval)
    }

    /// `n` each `period`, one at a time.
    ///
    /// # Panics
    ///
    /// As [`try_per`](Self::try_per) fails.
    #[track_caller]
    pub const fn per(n: u32, period: Duration) -> Self {
        match Self::try_per(n, period) {
            Ok(quota) => quota,
            Err(InvalidQuota::ZeroRate) => panic!("a rate must be at least 1"),
            Err(InvalidQuota::ZeroPeriod) => panic!("the time of a rate must be above zero"),
            Err(InvalidQuota::TooFast) => panic!("a rate is at most 64 per nanosecond"),
            Err(_) => panic!("a rate is at least one in nine years"),
        }
    }

    /// Like [`per`](Self::per), for numbers that come from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidQuota`] says what was wrong, and what would be right.
    pub const fn try_per(n: u32, period: Duration) -> Result<Self, InvalidQuota> {
        if n == 0 {
            return Err(InvalidQuota::ZeroRate);
        }
        if period.is_zero() {
            return Err(InvalidQuota::ZeroPeriod);
        }
        // Durations have 94 bits of nanoseconds.
        let units = period.as_nanos() * UNITS_PER_NANO as u128;
        if units < n as u128 {
            return Err(InvalidQuota::TooFast);
        }
        if units.div_ceil(n as u128) > u64::MAX as u128 {
            return Err(InvalidQuota::TooSlow);
        }
        // As many bits as fit.
        let mut fraction = FRACTION_MAX;
        while units.leading_zeros() < fraction as u32
            || (units << fraction).div_ceil(n as u128) > u64::MAX as u128
        {
            fraction -= 1;
        }
        let interval = (units << fraction).div_ceil(n as u128) as u64;
        Ok(Self {
            interval,
            fraction,
            debt: false,
            burst: 1,
        })
    }

    /// Lets `n` pass at once after a rest; 1 unless told.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub const fn burst(self, n: u32) -> Self {
        match self.try_burst(n) {
            Ok(quota) => quota,
            Err(_) => panic!("a burst must be at least 1"),
        }
    }

    /// Like [`burst`](Self::burst), for a number that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidQuota::ZeroBurst`].
    pub const fn try_burst(mut self, n: u32) -> Result<Self, InvalidQuota> {
        if n == 0 {
            return Err(InvalidQuota::ZeroBurst);
        }
        self.burst = n;
        Ok(self)
    }

    /// Lets who asks for more than the burst pass when the burst is there, and makes those who come later
    /// wait for the rest. Otherwise such a request is an error.
    pub const fn debt(mut self) -> Self {
        self.debt = true;
        self
    }

    /// The time in which one is earned, to the nanosecond and rounded up.
    pub const fn interval(self) -> Duration {
        Duration::from_nanos(self.cost(1).div_ceil(UNITS_PER_NANO as Units) as u64)
    }

    /// How many may pass at once.
    pub const fn burst_size(self) -> u32 {
        self.burst
    }

    /// Whether more than the burst may be asked for at once.
    pub const fn allows_debt(self) -> bool {
        self.debt
    }

    /// The interval in whole units, as a store counts it: rounded up.
    pub(crate) const fn units(self) -> u64 {
        self.cost(1) as u64
    }

    /// As a store counts it.
    pub(crate) const fn in_units(self) -> Self {
        Self {
            interval: self.units(),
            fraction: 0,
            ..self
        }
    }

    /// A part of it: its rate, and its burst, rounded down to no less than one.
    pub(crate) fn share(self, part: f32) -> Self {
        let part = f64::from(part);
        // As much longer as fits into the word, with fewer bits behind the point if need be. What is too slow for the type saturates.
        let mut interval = self.interval as f64 / part;
        let mut fraction = self.fraction;
        while interval >= u64::MAX as f64 && fraction > 0 {
            interval /= 2.0;
            fraction -= 1;
        }
        Self {
            interval: interval.ceil() as u64,
            fraction,
            debt: self.debt,
            burst: ((f64::from(self.burst) * part) as u32).max(1),
        }
    }

    /// How many are earned each second.
    pub fn per_second_f64(self) -> f64 {
        let interval = self.interval as f64 / (1_u64 << self.fraction) as f64;
        f64::from(UNITS_PER_NANO) * 1e9 / interval
    }

    /// The same burst at another rate.
    pub(crate) const fn with_rate_of(self, other: Self) -> Self {
        Self {
            interval: other.interval,
            fraction: other.fraction,
            ..self
        }
    }

    /// The time in which `n` are earned, rounded up.
    #[inline]
    pub(crate) const fn cost(self, n: u32) -> Units {
        let exact = self.interval as Units * n as Units;
        (exact + (1 << self.fraction) - 1) >> self.fraction
    }

    /// The same for more than is ever asked for at once.
    pub(crate) fn cost_of_many(self, n: Units) -> Units {
        n.saturating_mul(self.interval.into())
            .div_ceil(1 << self.fraction)
    }

    /// The time in which a burst is earned.
    #[inline]
    pub(crate) const fn tolerance(self) -> Units {
        self.cost(self.burst)
    }

    /// What one costs, and a burst, for as far as that is near.
    pub(crate) fn near(self) -> [u64; 2] {
        [self.cost(1), self.tolerance()].map(|units| u64::try_from(units).unwrap_or(u64::MAX))
    }

    /// How many are earned in that time, and what is left over, as part of the interval.
    pub(crate) fn earned_in(self, time: Units) -> (Units, Units) {
        let exact = time.saturating_mul(1 << self.fraction);
        let interval = Units::from(self.interval);
        (exact / interval, exact % interval)
    }

    /// The time that a part of another quota's interval is of this one's, rounded up.
    pub(crate) fn as_part(self, part: Units, other: Self) -> Units {
        let exact = (part * Units::from(self.interval)).div_ceil(Units::from(other.interval));
        (exact + (1 << self.fraction) - 1) >> self.fraction
    }

    /// As two words, for who keeps it in atomics.
    pub(crate) const fn to_words(self) -> [u64; 2] {
        let rest = self.burst as u64 | (self.debt as u64) << 32 | (self.fraction as u64) << 40;
        [self.interval, rest]
    }

    #[inline]
    pub(crate) const fn from_words([interval, rest]: [u64; 2]) -> Self {
        Self {
            interval,
            fraction: (rest >> 40) as u8,
            debt: rest >> 32 & 1 != 0,
            burst: rest as u32,
        }
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("interval", &self.interval())
            .field("burst", &self.burst)
            .field("debt", &self.debt)
            .finish()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn any_rate_per_second_is_exact_to_a_millionth() {
        for n in [
            1,
            3,
            7,
            999_983,
            700_000_001,
            1_250_000_000,
            3_300_000_001,
            u32::MAX,
        ] {
            let error = Quota::per_second(n).per_second_f64() / f64::from(n) - 1.0;
            assert!(error.abs() < 1e-6 && error <= 1e-15, "{n}: {error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use InvalidQuota::*;
        assert_eq!(Quota::try_per(0, SECOND), Err(ZeroRate));
        assert_eq!(Quota::try_per(1, Duration::ZERO), Err(ZeroPeriod));
        assert_eq!(Quota::try_per(1, Duration::MAX), Err(TooSlow));
        assert_eq!(Quota::try_per(65, Duration::from_nanos(1)), Err(TooFast));
        assert!(Quota::try_per(u32::MAX, 9 * 365 * 86_400 * SECOND).is_ok());
        assert!(Quota::try_per(1, 9 * 365 * 86_400 * SECOND).is_ok());
        assert!(Quota::try_per(64, Duration::from_nanos(1)).is_ok());
        assert_eq!(Quota::per_second(1).try_burst(0), Err(ZeroBurst));
    }

    proptest! {
        #[test]
        fn as_words_and_back(n in 1_u32.., millis in 1_u64..1 << 37, burst in 1_u32.., debt: bool) {
            let quota = Quota::per(n, Duration::from_millis(millis)).burst(burst);
            let quota = if debt { quota.debt() } else { quota };
            prop_assert_eq!(Quota::from_words(quota.to_words()), quota);
        }

        #[test]
        fn what_is_earned_in_the_time_of_n_is_n(n in 1_u32.., millis in 1_u64..1 << 37, m in 1_u32..) {
            let quota = Quota::per(n, Duration::from_millis(millis));
            prop_assert_eq!(quota.earned_in(quota.cost(m)).0, Units::from(m));
            prop_assert_eq!(quota.earned_in(quota.cost(m) - 1).0, Units::from(m) - 1);
        }
    }
}
