//! What two retries cost that need not wait.
//!
//! A `Sleep` of zero is due at the next tick of the timer, so each costs whoever sleeps a millisecond.

use std::time::Duration;

use shibuya_retry::{Policy, Retryable};
use tokio_retry::strategy::FixedInterval;
use tokio_retry2::strategy::FixedInterval as FixedInterval2;

use super::by_hand::{boxing, yielding};
use super::op::{ask, calls};
use super::{RETRIES, peers};
use crate::case::{Case, Threads};
use crate::meter::Lap;

const CALLS: usize = 10_000;
/// Of those that wait for ticks, to be done in a fraction of a second.
const FEW: usize = 20;
const FAILURES: usize = 2;

static POLICY: Policy = Policy::immediate().max_retries(RETRIES);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "zero delay",
            Threads::One,
            "Two failures, then a success, with a delay of zero; per call.",
        )
        .max_rounds(7)
        .contender("loop, yield_now", CALLS, |n| calls(n, FAILURES, yielding))
        .contender("loop, boxed Sleep", FEW, by_hand)
        .contender("backon", FEW, backon)
        .contender("tokio-retry", FEW, tokio_retry)
        .contender("tokio-retry2", FEW, tokio_retry2)
        .contender("backoff", FEW, backoff)
        .contender("tower", FEW, tower)
        .contender("seatbelt", CALLS, seatbelt)
        .contender("execution-policy", CALLS, execution_policy)
        .contender("tower-resilience", FEW, tower_resilience)
        .contender("retry", CALLS, retry),
    ]
}

async fn by_hand(n: usize) -> Lap {
    calls(n, FAILURES, |request| {
        boxing(Duration::ZERO, move || ask(request))
    })
    .await
}

async fn backon(n: usize) -> Lap {
    let builder = backon::ConstantBuilder::new()
        .with_delay(Duration::ZERO)
        .with_max_times(RETRIES as usize);
    calls(n, FAILURES, |request| {
        backon::Retryable::retry(move || ask(request), builder)
    })
    .await
}

async fn tokio_retry(n: usize) -> Lap {
    calls(n, FAILURES, |request| {
        let delays = FixedInterval::new(Duration::ZERO).take(RETRIES as usize);
        tokio_retry::Retry::start(delays, move || ask(request))
    })
    .await
}

async fn tokio_retry2(n: usize) -> Lap {
    calls(n, FAILURES, |request| {
        let delays = FixedInterval2::new(Duration::ZERO).take(RETRIES as usize);
        tokio_retry2::Retry::spawn(delays, move || peers::ask_tokio_retry2(request))
    })
    .await
}

async fn backoff(n: usize) -> Lap {
    calls(n, FAILURES, |request| {
        backoff::future::retry(backoff::backoff::Zero {}, move || {
            peers::ask_backoff(request)
        })
    })
    .await
}

async fn tower(n: usize) -> Lap {
    let mut service = peers::tower(Duration::ZERO);
    calls(n, FAILURES, |request| peers::call(&mut service, request)).await
}

async fn seatbelt(n: usize) -> Lap {
    let service = peers::seatbelt(Duration::ZERO);
    calls(n, FAILURES, |request| {
        layered::Service::execute(&service, request)
    })
    .await
}

async fn execution_policy(n: usize) -> Lap {
    let policy = peers::execution_policy(Duration::ZERO);
    calls(n, FAILURES, |request| {
        policy.run(async move || ask(request).await)
    })
    .await
}

async fn tower_resilience(n: usize) -> Lap {
    let mut service = peers::tower_resilience(Duration::ZERO);
    calls(n, FAILURES, |request| peers::call(&mut service, request)).await
}

async fn retry(n: usize) -> Lap {
    calls(n, FAILURES, |request| (move || ask(request)).retry(&POLICY)).await
}
