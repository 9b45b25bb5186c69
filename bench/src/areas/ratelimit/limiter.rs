//! What a limiter is to the cases, whoever made it.

use std::future::Future;
use std::time::Duration;

/// So many in each period, and so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) permits: u32,
    pub(super) period: Duration,
    pub(super) burst: u32,
}

impl Rate {
    pub(super) const fn per_second(permits: u32) -> Self {
        Self {
            permits,
            period: Duration::from_secs(1),
            burst: 1,
        }
    }

    /// One that comes to nothing while it is looked at.
    pub(super) const fn hourly() -> Self {
        Self {
            permits: 1,
            period: Duration::from_secs(3600),
            burst: 1,
        }
    }

    pub(super) const fn burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// The time in which one is earned.
    pub(super) fn interval(self) -> Duration {
        self.period / self.permits
    }

    /// How long it takes to earn `permits`.
    pub(super) fn time_for(self, permits: usize) -> Duration {
        self.interval().mul_f64(permits as f64)
    }

    /// For those that refill by a timer, which is no finer than a millisecond: how often, and by how much.
    pub(super) fn refill(self) -> (Duration, usize) {
        const TICK: Duration = Duration::from_millis(1);
        let interval = self.interval();
        if interval >= TICK {
            (interval, 1)
        } else {
            (TICK, (TICK.as_nanos() / interval.as_nanos()) as usize)
        }
    }
}

/// Made full: the whole burst can be had at once.
pub(super) trait Limiter {
    fn new(rate: Rate) -> Self;
}

/// One that says at once whether one may pass.
pub(super) trait Check: Send + Sync {
    fn check(&self) -> bool;
}

/// One that makes wait until one may.
pub(super) trait Wait: Send + Sync + 'static {
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

/// A limiter whose burst is used up.
pub(super) async fn empty<L: Limiter + Wait>(rate: Rate) -> L {
    let limiter = L::new(rate);
    for _ in 0..rate.burst {
        limiter.wait().await;
    }
    limiter
}

/// One limit for each key, of so many keys at most, where it can be told.
pub(super) trait Keyed {
    fn new(rate: Rate, max_keys: usize) -> Self;
    fn check(&self, key: u64) -> bool;
}
