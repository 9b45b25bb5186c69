use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Random delays below a limit: evenly spread, the same again for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    limit: Duration,
    state: u64,
}

impl Jitter {
    pub(super) fn new(limit: Duration, seed: Option<u64>) -> Self {
        // The standard library's own source of randomness is good enough to keep machines apart.
        let state = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Self { limit, state }
    }

    /// The next delay, less than the limit; zero if that is zero.
    pub(super) fn next(&mut self) -> Duration {
        // A product with a fraction of 32 bits, so that no limit is out of range.
        let limit = self.limit;
        let fraction = self.random() >> 32;
        let nanos = (limit.as_nanos() * u128::from(fraction)) >> 32;
        let whole = nanos / 1_000_000_000;
        Duration::new(whole as u64, (nanos % 1_000_000_000) as u32)
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_the_limit_and_fill_it() {
        for limit in [
            Duration::from_nanos(3),
            Duration::from_millis(8),
            Duration::MAX,
        ] {
            let mut jitter = Jitter::new(limit, Some(1));
            let delays: Vec<_> = (0..1000).map(|_| jitter.next()).collect();
            assert!(delays.iter().all(|delay| *delay < limit));
            assert!(delays.iter().any(|delay| *delay >= limit / 2));
            assert!(delays.iter().any(|delay| *delay < limit / 2));
        }
        assert_eq!(Jitter::new(Duration::ZERO, None).next(), Duration::ZERO);
    }

    #[test]
    fn a_seed_repeats_itself_and_no_seed_does_not() {
        let delays = |seed| {
            let mut jitter = Jitter::new(Duration::from_secs(1), seed);
            (0..9).map(|_| jitter.next()).collect::<Vec<_>>()
        };
        assert_eq!(delays(Some(7)), delays(Some(7)));
        assert_ne!(delays(Some(7)), delays(Some(8)));
        assert_ne!(delays(None), delays(None));
    }
}
