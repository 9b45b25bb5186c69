//! What one writes without a crate.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep_until};

use super::limiter::{Check, Limiter, Rate, Wait};

/// Nothing is waited for: what a task costs alone.
pub(super) struct Nobody;

impl Wait for Nobody {
    fn wait(&self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// A clock read and a `compare_exchange`: nothing exact and lock-free does with less.
pub(super) struct Slots {
    started: std::time::Instant,
    /// When the bucket is full again, in nanoseconds.
    full_at: AtomicU64,
    interval: u64,
    burst: u64,
}

impl Limiter for Slots {
    fn new(rate: Rate) -> Self {
        let interval = nanos(rate.interval());
        Self {
            started: std::time::Instant::now(),
            full_at: AtomicU64::new(0),
            interval,
            burst: interval * u64::from(rate.burst),
        }
    }
}

impl Check for Slots {
    fn check(&self) -> bool {
        let now = nanos(self.started.elapsed());
        let take = |full_at: u64| {
            let next = full_at.max(now) + self.interval;
            (next <= now + self.burst).then_some(next)
        };
        self.full_at.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

/// Takes the next slot, whenever it is, and sleeps until then. Who goes away loses it.
impl Wait for Slots {
    async fn wait(&self) {
        let now = nanos(self.started.elapsed());
        let next = |full_at: u64| Some(full_at.max(now) + self.interval);
        let before = self.full_at.fetch_update(Relaxed, Relaxed, next);
        let before = before.expect("there is always a next one");
        let full_at = before.max(now) + self.interval;
        if full_at > now + self.burst {
            let due = Duration::from_nanos(full_at - self.burst);
            sleep_until(Instant::from_std(self.started + due)).await;
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a lap is short")
}

/// The token bucket of Tokio's documentation, refilled by a task. A tick brings what its time is worth.
pub(super) struct Refilled {
    semaphore: Arc<Semaphore>,
    refill: AbortHandle,
}

impl Limiter for Refilled {
    fn new(rate: Rate) -> Self {
        let (period, permits) = rate.refill();
        let burst = rate.burst as usize;
        let semaphore = Arc::new(Semaphore::new(burst));
        let bucket = Arc::clone(&semaphore);
        let refill = tokio::spawn(async move {
            let mut ticks = interval(period);
            ticks.tick().await; // the first one comes at once
            loop {
                ticks.tick().await;
                let room = burst.max(permits) - bucket.available_permits();
                bucket.add_permits(permits.min(room));
            }
        });
        Self {
            semaphore,
            refill: refill.abort_handle(),
        }
    }
}

impl Wait for Refilled {
    async fn wait(&self) {
        let permit = self.semaphore.acquire().await;
        permit.expect("it is not closed").forget();
    }
}

impl Drop for Refilled {
    fn drop(&mut self) {
        self.refill.abort();
    }
}
