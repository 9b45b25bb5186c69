//! One lap of a contender: what stands between `Clock::start` and `Clock::stop` is what is measured.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::alloc::{Counting, Requested};

/// A running measurement. Started and stopped by the contender, so that each shows what it counts as its work.
#[derive(Debug)]
pub(crate) struct Clock {
    counting: Counting,
    cpu: Duration,
    wall: Instant,
}

/// A finished measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// How many operations really happened, told by what they left behind. The harness compares it with what was asked.
    pub(crate) count: usize,
    pub(crate) wall: Duration,
    /// Of all threads of the process.
    pub(crate) cpu: Duration,
    pub(crate) requested: Requested,
    /// By how much the resident set grew, where that is the question.
    pub(crate) growth_kib: Option<f64>,
    /// How long single operations took, where that is the question.
    pub(crate) latency: Option<Latency>,
}

/// Quantiles of the times of single operations.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) p999_ns: f64,
}

impl Latency {
    /// Of the nanoseconds that each took. `None` if there was none.
    pub(crate) fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let at = |permille: usize| {
            times
                .get(times.len() * permille / 1000)
                .map(|&ns| ns as f64)
        };
        Some(Self {
            p50_ns: at(500)?,
            p99_ns: at(990)?,
            p999_ns: at(999)?,
        })
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
            growth_kib: None,
            latency: None,
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
        let latency = Latency::of((0..10_000).rev().collect()).unwrap();
        assert_eq!((latency.p50_ns, latency.p99_ns), (5000.0, 9900.0));
        assert_eq!(latency.p999_ns, 9990.0);
        assert!(Latency::of(Vec::new()).is_none());
    }
}
