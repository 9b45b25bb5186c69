use std::ops::RangeInclusive;

use super::InvalidLimit;

/// Between what a limit adapts, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    min: usize,
    max: usize,
    initial: Option<usize>,
}

/// Where a limit begins if nothing else is said, and that is within its bounds.
const INITIAL: usize = 20;

impl Default for Bounds {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1000,
            initial: None,
        }
    }
}

impl Bounds {
    pub(super) fn set(&mut self, limits: RangeInclusive<usize>) {
        (self.min, self.max) = limits.into_inner();
    }

    pub(super) fn set_initial(&mut self, limit: usize) {
        self.initial = Some(limit);
    }

    pub(super) fn check(self) -> Result<Self, InvalidLimit> {
        let Self { min, max, initial } = self;
        if min == 0 || min > max {
            return Err(InvalidLimit::Bounds { min, max });
        }
        match initial {
            Some(initial) if !(min..=max).contains(&initial) => {
                Err(InvalidLimit::Initial { initial, min, max })
            }
            _ => Ok(self),
        }
    }

    pub(super) fn initial(self) -> f64 {
        self.clamp(self.initial.unwrap_or(INITIAL) as f64)
    }

    pub(super) fn min(self) -> f64 {
        self.min as f64
    }

    pub(super) fn clamp(self, limit: f64) -> f64 {
        limit.clamp(self.min as f64, self.max as f64)
    }
}

/// Limits move in fractions, and calls don't.
pub(super) fn whole(limit: f64) -> usize {
    // A little more than a whole is due to rounding.
    (limit + 1e-6) as usize
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_begins_within_its_bounds() {
        let within = |limits| {
            let mut bounds = Bounds::default();
            bounds.set(limits);
            bounds.check().unwrap().initial()
        };
        assert_eq!(Bounds::default().initial(), 20.0);
        assert_eq!((within(1..=5), within(50..=90)), (5.0, 50.0));
    }

    #[test]
    fn impossible_bounds_say_what_would_be_right() {
        let mut bounds = Bounds::default();
        bounds.set(0..=5);
        let wrong = bounds.check().unwrap_err();
        assert_eq!(wrong, InvalidLimit::Bounds { min: 0, max: 5 });
        #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
        bounds.set(7..=5);
        assert!(bounds.check().is_err());
        bounds.set(5..=7);
        bounds.set_initial(4);
        assert_eq!(
            bounds.check().unwrap_err().to_string(),
            "the limit begins at 4: it must be from 5 to 7"
        );
    }
}
