//! What the whole of it costs around a call that succeeds at once.

use std::sync::Arc;
use std::time::Duration;

use execution_policy::{CircuitBreaker, ExecutionPolicyBuilder, RetryBudget};
use layered::{Execute, Stack};
use seatbelt::ResilienceContext;
use shibuya_retry::{Breaker, Budget, Policy, Retryable, Verdict};
use tick::Clock;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{BoxError, ServiceBuilder, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};
use tower_resilience_timelimiter::{TimeLimiterError, TimeLimiterLayer};

use super::op::{Unavailable, ask, calls};
use super::peers::TowerPolicy;
use super::{ATTEMPT, BASE, MAX, RETRIES, peers};
use crate::case::{Case, Threads};
use crate::meter::Lap;

const CALLS: usize = 500_000;

/// How many calls, or how long, a breaker looks back on.
const WINDOW: usize = 100;
const SPAN: Duration = Duration::from_secs(10);

static POLICY: Policy = Policy::exponential(BASE, MAX).max_retries(RETRIES);
static BUDGET: Budget = Budget::ratio(0.2);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "full stack",
            Threads::One,
            "Retry, timeout of the attempt, breaker and budget around a call that is ready and succeeds; per call.",
        )
        .laps(5)
        .contender("no retry", CALLS, |n| calls(n, 0, ask))
        .contender("tower, no breaker", CALLS, tower)
        .contender("seatbelt, no budget", CALLS, seatbelt)
        .contender("execution-policy", CALLS, execution_policy)
        .contender("tower-resilience", CALLS, tower_resilience)
        .contender("retry", CALLS, retry)
        .contender("retry, window of time", CALLS, retry_over_time),
    ]
}

/// The policy with a budget, as tower's documentation has it.
#[derive(Clone)]
struct Budgeted {
    policy: TowerPolicy,
    budget: Arc<TpsBudget>,
}

impl tower::retry::Policy<u64, u64, BoxError> for Budgeted {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        request: &mut u64,
        answer: &mut Result<u64, BoxError>,
    ) -> Option<Self::Future> {
        match answer {
            Ok(_) => {
                self.budget.deposit();
                None
            }
            Err(_) => self
                .budget
                .withdraw()
                .then(|| self.policy.retry(request, answer))?,
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

async fn tower(n: usize) -> Lap {
    let policy = Budgeted {
        policy: TowerPolicy::new(BASE),
        budget: Arc::new(TpsBudget::new(SPAN, 10, 0.2)),
    };
    let mut service = ServiceBuilder::new()
        .retry(policy)
        .timeout(ATTEMPT)
        .service(service_fn(ask));
    calls(n, 0, |request| peers::call(&mut service, request)).await
}

async fn seatbelt(n: usize) -> Lap {
    let context = ResilienceContext::new(Clock::new_tokio());
    let stack = (
        seatbelt::retry::Retry::layer("retry", &context)
            .clone_input()
            .max_retry_attempts(RETRIES)
            .base_delay(BASE)
            .max_delay(MAX)
            .recovery_with(|answer, _| peers::recovery(answer)),
        seatbelt::breaker::Breaker::layer("breaker", &context)
            .failure_threshold(0.5)
            .sampling_duration(SPAN)
            .recovery_with(|answer, _| peers::recovery(answer))
            .rejected_input_error(|_, _| Unavailable),
        seatbelt::timeout::Timeout::layer("timeout", &context)
            .timeout(ATTEMPT)
            .timeout_error(|_| Unavailable),
        Execute::new(ask),
    );
    let service = stack.into_service();
    calls(n, 0, |request| layered::Service::execute(&service, request)).await
}

async fn execution_policy(n: usize) -> Lap {
    let retry = peers::execution_policy_retry(BASE).budget(RetryBudget::new(0.2, 100));
    let policy = ExecutionPolicyBuilder::new()
        .retry(retry)
        .attempt_timeout(ATTEMPT)
        .circuit_breaker(
            CircuitBreaker::failure_ratio()
                .ratio(0.5)
                .sampling_window(SPAN),
        )
        .build();
    calls(n, 0, |request| policy.run(async move || ask(request).await)).await
}

async fn tower_resilience(n: usize) -> Lap {
    type Error = CircuitBreakerError<TimeLimiterError<Unavailable>>;
    let budget = RetryBudgetBuilder::new().token_bucket().build();
    let retry = RetryLayer::<u64, u64, Error>::builder()
        .max_attempts(RETRIES as usize + 1)
        .exponential_backoff(BASE)
        .budget(budget.expect("it is sound"))
        .build();
    let breaker = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(WINDOW)
        .build()
        .expect("it is sound");
    let timeout = TimeLimiterLayer::builder()
        .timeout_duration(ATTEMPT)
        .build();
    let mut service = ServiceBuilder::new()
        .layer(retry)
        .layer(breaker)
        .layer(timeout)
        .service(service_fn(ask));
    calls(n, 0, |request| peers::call(&mut service, request)).await
}

async fn retry(n: usize) -> Lap {
    through(Breaker::builder().window_calls(WINDOW).build(), n).await
}

async fn retry_over_time(n: usize) -> Lap {
    through(Breaker::builder().window_time(SPAN).build(), n).await
}

/// An open breaker is no reason to ask again before it may let a call through.
async fn through(breaker: Breaker, n: usize) -> Lap {
    let breaker = &breaker;
    calls(n, 0, |request| {
        (move || breaker.call(ask(request)))
            .retry(&POLICY)
            .attempt_timeout(ATTEMPT)
            .budget(&BUDGET)
            .classify(|error, _| match error.retry_in() {
                Some(delay) => Verdict::RetryAfter(delay),
                None => Verdict::Retry,
            })
    })
    .await
}
