//! A look, now and then, at what calls take without a queue. Without a clock.

/// After so many windows in which the limit was used, it is low for two: in the first the queue drains, the second
/// shows what a call takes then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    every: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// For so many windows.
    Off(u32),
    Draining,
    Measuring,
}

/// What a window was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To follow the load.
    Follow,
    Drain,
    Measure,
}

/// What stays of the limit during a look.
const PART: f64 = 0.25;

impl Probe {
    pub(super) fn new(every: u32) -> Self {
        Self {
            every,
            stage: Stage::Off(0),
        }
    }

    /// A window has ended: what it was for.
    pub(super) fn end_window(&mut self, limit_was_used: bool) -> Purpose {
        let (next, purpose) = match self.stage {
            Stage::Off(windows) => {
                let windows = windows + u32::from(limit_was_used);
                let next = match windows < self.every {
                    true => Stage::Off(windows),
                    false => Stage::Draining,
                };
                (next, Purpose::Follow)
            }
            Stage::Draining => (Stage::Measuring, Purpose::Drain),
            Stage::Measuring => (Stage::Off(0), Purpose::Measure),
        };
        self.stage = next;
        purpose
    }

    /// What is in force of a limit.
    pub(super) fn part_of(self, limit: f64) -> f64 {
        match self.stage {
            Stage::Off(_) => limit,
            Stage::Draining | Stage::Measuring => limit * PART,
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn windows_that_use_little_don_t_count() {
        let mut probe = Probe::new(2);
        let mut end = |is_used| (probe.end_window(is_used), probe.part_of(100.0));
        for _ in 0..2 {
            assert_eq!(end(true), (Purpose::Follow, 100.0));
            for _ in 0..9 {
                assert_eq!(end(false), (Purpose::Follow, 100.0));
            }
            assert_eq!(end(true), (Purpose::Follow, 25.0));
            assert_eq!(end(false), (Purpose::Drain, 25.0));
            assert_eq!(end(true), (Purpose::Measure, 100.0));
        }
    }
}
