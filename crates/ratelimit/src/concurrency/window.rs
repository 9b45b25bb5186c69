//! The calls of about one round trip, looked at together. Without a clock.

use std::time::Duration;

use super::{Outcome, Sample};

/// Calls, until there are as many as were under way at once: after that many, all that were under way in the beginning
/// have ended, on the average. A single slow call says little, so there are [`CALLS_MIN`] at least.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    calls: usize,
    served: u32,
    total: Duration,
    least: Option<Duration>,
    in_flight: usize,
    overloaded: bool,
}

/// What the calls of a window were like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Round {
    /// Of those that were served; `None` if none was.
    pub(super) rtt: Option<Rtt>,
    /// The most that were under way.
    pub(super) in_flight: usize,
    /// Whether one met an overload.
    pub(super) overloaded: bool,
}

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rtt {
    pub(super) mean: f64,
    pub(super) least: f64,
}

pub(super) const CALLS_MIN: usize = 10;

/// Nothing takes less, or a ratio of two times would be no number.
const RTT_MIN: f64 = 1e-9;

impl Window {
    /// Counts a call, and gives the round that it ends, if it does.
    pub(super) fn add(&mut self, sample: Sample) -> Option<Round> {
        self.calls += 1;
        self.in_flight = self.in_flight.max(sample.in_flight);
        match sample.outcome {
            Outcome::Success => {
                self.served += 1;
                self.total = self.total.saturating_add(sample.rtt);
                self.least = Some(self.least.map_or(sample.rtt, |least| least.min(sample.rtt)));
            }
            Outcome::Overloaded => self.overloaded = true,
        }
        if self.calls < self.in_flight.max(CALLS_MIN) {
            return None;
        }
        let window = std::mem::take(self);
        Some(Round {
            rtt: window.rtt(),
            in_flight: window.in_flight,
            overloaded: window.overloaded,
        })
    }

    fn rtt(&self) -> Option<Rtt> {
        let least = self.least?.as_secs_f64().max(RTT_MIN);
        let mean = self.total.as_secs_f64() / f64::from(self.served);
        Some(Rtt {
            mean: mean.max(least),
            least,
        })
    }
}

impl Round {
    /// Whether so many would have been under way if the limit had not been in the way. Who uses less than half of a limit
    /// learns nothing about its end.
    pub(super) fn used(&self, limit: f64) -> bool {
        self.in_flight as f64 * 2.0 >= limit
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const fn sample(ms: u64, in_flight: usize, outcome: Outcome) -> Sample {
        Sample {
            rtt: Duration::from_millis(ms),
            in_flight,
            outcome,
        }
    }

    #[test]
    fn a_window_is_as_long_as_there_were_calls_under_way() {
        let mut window = Window::default();
        for ended in 1..30 {
            let round = window.add(sample(ended, 30 - ended as usize / 2, Outcome::Success));
            assert_eq!(round, None);
        }
        let round = window.add(sample(30, 1, Outcome::Success)).unwrap();
        let rtt = round.rtt.unwrap();
        assert_eq!((round.in_flight, round.overloaded), (30, false));
        assert_eq!(rtt.least, 0.001);
        assert!((rtt.mean - 0.0155).abs() < 1e-12);
        // The next one begins with nothing.
        for _ in 1..CALLS_MIN {
            assert_eq!(window.add(sample(1, 1, Outcome::Success)), None);
        }
        assert_eq!(
            window
                .add(sample(1, 1, Outcome::Success))
                .unwrap()
                .in_flight,
            1
        );
    }

    #[test]
    fn the_time_of_a_refusal_does_not_count() {
        let mut window = Window::default();
        for _ in 2..CALLS_MIN {
            window.add(sample(0, 3, Outcome::Overloaded));
        }
        window.add(sample(8, 3, Outcome::Success));
        let round = window.add(sample(0, 3, Outcome::Overloaded)).unwrap();
        assert!(round.overloaded);
        assert_eq!(round.rtt.unwrap().mean, 0.008);
        let all_refused =
            (0..CALLS_MIN).find_map(|_| window.add(sample(0, 3, Outcome::Overloaded)));
        assert_eq!(all_refused.unwrap().rtt, None);
    }

    #[test]
    fn a_time_is_never_zero() {
        let mut window = Window::default();
        let round = (0..CALLS_MIN).find_map(|_| window.add(sample(0, 1, Outcome::Success)));
        let rtt = round.unwrap().rtt.unwrap();
        assert!(rtt.least > 0.0 && rtt.mean >= rtt.least);
    }

    #[test]
    fn half_of_a_limit_is_used_and_less_is_not() {
        let round = |in_flight| Round {
            rtt: None,
            in_flight,
            overloaded: false,
        };
        assert!(round(10).used(20.0) && !round(9).used(20.0));
    }
}
