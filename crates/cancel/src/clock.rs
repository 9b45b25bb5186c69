//! Points in time that fit a word, so that a deadline can be swapped in and out of a thread-local
//! around each poll.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the process first asked, on Tokio's clock: 584 years of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

#[inline]
fn epoch() -> std::time::Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    // A second early, so that a deadline a little in the past is still told from another.
    *EPOCH.get_or_init(|| {
        let now = std::time::Instant::now();
        now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
    })
}

impl Timestamp {
    /// Later than every clock reading.
    pub const NEVER: Self = Self(u64::MAX);

    /// Reads Tokio's clock, so a paused one is honoured.
    #[inline]
    pub fn now() -> Self {
        Self::from(Instant::now())
    }

    /// Reads the real clock, on the same scale, whether Tokio's is paused or not.
    pub fn real() -> Self {
        Self::from(Instant::from_std(std::time::Instant::now()))
    }

    /// The point `d` after this one, or [`NEVER`](Self::NEVER) past the range.
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }

    /// The time from `earlier` to this point, zero when it lies after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// On a scale that begins a second before the process first asked.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The point on that scale.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant of Tokio's clock; `None` for [`NEVER`](Self::NEVER) and what no clock reaches.
    pub fn to_instant(self) -> Option<Instant> {
        if self == Self::NEVER {
            return None;
        }
        epoch()
            .checked_add(Duration::from_nanos(self.0))
            .map(Instant::from_std)
    }
}

impl From<Instant> for Timestamp {
    #[inline]
    fn from(at: Instant) -> Self {
        Self(nanos(at.into_std().saturating_duration_since(epoch())))
    }
}

/// `as_nanos` without its 128-bit arithmetic.
#[inline]
fn nanos(d: Duration) -> u64 {
    d.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(d.subsec_nanos()))
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_saturate() {
        let now = Timestamp::now();
        assert_eq!(now.after(Duration::MAX), Timestamp::NEVER);
        assert_eq!(Timestamp::NEVER.to_instant(), None);
        assert_eq!(now.since(Timestamp::NEVER), Duration::ZERO);
    }

    #[test]
    fn an_instant_survives_the_round_trip() {
        let at = Instant::now() + Duration::from_millis(1500);
        assert_eq!(Timestamp::from(at).to_instant(), Some(at));
    }
}
