//! The futures behind features are dropped after each of their polls and after each wake that follows.
#![cfg(not(shibuya_loom))]
#![cfg(feature = "tower")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use shibuya_retry::tower::{
    BreakerFuture, BreakerLayer, BreakerService, RetryFuture, RetryLayer, RetryService,
};
use shibuya_retry::{Always, Breaker, BreakerState, Budget, CallError, Failure, Jitter, Policy};
use shibuya_testkit::{Ending, Harness, Report};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

static POLICY: Policy = Policy::constant(MS).jitter(Jitter::None);

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

/// Calls a service of which the first attempt fails and the second takes too long, as `call` does.
async fn a_retry_leaks_nothing<F>(
    harness: Harness,
    call: impl Fn(BoxRetryService) -> F + Clone + 'static,
) where
    F: Future<Output = Result<u32, Failure<&'static str>>>,
{
    let report = harness.run(
        async || {
            let budget: &Budget = Box::leak(Box::new(Budget::ratio(0.0).burst(5).min_per_sec(0)));
            let begun = Arc::new(AtomicU32::new(0));
            let count = begun.clone();
            let places = Arc::new(Semaphore::new(1));
            let service = service_fn(move |_: u32| {
                let number = count.fetch_add(1, SeqCst) + 1;
                async move {
                    yield_now().await;
                    match number {
                        1 => return Err("reset"),
                        2 => sleep(10 * MS).await,
                        _ => {}
                    }
                    Ok(number)
                }
            });
            let limit = GlobalConcurrencyLimitLayer::with_semaphore(places.clone());
            let layer = RetryLayer::new(&POLICY, copy as CopyRequest)
                .attempt_timeout(5 * MS)
                .budget(budget);
            let mut service = layer.layer(limit.layer(BoxCloneService::new(service)));
            service.ready().await.unwrap();
            ((budget, begun, places), call(service))
        },
        async |(budget, begun, places), ending| {
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(3));
            }
            assert_eq!(places.available_permits(), 1);
            let spent = u64::from(begun.load(SeqCst)).saturating_sub(1);
            assert_eq!(budget.snapshot().granted, spent);
            assert_eq!(budget.snapshot().balance, 5.0 - spent as f64);
        },
    );
    really_waited(report.await);
}

type CopyRequest = fn(&u32) -> Option<u32>;
type Limited = ConcurrencyLimit<BoxCloneService<u32, u32, &'static str>>;
type BoxRetryService = RetryService<'static, Limited, Always, CopyRequest>;

fn copy(request: &u32) -> Option<u32> {
    Some(*request)
}

#[tokio::test(start_paused = true)]
async fn a_retried_call_leaks_no_place_and_no_retry() {
    a_retry_leaks_nothing(Harness::new("RetryFuture"), |mut service| {
        let future: RetryFuture<'_, _, _, _, _> = service.call(1);
        future
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retried_call_in_another_future_leaks_none() {
    let call = async |mut service: BoxRetryService| service.call(1).await;
    a_retry_leaks_nothing(Harness::new("RetryService::call"), call).await;
}

/// Sends a probe as `call` does.
async fn a_probe_frees_its_place<F>(
    harness: Harness,
    call: impl Fn(BoxBreakerService) -> F + Clone + 'static,
) where
    F: Future<Output = Result<u32, CallError<&'static str>>>,
{
    let report = harness.run(
        async || {
            let breaker = Breaker::builder().min_calls(1).probes(1).open_for(MS);
            let breaker: &Breaker = Box::leak(Box::new(breaker.build()));
            breaker.try_acquire().unwrap().failure();
            sleep(2 * MS).await;
            let service = service_fn(async |_: u32| {
                yield_now().await;
                sleep(MS).await;
                Ok::<_, &str>(1)
            });
            let layer = BreakerLayer::new(breaker, is_ill as IsIll);
            let mut service = layer.layer(BoxCloneService::new(service));
            service.ready().await.unwrap();
            (breaker, call(service))
        },
        async |breaker, ending| {
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(1));
                assert_eq!(breaker.state(), BreakerState::Closed);
            }
            // The next one is let through.
            breaker.try_acquire().unwrap().success();
            assert_eq!(breaker.state(), BreakerState::Closed);
        },
    );
    really_waited(report.await);
}

type IsIll = fn(Result<&u32, &&'static str>) -> bool;
type BoxBreakerService = BreakerService<'static, BoxCloneService<u32, u32, &'static str>, IsIll>;

fn is_ill(outcome: Result<&u32, &&'static str>) -> bool {
    outcome.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_probe_behind_a_layer_frees_its_place() {
    a_probe_frees_its_place(Harness::new("BreakerFuture"), |mut service| {
        let future: BreakerFuture<'_, _, _> = service.call(1);
        future
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_in_another_future_frees_its_place() {
    let call = async |mut service: BoxBreakerService| service.call(1).await;
    a_probe_frees_its_place(Harness::new("BreakerService::call"), call).await;
}
