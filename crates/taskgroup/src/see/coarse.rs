//! A clock that costs a load: the watchdog sets it while tasks are polled.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

static NOW: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds to about a millisecond, in 32 bits: good for 49 days.
const SHIFT: u32 = 20;

/// The real time, on the scale of Tokio's clock where that isn't paused.
pub(super) fn now() -> Timestamp {
    Timestamp::from_nanos(NOW.load(Relaxed))
}

/// The same in a word that fits a task.
pub(super) fn stamp() -> u32 {
    (NOW.load(Relaxed) >> SHIFT) as u32
}

/// How long ago that was.
pub(super) fn since(stamp: u32) -> Duration {
    let now = (Timestamp::real().as_nanos() >> SHIFT) as u32;
    Duration::from_nanos(u64::from(now.wrapping_sub(stamp)) << SHIFT)
}

pub(super) fn set(now: Timestamp) {
    NOW.store(now.as_nanos(), Relaxed);
}
