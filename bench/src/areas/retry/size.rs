//! How large the futures are. A box of one is asked for its size, so the bytes are those of the future.

use shibuya_retry::{Breaker, Budget, Policy, RetryError, Retryable, retry_with};
use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_retry2::strategy::{ExponentialFactorBackoff, jitter as jitter2};

use super::by_hand::{boxing, in_async};
use super::op::{Unavailable, ask};
use super::{ATTEMPT, BASE, MAX, RETRIES, peers};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const FUTURES: usize = 10_000;
const REQUEST: u64 = 7;

static POLICY: Policy = Policy::exponential(BASE, MAX).max_retries(RETRIES);
static BUDGET: Budget = Budget::ratio(0.2);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "size",
            Threads::One,
            "Make a call and box its future, which is not polled: the bytes are those of the future.",
        )
        .max_rounds(3)
        .contender("no retry", FUTURES, |n| keep(n, || ask(REQUEST)))
        .contender("loop, boxed Sleep", FUTURES, |n| {
            keep(n, || boxing(BASE, || ask(REQUEST)))
        })
        .contender("loop, async", FUTURES, |n| keep(n, || in_async(REQUEST)))
        .contender("backon", FUTURES, |n| {
            let builder = backon::ExponentialBuilder::new().with_jitter();
            keep(n, move || {
                backon::Retryable::retry(|| ask(REQUEST), builder)
            })
        })
        .contender("tokio-retry", FUTURES, |n| {
            keep(n, || {
                let delays = ExponentialBackoff::from_millis(2).map(jitter);
                tokio_retry::Retry::start(delays.take(RETRIES as usize), || ask(REQUEST))
            })
        })
        .contender("tokio-retry2", FUTURES, |n| {
            keep(n, || {
                let delays = ExponentialFactorBackoff::from_factor(2.0).map(jitter2);
                let delays = delays.take(RETRIES as usize);
                tokio_retry2::Retry::spawn(delays, || peers::ask_tokio_retry2(REQUEST))
            })
        })
        .contender("backoff", FUTURES, |n| {
            keep(n, || {
                let delays = backoff::ExponentialBackoff::default();
                backoff::future::retry(delays, || peers::ask_backoff(REQUEST))
            })
        })
        .contender("tower", FUTURES, |n| {
            let mut service = peers::tower(BASE);
            keep(n, move || peers::call(&mut service, REQUEST))
        })
        .contender("seatbelt", FUTURES, seatbelt)
        .contender("execution-policy", FUTURES, execution_policy)
        .contender("retry", FUTURES, |n| {
            keep(n, || (|| ask(REQUEST)).retry(&POLICY))
        })
        .contender("retry, full stack", FUTURES, full_stack)
        .contender("retry_with", FUTURES, with_context)
        .contender("Run", FUTURES, |n| keep(n, run)),
    ]
}

async fn keep<F>(n: usize, mut make: impl FnMut() -> F) -> Lap {
    let mut futures = Vec::with_capacity(n);
    let clock = Clock::start();
    futures.extend((0..n).map(|_| Box::new(make())));
    clock.stop(futures.len())
}

async fn seatbelt(n: usize) -> Lap {
    let service = peers::seatbelt(BASE);
    keep(n, || layered::Service::execute(&service, REQUEST)).await
}

async fn execution_policy(n: usize) -> Lap {
    let policy = peers::execution_policy(BASE);
    keep(n, || policy.run(async || ask(REQUEST).await)).await
}

async fn full_stack(n: usize) -> Lap {
    let breaker = &Breaker::builder().build();
    keep(n, || {
        (move || breaker.call(ask(REQUEST)))
            .retry(&POLICY)
            .attempt_timeout(ATTEMPT)
            .budget(&BUDGET)
            .when(|error| !error.is_open())
    })
    .await
}

async fn with_context(n: usize) -> Lap {
    let mut contexts = vec![REQUEST; n].leak().iter_mut();
    keep(n, || {
        let context = contexts.next().expect("one for each");
        retry_with(&POLICY, context, async |request: &mut u64| {
            ask(*request).await
        })
    })
    .await
}

async fn run() -> Result<u64, RetryError<Unavailable>> {
    let mut run = POLICY.start();
    loop {
        match run.attempt(ask(REQUEST)).await {
            Ok(answer) => break Ok(answer),
            Err(failure) => run.backoff(failure).await?,
        }
    }
}
