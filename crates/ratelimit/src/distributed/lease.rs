use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use super::error::InvalidDistributed;
use crate::Quota;

/// How much a process takes from the store at once, to have it at hand for the next requests.
///
/// What is leased was charged in the store before, so all processes together never grant more than the quota. A lease is as large as
/// what was lately asked for in 20 ms, up to a most, and at least what is asked for right now; so a key that is rarely
/// asked for is leased nothing. What is left of one is not granted any more when it is 100 ms old.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::distributed::Lease;
///
/// let of_eight = Lease::auto().processes(8); // each takes a 32nd of the burst at the most
/// let at_most_ten = Lease::up_to(10);
/// assert!(Lease::try_up_to(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(Most);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Most {
    /// Every request asks the store.
    Nothing,
    /// All leases together are a quarter of the burst.
    BurstOver { processes: u32 },
    /// So many.
    These(u32),
}

/// What is asked for in this time is leased.
const AHEAD: Duration = Duration::from_millis(20);

/// How long a lease lasts. In a window of time, more than the quota can be granted by what was charged in this time
/// before it; so it is short.
pub(super) const LIFETIME: Duration = Duration::from_millis(100);

/// The part of a burst that is leased by all.
const PART: u32 = 4;

impl Lease {
    /// None: each request asks the store. So it is unless told otherwise.
    pub const NONE: Self = Self(Most::Nothing);

    /// Up to a part of the burst: a quarter of it, divided by the number of [processes](Self::processes), taken for 4 unless told.
    pub const fn auto() -> Self {
        Self(Most::BurstOver { processes: 4 })
    }

    /// How many processes there are, for [`auto`](Self::auto).
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub const fn processes(self, n: u32) -> Self {
        assert!(n > 0, "there is at least one process");
        match self.0 {
            Most::BurstOver { .. } => Self(Most::BurstOver { processes: n }),
            _ => self,
        }
    }

    /// Up to `n`.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub const fn up_to(n: u32) -> Self {
        assert!(
            n > 0,
            "a lease is at least 1: for none there is `Lease::NONE`"
        );
        Self(Most::These(n))
    }

    /// Like [`up_to`](Self::up_to), for a number that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidDistributed::EmptyLease`].
    pub const fn try_up_to(n: u32) -> Result<Self, InvalidDistributed> {
        match n {
            0 => Err(InvalidDistributed::EmptyLease),
            n => Ok(Self(Most::These(n))),
        }
    }

    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// How much to take when so many were granted per second lately.
    pub(super) fn size(self, quota: Quota, per_second: f64) -> u32 {
        let most = match self.0 {
            Most::Nothing => return 0,
            Most::BurstOver { processes } => quota.burst_size() / PART.saturating_mul(processes),
            Most::These(n) => n.min(quota.burst_size()),
        };
        // A cast of a float saturates.
        ((per_second * AHEAD.as_secs_f64()) as u32).clamp(1, most.max(1))
    }
}

/// How many are granted per second, with less weight the longer ago they were.
#[derive(Debug)]
pub(super) struct Demand {
    per_second: f64,
    /// Since `from`, and not yet in the average.
    granted: u64,
    from: Timestamp,
}

impl Demand {
    /// What was this long ago has 1/e of its weight left. So a lease is about as large as what was granted in this time, and
    /// doubles from one to the next until it is large enough.
    const MEMORY: Duration = AHEAD;

    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            per_second: 0.0,
            granted: 0,
            from: now,
        }
    }

    pub(super) fn note(&mut self, n: u32) {
        self.granted += u64::from(n);
    }

    pub(super) fn per_second(&mut self, now: Timestamp) -> f64 {
        let passed = now.since(self.from).as_secs_f64();
        if passed > 0.0 {
            let weight = 1.0 - (-passed / Self::MEMORY.as_secs_f64()).exp();
            self.per_second += weight * (self.granted as f64 / passed - self.per_second);
            (self.granted, self.from) = (0, now);
        }
        self.per_second
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota::per_second(10_000).burst(1_600);

    #[test]
    fn a_lease_is_what_is_asked_for_in_20_ms_within_its_bounds() {
        let auto = Lease::auto();
        assert_eq!(auto.size(QUOTA, 0.0), 1);
        assert_eq!(auto.size(QUOTA, 2_500.0), 50);
        assert_eq!(auto.size(QUOTA, 1e9), 100);
        assert_eq!(auto.processes(8).size(QUOTA, 1e9), 50);
        assert_eq!(auto.size(Quota::per_second(10), 1e9), 1);
        assert_eq!(Lease::up_to(10).size(QUOTA, 1e9), 10);
        assert_eq!(
            Lease::up_to(10).size(Quota::per_second(10).burst(2), 1e9),
            2
        );
        assert_eq!(Lease::NONE.size(QUOTA, 1e9), 0);
    }

    #[test]
    fn demand_follows_what_is_granted() {
        let start = Timestamp::from_nanos(0);
        let at = |ms| start.after(Duration::from_millis(ms));
        let mut demand = Demand::new(start);
        for ms in 1..=1000 {
            demand.note(5);
            demand.per_second(at(ms));
        }
        let steady = demand.per_second(at(1000));
        assert!((steady - 5000.0).abs() < 1.0, "{steady}");
        let less = demand.per_second(at(1020));
        assert!((less - 5000.0 / std::f64::consts::E).abs() < 10.0, "{less}");
        assert!(demand.per_second(at(10_000)) < 1.0);
    }

    #[test]
    #[should_panic(expected = "a lease is at least 1")]
    fn an_empty_lease_panics() {
        let _ = Lease::up_to(0);
    }
}
