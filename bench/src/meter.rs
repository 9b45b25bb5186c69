//! One lap of a contender: what stands between `Clock::start` and `Clock::stop` is what is measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::alloc::{Counting, Requested};
use crate::figure::Extra;

/// A running measurement. Started and stopped by the contender, so that each shows what it counts as its work.
#[derive(Debug)]
pub(crate) struct Clock {
    counting: Counting,
    cpu: Duration,
    wall: Instant,
}

/// A finished measurement.
#[derive(Clone, Debug)]
pub(crate) struct Lap {
    /// How many operations really happened, told by what they left behind. The harness compares it with what was asked.
    pub(crate) count: usize,
    pub(crate) wall: Duration,
    /// Of all threads of the process.
    pub(crate) cpu: Duration,
    pub(crate) requested: Requested,
    /// What else is the question.
    pub(crate) extra: BTreeMap<Extra, f64>,
}

impl Lap {
    /// Adds a figure, if there is one.
    pub(crate) fn with(mut self, figure: Extra, value: impl Into<Option<f64>>) -> Self {
        self.extra.extend(value.into().map(|value| (figure, value)));
        self
    }

    /// Adds the quantiles of the nanoseconds that each operation took.
    pub(crate) fn with_quantiles(self, mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at = |permille: usize| {
            let time = times.get(times.len() * permille / 1000);
            time.map(|&ns| ns as f64)
        };
        self.with(Extra::P50Ns, at(500))
            .with(Extra::P99Ns, at(990))
            .with(Extra::P999Ns, at(999))
    }
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            counting: Counting::start(),
            cpu: cpu_time(),
            wall: Instant::now(),
        }
    }

    pub(crate) fn stop(self, count: usize) -> Lap {
        let wall = self.wall.elapsed();
        let cpu = cpu_time().saturating_sub(self.cpu);
        Lap {
            count,
            wall,
            cpu,
            requested: self.counting.stop(),
            extra: BTreeMap::new(),
        }
    }
}

fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).expect("the CPU time of a process is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_has_its_share_beyond_it() {
        let times = (0..10_000).rev().collect();
        let extra = Clock::start().stop(0).with_quantiles(times).extra;
        let quantiles = [Extra::P50Ns, Extra::P99Ns, Extra::P999Ns];
        assert_eq!(quantiles.map(|q| extra[&q]), [5000.0, 9900.0, 9990.0]);
    }

    #[test]
    fn there_is_no_figure_of_nothing() {
        let lap = Clock::start().stop(0).with_quantiles(Vec::new());
        assert!(lap.with(Extra::GrowthKib, None).extra.is_empty());
    }
}
