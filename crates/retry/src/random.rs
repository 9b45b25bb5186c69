use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// Where the delays of one call take their randomness from: of its own, so that no two calls draw the same,
/// or from the policy's seed.
pub struct Random(Rng);

impl Random {
    /// From the thread's generator, or from a seed.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(seed.map_or_else(Rng::new, Rng::with_seed))
    }

    /// Evenly spread from `least` to `most`, both included; `least` where that is the longer.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_nanos();
        // Durations have 94 bits of nanoseconds, so the span plus one fits.
        let nanos = self.0.u128(0..=span);
        let whole = nanos / NANOS_PER_SEC;
        least.saturating_add(Duration::new(whole as u64, (nanos % NANOS_PER_SEC) as u32))
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}
