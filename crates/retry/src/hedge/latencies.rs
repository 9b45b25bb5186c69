use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_waitlist::primitives::AtomicU32;

/// How long the last calls took, shared by those who call the same thing, to say what is long.
///
/// A histogram of 2 KiB with an error of at most an eighth. What is older counts less: after each 2048 calls all
/// counts are halved. Recording a call changes one word.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::Latencies;
///
/// let latencies = Latencies::new();
/// assert_eq!(latencies.quantile(0.95), None);
/// for ms in 1..=100 {
///     latencies.record(Duration::from_millis(ms));
/// }
/// let long = latencies.quantile(0.95).unwrap();
/// assert!(long >= Duration::from_millis(95) && long <= Duration::from_millis(108));
/// ```
pub struct Latencies {
    buckets: Box<[AtomicU32]>,
    /// Since the counts were halved last.
    recent: AtomicU32,
}

/// Each power of two has so many buckets of equal size.
const STEPS: u64 = 8;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// For every time there is.
const BUCKETS: usize = (u64::BITS - STEP_BITS + 1) as usize * STEPS as usize;
const FADE: u32 = 2048;

impl Latencies {
    /// Nothing recorded yet.
    pub fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            recent: AtomicU32::new(0),
        }
    }

    /// A call took so long.
    pub fn record(&self, took: Duration) {
        // Rounded up: nothing takes no time.
        let micros = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
        // Who makes it full halves; what others record meanwhile is kept or halved, but never lost.
        if self.recent.fetch_add(1, Relaxed) + 1 == FADE {
            for bucket in &self.buckets {
                let _ = bucket.fetch_update(Relaxed, Relaxed, |count| Some(count / 2));
            }
            self.recent.store(0, Relaxed);
        }
    }

    /// The time within which that part of the calls, from 0 to 1, was done; `None` before the first one.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.counts().collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = (part.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map(|bucket| Duration::from_micros(end(bucket)))
    }

    /// How many calls it goes by.
    pub fn samples(&self) -> u64 {
        self.counts().sum()
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets
            .iter()
            .map(|bucket| u64::from(bucket.load(Relaxed)))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("samples", &self.samples())
            .finish_non_exhaustive()
    }
}

/// Where a time of so many microseconds counts.
fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = micros.ilog2() - STEP_BITS;
    let step = micros >> power; // from STEPS to 2 * STEPS - 1
    (u64::from(power) * STEPS + step) as usize
}

/// The longest time, in microseconds, that counts there.
fn end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS - 1, bucket % STEPS + STEPS);
    (step << power) + ((1 << power) - 1)
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_time_counts_where_it_belongs() {
        let mut last = 0;
        for micros in (0..4096).chain((12..55).map(|power| (1 << power) + 1)) {
            let place = bucket(micros);
            assert!(
                place >= last && place - last <= STEPS as usize + 1,
                "{micros}"
            );
            last = place;
            assert!(end(place) >= micros, "{micros} in {place}");
            assert!(end(place) as f64 <= micros as f64 * 1.125 + 1.0, "{micros}");
            assert!(place == 0 || end(place - 1) < micros);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(end(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn what_is_older_counts_less() {
        let latencies = Latencies::new();
        for _ in 0..FADE {
            latencies.record(Duration::from_secs(1));
        }
        assert_eq!(latencies.samples(), u64::from(FADE) / 2);
        for _ in 0..FADE * 3 {
            latencies.record(Duration::from_millis(1));
        }
        let median = latencies.quantile(0.5).unwrap();
        assert!(median < Duration::from_millis(2), "{median:?}");
    }
}
