//! What a closed breaker costs that threads share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use execution_policy::{CircuitBreaker, ExecutionPolicyBuilder};
use layered::{Execute, Stack};
use seatbelt::ResilienceContext;
use shibuya_retry::{Breaker, BreakerBuilder};
use tick::Clock;
use tower::{ServiceBuilder, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use super::op::{Unavailable, ask, calls};
use super::peers;
use crate::areas::threads::on_threads;
use crate::case::{Case, Threads};
use crate::meter::Lap;

const TIMES: usize = 500_000;
const WINDOW: usize = 100;
const SPAN: Duration = Duration::from_secs(10);

pub(super) fn cases() -> Vec<Case> {
    let around = Case::new(
        "breaker/call",
        Threads::One,
        "A closed breaker around a call that is ready and succeeds; per call.",
    )
    .contender("no breaker", TIMES, |n| calls(n, 0, ask))
    .contender("seatbelt", TIMES, seatbelt)
    .contender("execution-policy", TIMES, execution_policy)
    .contender("tower-resilience", TIMES, tower_resilience)
    .contender("Breaker, count", TIMES, |n| around(by_count(), n))
    .contender("Breaker, time", TIMES, |n| around(by_time(), n));
    let alone = [("breaker/permit/1", 1), ("breaker/permit/2", 2)].map(|(name, threads)| {
        Case::new(
            name,
            Threads::One,
            "Acquire a permit of a closed breaker and report success, on one thread or two; per permit.",
        )
        .contender("fetch_add", TIMES, move |n| {
            let counter = AtomicU64::new(0);
            on_threads(threads, n, move || counter.fetch_add(1, Relaxed) < u64::MAX)
        })
        .contender("Breaker, count", TIMES, move |n| {
            permits(threads, n, by_count())
        })
        .contender("Breaker, time", TIMES, move |n| {
            permits(threads, n, by_time())
        })
    });
    std::iter::once(around).chain(alone).collect()
}

fn by_count() -> BreakerBuilder {
    Breaker::builder().window_calls(WINDOW)
}

fn by_time() -> BreakerBuilder {
    Breaker::builder().window_time(SPAN)
}

async fn permits(threads: usize, n: usize, builder: BreakerBuilder) -> Lap {
    let breaker = builder.build();
    on_threads(threads, n, || {
        let permit = breaker.try_acquire();
        permit.map(|permit| permit.success()).is_ok()
    })
    .await
}

async fn around(builder: BreakerBuilder, n: usize) -> Lap {
    let breaker = &builder.build();
    calls(n, 0, |request| breaker.call(ask(request))).await
}

async fn seatbelt(n: usize) -> Lap {
    let context = ResilienceContext::new(Clock::new_tokio());
    let stack = (
        seatbelt::breaker::Breaker::layer("breaker", &context)
            .failure_threshold(0.5)
            .sampling_duration(SPAN)
            .recovery_with(|answer, _| peers::recovery(answer))
            .rejected_input_error(|_, _| Unavailable),
        Execute::new(ask),
    );
    let service = stack.into_service();
    calls(n, 0, |request| layered::Service::execute(&service, request)).await
}

async fn execution_policy(n: usize) -> Lap {
    let breaker = CircuitBreaker::failure_ratio()
        .ratio(0.5)
        .sampling_window(SPAN);
    let policy = ExecutionPolicyBuilder::new()
        .circuit_breaker(breaker)
        .build();
    calls(n, 0, |request| policy.run(async move || ask(request).await)).await
}

async fn tower_resilience(n: usize) -> Lap {
    let breaker = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(WINDOW)
        .build()
        .expect("it is sound");
    let mut service = ServiceBuilder::new()
        .layer(breaker)
        .service(service_fn(ask));
    calls(n, 0, |request| peers::call(&mut service, request)).await
}
