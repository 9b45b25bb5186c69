//! Percentiles.

use std::time::Duration;

use serde::Serialize;

/// How long answers took, in milliseconds: `p90` means that 90 % took no longer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The slowest tenth begins here.
    pub p90: f64,
    /// The slowest hundredth begins here.
    pub p99: f64,
    /// The slowest of all.
    pub max: f64,
}

impl Latency {
    /// The percentiles of `times`; `None` without any.
    pub(super) fn of(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<f64> = times.map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        let max = *sorted.last()?;
        // Nearest rank: the smallest value that so many percent don't exceed.
        let percentile = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
        Some(Self {
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis)).unwrap();
        assert_eq!(
            latency,
            Latency {
                p50: 100.0,
                p90: 180.0,
                p99: 198.0,
                max: 200.0
            }
        );
        let one = Latency::of([Duration::from_millis(7)].into_iter()).unwrap();
        assert_eq!(
            one,
            Latency {
                p50: 7.0,
                p90: 7.0,
                p99: 7.0,
                max: 7.0
            }
        );
        assert_eq!(Latency::of(std::iter::empty()), None);
    }
}
