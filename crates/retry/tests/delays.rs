//! The delays themselves: how long, how random, and never a panic, whatever the numbers.
#![cfg(not(shibuya_loom))]

use std::time::Duration;

use proptest::prelude::*;
use shibuya_retry::{Backoff, Curve, Jitter, Policy, Random};

const MS: Duration = Duration::from_millis(1);

fn durations() -> impl Strategy<Value = Duration> {
    let any =
        (any::<u64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos));
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        (0..10_000u64).prop_map(Duration::from_millis),
        any
    ]
}

fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::None)]
}

proptest! {
    /// Each of the peers that were looked at panics, or waits for ever, for some of these.
    #[test]
    fn delays_are_total_and_never_longer_than_the_maximum(
        base in durations(),
        max in durations(),
        retry in prop_oneof![0..200u32, Just(u32::MAX), any::<u32>()],
        last in durations(),
        jitter in jitters(),
        seed: u64,
    ) {
        for policy in [
            Policy::exponential(base, max),
            Policy::linear(base, max),
            Policy::decorrelated(base, max),
        ] {
            let policy = policy.jitter(jitter).seed(seed).max_retries(retry.min(200));
            let mut count = 0;
            for delay in policy.delays() {
                prop_assert!(delay <= max, "{delay:?} after {count}");
                count += 1;
            }
            prop_assert_eq!(count, retry.min(200));
        }
        // A retry of any number, after any delay.
        struct At(u32, Duration, Curve);
        impl Backoff for At {
            fn delay(&self, _: u32, _: Duration, random: &mut Random) -> Duration {
                self.2.delay(self.0, self.1, random)
            }
        }
        for curve in [
            Curve::Exponential { base, max },
            Curve::Linear { step: base, max },
            Curve::Decorrelated { base, max },
        ] {
            let at = Policy::new(At(retry, last, curve)).max_retries(1);
            prop_assert!(at.delays().next().unwrap() <= max);
        }
    }

    #[test]
    fn a_seed_repeats_itself(seed: u64) {
        let policy = Policy::decorrelated(MS, 100 * MS).max_retries(20).seed(seed);
        prop_assert!(policy.delays().eq(policy.delays()));
    }
}

#[test]
fn calls_do_not_draw_alike() {
    let policy = Policy::exponential(Duration::from_secs(1), Duration::from_secs(60));
    let first: Vec<_> = (0..100).map(|_| policy.delays().next().unwrap()).collect();
    let mut different = first.clone();
    different.sort();
    different.dedup();
    assert!(different.len() > 95, "{first:?}");
}

#[test]
fn an_exponential_delay_doubles_up_to_its_maximum_and_stays() {
    let policy = Policy::exponential(MS, 1000 * MS)
        .max_retries(100)
        .jitter(Jitter::None);
    for (retry, delay) in policy.delays().enumerate() {
        assert_eq!(delay, (1000 * MS).min(MS * (1 << retry.min(20))));
    }
}

/// The greatest distance between the distribution of the samples and the even one from `least` to `most`.
fn kolmogorov_smirnov(mut samples: Vec<Duration>, least: Duration, most: Duration) -> f64 {
    samples.sort();
    let n = samples.len() as f64;
    let span = (most - least).as_secs_f64();
    let distance = |(i, sample): (usize, &Duration)| {
        let expected = (*sample - least).as_secs_f64() / span;
        let (below, above) = (i as f64 / n, (i + 1) as f64 / n);
        (expected - below).abs().max((above - expected).abs())
    };
    samples.iter().enumerate().map(distance).fold(0.0, f64::max)
}

#[test]
fn jitter_is_evenly_spread() {
    let n = 10_000;
    // Even samples are farther off than this once in a thousand runs; the seeds are fixed.
    let limit = 1.95 / f64::from(n as u32).sqrt();
    let delay = 800 * MS;
    let draw = |jitter| -> Vec<Duration> {
        let draw = |seed| {
            Policy::constant(delay)
                .jitter(jitter)
                .seed(seed)
                .delays()
                .next()
                .unwrap()
        };
        (0..n).map(draw).collect()
    };
    let full = kolmogorov_smirnov(draw(Jitter::Full), Duration::ZERO, delay);
    assert!(full < limit, "{full} of {limit}");
    let equal = kolmogorov_smirnov(draw(Jitter::Equal), delay / 2, delay);
    assert!(equal < limit, "{equal} of {limit}");
    assert!(draw(Jitter::None).iter().all(|drawn| *drawn == delay));
    // The test can fail: half of the range is not the whole.
    assert!(kolmogorov_smirnov(draw(Jitter::Equal), Duration::ZERO, delay) > limit);
}

#[test]
fn decorrelated_delays_stand_between_the_base_and_three_times_the_last() {
    let policy = Policy::decorrelated(10 * MS, 5000 * MS)
        .max_retries(1000)
        .seed(1);
    let mut last = 10 * MS;
    let mut longest = Duration::ZERO;
    for delay in policy.delays() {
        assert!(delay >= 10 * MS && delay <= (3 * last).min(5000 * MS).max(10 * MS));
        longest = longest.max(delay);
        last = delay;
    }
    assert!(longest > 1000 * MS);
}
