use std::time::Duration;

use crate::InvalidQuota;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// In [`UNITS_PER_NANO`] of a nanosecond, rounded up.
    interval: u64,
    burst: u32,
    debt: bool,
}

/// Time is counted in parts of a nanosecond, so that 700,000,001 a second are not taken for 1,000,000,000.
pub(crate) const UNITS_PER_NANO: u32 = 64;

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
        let interval = units.div_ceil(n as u128);
        if interval > u64::MAX as u128 {
            return Err(InvalidQuota::TooSlow);
        }
        Ok(Self {
            interval: interval as u64,
            burst: 1,
            debt: false,
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
        Duration::from_nanos(self.interval.div_ceil(UNITS_PER_NANO as u64))
    }

    /// How many may pass at once.
    pub const fn burst_size(self) -> u32 {
        self.burst
    }

    /// Whether more than the burst may be asked for at once.
    pub const fn allows_debt(self) -> bool {
        self.debt
    }

    /// The interval, exact.
    pub(crate) const fn units(self) -> u64 {
        self.interval
    }

    /// A part of it: its rate, and its burst, rounded down to no less than one.
    pub(crate) fn share(self, part: f32) -> Self {
        let part = f64::from(part);
        Self {
            // What is too slow for the type saturates.
            interval: (self.interval as f64 / part).ceil() as u64,
            burst: ((f64::from(self.burst) * part) as u32).max(1),
            debt: self.debt,
        }
    }

    /// How many are earned each second.
    pub fn per_second_f64(self) -> f64 {
        f64::from(UNITS_PER_NANO) * 1e9 / self.interval as f64
    }
}
