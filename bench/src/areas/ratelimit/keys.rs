//! Which keys are asked for, and in which order: the same for everybody, and in each run.

/// How many there are.
pub(super) const KEYS: usize = 1_000_000;

/// The `i`th key. No two are the same, and neighbours have nothing in common.
pub(super) fn key(i: usize) -> u64 {
    mix(i as u64)
}

/// `n` keys, each as likely as any other.
pub(super) fn random(n: usize) -> Vec<u64> {
    drawn(n, |share| (share * KEYS as f64) as usize)
}

/// `n` keys by Zipf's law: the second is asked for half as often as the first, the third a third as often.
pub(super) fn zipf(n: usize) -> Vec<u64> {
    drawn(n, |share| (KEYS as f64).powf(share) as usize - 1)
}

fn drawn(n: usize, nth: impl Fn(f64) -> usize) -> Vec<u64> {
    const STREAM: u64 = 1 << 32; // far from the numbers of the keys
    let share = |draw| (mix(STREAM + draw) >> 11) as f64 / (1_u64 << 53) as f64;
    (0..n as u64).map(|draw| key(nth(share(draw)))).collect()
}

/// SplitMix64: one to one, and good enough to draw from.
fn mix(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn hits(keys: &[u64]) -> HashMap<u64, usize> {
        let mut hits = HashMap::new();
        for &key in keys {
            *hits.entry(key).or_insert(0) += 1;
        }
        hits
    }

    #[test]
    fn keys_differ() {
        let keys: Vec<u64> = (0..KEYS).map(key).collect();
        assert_eq!(hits(&keys).len(), KEYS);
    }

    #[test]
    fn random_keys_are_spread_evenly() {
        let hits = hits(&random(KEYS));
        // A share of 1/e is never drawn.
        assert!((620_000..644_000).contains(&hits.len()), "{}", hits.len());
        assert!(hits.values().all(|&hits| hits < 20));
    }

    #[test]
    fn the_first_keys_are_asked_for_most() {
        let hits = hits(&zipf(KEYS));
        // By the continuous law, a key has a share of ln((k + 1) / k) / ln(1,000,000).
        for (nth, expected) in [(0, 50_171), (1, 29_349), (9, 6_899), (99, 720)] {
            let found = hits[&key(nth)];
            let tenth = expected / 10;
            assert!(found.abs_diff(expected) < tenth, "{nth}: {found}");
        }
    }
}
