use crate::clock::Timestamp;

/// The deadline in force at some place in the code, in one word.
///
/// Besides the time it says whether what runs here is *cut* at that time, dropped without grace by
/// a timer that is armed already. A later deadline inside such a bound needs no timer of its own:
/// that is how eight nested deadlines arm one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(u64);

const CUTS: u64 = 1;

/// The time stands above the bit, so that it is exact: whoever asserts on it with a paused clock may
/// do so to the nanosecond.
const TIME_SHIFT: u32 = 1;

impl Bound {
    /// No deadline at all.
    pub const NONE: Self = Self(u64::MAX - CUTS);

    /// Ends at `at`; `cuts` says that somebody drops what runs here then. What is 292 years away is
    /// no deadline.
    pub fn new(at: Timestamp, cuts: bool) -> Self {
        if at >= Self::NONE.at_nanos() {
            return Self::NONE;
        }
        Self(at.as_nanos() << TIME_SHIFT | u64::from(cuts))
    }

    /// When it ends.
    pub fn at(self) -> Timestamp {
        if self == Self::NONE {
            Timestamp::NEVER
        } else {
            self.at_nanos()
        }
    }

    const fn at_nanos(self) -> Timestamp {
        Timestamp::from_nanos(self.0 >> TIME_SHIFT)
    }

    /// Whether what runs here is dropped at that time by a timer armed further out.
    pub fn cuts(self) -> bool {
        self.0 & CUTS != 0
    }

    /// The same time, enforced by nobody: for what runs outside the task that holds the timer.
    pub fn unenforced(self) -> Self {
        Self(self.0 & !CUTS)
    }

    /// Whether a deadline `at` would come too late to matter inside this bound.
    pub fn covers(self, at: Timestamp) -> bool {
        at == Timestamp::NEVER || (self.cuts() && self.at() <= at)
    }

    /// The earlier of the two.
    pub fn min(self, other: Self) -> Self {
        if other.at() < self.at() { other } else { self }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_cutting_bound_covers_what_ends_later() {
        let outer = Bound::new(at(100), true);
        assert!(outer.covers(at(100)) && outer.covers(at(200)) && !outer.covers(at(98)));
        assert!(
            !outer.unenforced().covers(at(200)),
            "nobody would drop it then"
        );
        assert!(Bound::NONE.covers(Timestamp::NEVER) && !Bound::NONE.covers(at(1)));
    }

    #[test]
    fn a_time_is_kept_to_the_nanosecond() {
        for nanos in [0, 1, 2, 1_000_001, u64::MAX / 2 - 1] {
            for cuts in [false, true] {
                let bound = Bound::new(at(nanos), cuts);
                assert_eq!((bound.at(), bound.cuts()), (at(nanos), cuts));
                assert_eq!(bound.unenforced().at(), at(nanos));
            }
        }
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Bound::new(Timestamp::NEVER, true), Bound::NONE);
        assert_eq!(Bound::NONE.at(), Timestamp::NEVER);
        assert_eq!(Bound::new(at(u64::MAX / 2), true), Bound::NONE);
        assert_eq!(Bound::new(at(u64::MAX - 1), true), Bound::NONE);
        assert_eq!(Bound::NONE.min(Bound::new(at(8), false)).at(), at(8));
    }
}
