//! The peers that are built before they are called, each as its documentation has it.

use std::task::{Context, Waker};
use std::time::Duration;

use execution_policy::core::DefaultCore;
use execution_policy::{ExecutionPolicy, ExecutionPolicyBuilder, Jitter};
use layered::{Execute, Stack};
use seatbelt::{RecoveryInfo, ResilienceContext};
use tick::Clock;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::{Service, ServiceBuilder, service_fn};
use tower_resilience_retry::RetryLayer;

use super::op::{Answer, Unavailable, ask};
use super::{MAX, RETRIES};

pub(super) async fn ask_tokio_retry2(
    request: u64,
) -> Result<u64, tokio_retry2::RetryError<Unavailable>> {
    ask(request)
        .await
        .map_err(tokio_retry2::RetryError::transient)
}

pub(super) async fn ask_backoff(request: u64) -> Result<u64, backoff::Error<Unavailable>> {
    ask(request).await.map_err(backoff::Error::transient)
}

/// A call of a service that is always ready, and is asked whether it is, as it must be.
pub(super) fn call<S: Service<u64>>(service: &mut S, request: u64) -> S::Future {
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(ready.is_ready());
    service.call(request)
}

/// tower has no policy of its own: this is that of its documentation, with its backoff.
#[derive(Clone)]
pub(super) struct TowerPolicy {
    retries: u32,
    delays: ExponentialBackoff,
}

impl TowerPolicy {
    pub(super) fn new(delay: Duration) -> Self {
        let jitter = 0.5;
        let maker = ExponentialBackoffMaker::new(delay, MAX, jitter, Default::default());
        Self {
            retries: RETRIES,
            delays: maker.expect("it is sound").make_backoff(),
        }
    }
}

impl<E> tower::retry::Policy<u64, u64, E> for TowerPolicy {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, _: &mut u64, answer: &mut Result<u64, E>) -> Option<Self::Future> {
        if answer.is_ok() {
            return None;
        }
        self.retries = self.retries.checked_sub(1)?;
        Some(self.delays.next_backoff())
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

pub(super) fn tower(
    delay: Duration,
) -> impl Service<u64, Response = u64, Error = Unavailable, Future: Send> + Clone {
    ServiceBuilder::new()
        .retry(TowerPolicy::new(delay))
        .service(service_fn(ask))
}

pub(super) fn recovery(answer: &Answer) -> RecoveryInfo {
    match answer {
        Ok(_) => RecoveryInfo::never(),
        Err(_) => RecoveryInfo::retry(),
    }
}

pub(super) fn seatbelt(delay: Duration) -> impl layered::Service<u64, Out = Answer> {
    let context = ResilienceContext::new(Clock::new_tokio());
    let stack = (
        seatbelt::retry::Retry::layer("retry", &context)
            .clone_input()
            .max_retry_attempts(RETRIES)
            .base_delay(delay)
            .max_delay(MAX)
            .recovery_with(|answer, _| recovery(answer)),
        Execute::new(ask),
    );
    stack.into_service()
}

pub(super) fn execution_policy(delay: Duration) -> ExecutionPolicy<DefaultCore, u64, Unavailable> {
    ExecutionPolicyBuilder::new()
        .retry(execution_policy_retry(delay))
        .build()
}

pub(super) fn execution_policy_retry(delay: Duration) -> execution_policy::Retry<u64, Unavailable> {
    execution_policy::Retry::exponential()
        .max_attempts(RETRIES + 1)
        .base_delay(delay)
        .max_delay(MAX)
        .jitter(Jitter::Full)
}

pub(super) fn tower_resilience(
    delay: Duration,
) -> impl Service<u64, Response = u64, Error = Unavailable, Future: Send> + Clone {
    let retry = RetryLayer::<u64, u64, Unavailable>::builder()
        .max_attempts(RETRIES as usize + 1)
        .exponential_backoff(delay)
        .build();
    ServiceBuilder::new().layer(retry).service(service_fn(ask))
}
