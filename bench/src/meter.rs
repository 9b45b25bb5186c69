//! One lap of a contender: what stands between `Clock::start` and `Clock::stop` is what is measured.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
        }
    }
}

fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).expect("the CPU time of a process is not negative")
}
