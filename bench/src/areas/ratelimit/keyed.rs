//! A limit for each of very many keys.

use std::collections::HashMap;
use std::hint::black_box;

use governor::clock::{MonotonicClock, QuantaClock};
use throttle_net::PerKey;

use super::keys::{KEYS, key, random, zipf};
use super::limiter::{Keyed, Rate};
use super::peers::GovernorKeyed;
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};
use crate::rss::{growth_kib, resident_kib};

/// One that comes to nothing in a lap, so that each key keeps owing what it took and it is known who may pass.
const SLOW: Rate = Rate::hourly().burst(BURST);
const BURST: u32 = 100;
/// Who divides a bound among shards needs room, for no shard has the mean.
const ROOM: usize = 2 * KEYS;

/// As an API has it for each of its callers: who asked once owes nothing after 10 ms.
const API: Rate = Rate::per_second(100).burst(10);
const FEW: usize = 1 << 16;

const FILL: &str = "A first check for each of 1,000,000 keys, with room for two million; per key. RSS is what stays.";
const RANDOM: &str = "Ask 1,000,000 times for one of as many keys that are known; per check.";
const ZIPF: &str =
    "The same, the keys being as unequal as Zipf's law has it; 100 are allowed of each.";
const FLOOD: &str = "1,000,000 keys that come but once, at 100 per second and key, with room for 65,536; \
     per key. Denied: of these newcomers.";

type GovernorQuanta = GovernorKeyed<QuantaClock>;
type GovernorInstant = GovernorKeyed<MonotonicClock>;
type RateNet = rate_net::RateLimiter;
type ThrottleNet = PerKey<u64>;
type Ours = shibuya_ratelimit::Keyed<u64>;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, about| Case::new(name, Threads::One, about).cold().max_rounds(5);
    vec![
        case("keyed/fill", FILL)
            .contender("governor", KEYS, fill::<GovernorQuanta>)
            .contender("governor, Instant", KEYS, fill::<GovernorInstant>)
            .contender("rate-net", KEYS, fill::<RateNet>)
            .contender("throttle-net", KEYS, fill::<ThrottleNet>)
            .contender("Keyed", KEYS, fill::<Ours>),
        case("keyed/random", RANDOM)
            .contender("governor", KEYS, |n| known::<GovernorQuanta>(random(n)))
            .contender("governor, Instant", KEYS, |n| {
                known::<GovernorInstant>(random(n))
            })
            .contender("rate-net", KEYS, |n| known::<RateNet>(random(n)))
            .contender("throttle-net", KEYS, |n| known::<ThrottleNet>(random(n)))
            .contender("Keyed", KEYS, |n| known::<Ours>(random(n))),
        case("keyed/zipf", ZIPF)
            .contender("governor", KEYS, |n| known::<GovernorQuanta>(zipf(n)))
            .contender("governor, Instant", KEYS, |n| {
                known::<GovernorInstant>(zipf(n))
            })
            .contender("rate-net", KEYS, |n| known::<RateNet>(zipf(n)))
            .contender("throttle-net", KEYS, |n| known::<ThrottleNet>(zipf(n)))
            .contender("Keyed", KEYS, |n| known::<Ours>(zipf(n))),
        case("keyed/flood", FLOOD)
            .contender("governor, no bound", KEYS, |n| {
                flood(n, GovernorQuanta::new(API, FEW), |_| {})
            })
            .contender("governor, tidied", KEYS, |n| {
                flood(n, GovernorQuanta::new(API, FEW), GovernorKeyed::tidy)
            })
            .contender("rate-net", KEYS, |n| {
                flood(n, RateNet::new(API, FEW), |_| {})
            })
            .contender("throttle-net", KEYS, |n| {
                flood(n, ThrottleNet::new(API, FEW), |_| {})
            })
            .contender("Keyed", KEYS, |n| {
                flood(n, <Ours as Keyed>::new(API, FEW), |_| {})
            }),
    ]
}

async fn fill<L: Keyed>(n: usize) -> Lap {
    let before = resident_kib();
    let limiter = L::new(SLOW, ROOM);
    let clock = Clock::start();
    let allowed = (0..n).filter(|&i| limiter.check(key(i))).count();
    let lap = clock.stop(allowed);
    let growth = growth_kib(before);
    let each = growth.map(|kib| kib * 1024.0 / n as f64);
    lap.with(Extra::ResidentBytes, each)
}

async fn known<L: Keyed>(asked: Vec<u64>) -> Lap {
    let limiter = L::new(SLOW, ROOM);
    for i in 0..KEYS {
        assert!(limiter.check(key(i)), "the first one may pass");
    }
    let clock = Clock::start();
    let allowed = asked.iter().filter(|&&key| limiter.check(key)).count();
    let lap = clock.stop(asked.len());
    assert_eq!(allowed, allowed_of(&asked), "checks that say yes");
    lap
}

/// How many may pass: each key has its burst, and has used up one of it.
fn allowed_of(asked: &[u64]) -> usize {
    let mut left = HashMap::new();
    let allowed = asked.iter().filter(|&key| {
        let left = left.entry(key).or_insert(BURST - 1);
        let allowed = *left > 0;
        *left = left.saturating_sub(1);
        allowed
    });
    allowed.count()
}

/// Calls `tidy` whenever so many came as there is room for.
async fn flood<L: Keyed>(n: usize, limiter: L, tidy: fn(&L)) -> Lap {
    let before = resident_kib();
    let clock = Clock::start();
    let mut denied = 0;
    for i in 0..n {
        denied += usize::from(!black_box(limiter.check(key(i))));
        if i % FEW == FEW - 1 {
            tidy(&limiter);
        }
    }
    let lap = clock.stop(n);
    let growth = growth_kib(before);
    lap.with(Extra::GrowthKib, growth)
        .with(Extra::Denied, denied as f64 * 100.0 / n as f64)
}
