//! What a call costs that succeeds at once.

use shibuya_retry::{Policy, RetryError, Retryable, retry_with};
use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_retry2::strategy::{ExponentialFactorBackoff, jitter as jitter2};

use super::by_hand::{boxing, in_async};
use super::op::{Unavailable, ask, calls};
use super::{BASE, MAX, RETRIES, peers};
use crate::case::{Case, Threads};
use crate::meter::Lap;

const CALLS: usize = 1_000_000;

static POLICY: Policy = Policy::exponential(BASE, MAX).max_retries(RETRIES);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "success",
            Threads::One,
            "A call that is ready at the first poll and succeeds; per call.",
        )
        .laps(5)
        .contender("loop, boxed Sleep", CALLS, by_hand)
        .contender("loop, async", CALLS, |n| calls(n, 0, in_async))
        .contender("no retry", CALLS, |n| calls(n, 0, ask))
        .contender("backon", CALLS, backon)
        .contender("tokio-retry", CALLS, tokio_retry)
        .contender("tokio-retry2", CALLS, tokio_retry2)
        .contender("backoff", CALLS, backoff)
        .contender("tower", CALLS, tower)
        .contender("seatbelt", CALLS, seatbelt)
        .contender("execution-policy", CALLS, execution_policy)
        .contender("tower-resilience", CALLS, tower_resilience)
        .contender("retry", CALLS, retry)
        .contender("retry_with", CALLS, with_context)
        .contender("Run", CALLS, run),
    ]
}

async fn by_hand(n: usize) -> Lap {
    calls(n, 0, |request| boxing(BASE, move || ask(request))).await
}

async fn backon(n: usize) -> Lap {
    let builder = backon::ExponentialBuilder::new()
        .with_min_delay(BASE)
        .with_max_delay(MAX)
        .with_max_times(RETRIES as usize)
        .with_jitter();
    calls(n, 0, |request| {
        backon::Retryable::retry(move || ask(request), builder)
    })
    .await
}

async fn tokio_retry(n: usize) -> Lap {
    let delays = ExponentialBackoff::from_millis(2)
        .factor(BASE.as_millis() as u64 / 2)
        .max_delay(MAX);
    calls(n, 0, |request| {
        let delays = delays.clone().map(jitter).take(RETRIES as usize);
        tokio_retry::Retry::start(delays, move || ask(request))
    })
    .await
}

async fn tokio_retry2(n: usize) -> Lap {
    let delays = ExponentialFactorBackoff::from_millis(BASE.as_millis() as u64, 2.0).max_delay(MAX);
    calls(n, 0, |request| {
        let delays = delays.clone().map(jitter2).take(RETRIES as usize);
        tokio_retry2::Retry::spawn(delays, move || peers::ask_tokio_retry2(request))
    })
    .await
}

async fn backoff(n: usize) -> Lap {
    let delays = backoff::ExponentialBackoffBuilder::new()
        .with_initial_interval(BASE)
        .with_max_interval(MAX)
        .with_multiplier(2.0)
        .build();
    calls(n, 0, |request| {
        backoff::future::retry(delays.clone(), move || peers::ask_backoff(request))
    })
    .await
}

async fn tower(n: usize) -> Lap {
    let mut service = peers::tower(BASE);
    calls(n, 0, |request| peers::call(&mut service, request)).await
}

async fn seatbelt(n: usize) -> Lap {
    let service = peers::seatbelt(BASE);
    calls(n, 0, |request| layered::Service::execute(&service, request)).await
}

async fn execution_policy(n: usize) -> Lap {
    let policy = peers::execution_policy(BASE);
    calls(n, 0, |request| policy.run(async move || ask(request).await)).await
}

async fn tower_resilience(n: usize) -> Lap {
    let mut service = peers::tower_resilience(BASE);
    calls(n, 0, |request| peers::call(&mut service, request)).await
}

async fn retry(n: usize) -> Lap {
    calls(n, 0, |request| (move || ask(request)).retry(&POLICY)).await
}

async fn with_context(n: usize) -> Lap {
    calls(n, 0, async |mut request: u64| {
        retry_with(&POLICY, &mut request, async |request: &mut u64| {
            ask(*request).await
        })
        .await
    })
    .await
}

async fn run(n: usize) -> Lap {
    calls(n, 0, async |request| {
        let mut run = POLICY.start();
        loop {
            match run.attempt(ask(request)).await {
                Ok(answer) => break Ok::<_, RetryError<Unavailable>>(answer),
                Err(failure) => run.backoff(failure).await?,
            }
        }
    })
    .await
}
