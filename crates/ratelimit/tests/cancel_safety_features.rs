//! The futures behind features are dropped after each of their polls and after each wake that follows.
#![cfg(not(shibuya_loom))]
#![cfg(feature = "tower")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use shibuya_ratelimit::tower::{
    CallError, ConcurrencyLimitFuture, ConcurrencyLimitLayer, ConcurrencyLimitService,
    RateLimitFuture, RateLimitLayer, RateLimitService,
};
use shibuya_ratelimit::{ConcurrencyLimiter, RateLimiter};
use shibuya_testkit::{Ending, Harness, Report};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

type Server = BoxCloneService<u32, u32, &'static str>;
type Outcome = Result<u32, CallError<&'static str>>;

fn really_waited(report: Report) {
    assert!(report.polls >= 4, "it did not wait for both: {report:?}");
}

/// Counts the calls that began.
fn server(begun: Arc<AtomicU32>) -> Server {
    BoxCloneService::new(service_fn(move |n: u32| {
        begun.fetch_add(1, SeqCst);
        async move {
            yield_now().await;
            sleep(MS).await;
            Ok(n)
        }
    }))
}

/// A rate of which nothing is left. Who comes next waits for those calls that began, and for no others.
async fn a_token_is_spent_with_the_call<F>(
    harness: Harness,
    call: impl Fn(RateLimitService<Server, RateLimiter>) -> F + Clone + 'static,
) where
    F: Future<Output = Outcome>,
{
    let report = harness.run(
        async || {
            let limit = RateLimiter::every(10 * MS);
            limit.try_acquire().unwrap();
            let (start, begun) = (Instant::now(), Arc::new(AtomicU32::new(0)));
            let layer = RateLimitLayer::new(limit.clone()).wait(50 * MS);
            let mut service = layer.layer(server(begun.clone()));
            service.ready().await.unwrap();
            ((limit, start, begun), call(service))
        },
        async |(limit, start, begun), ending| {
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(1));
            }
            assert_eq!(limit.snapshot().waiters, 0);
            limit.acquire().await.unwrap();
            let earned = start.elapsed().as_millis() / 10;
            assert_eq!(earned, u128::from(begun.load(SeqCst)) + 1);
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_rated_call_loses_no_token() {
    a_token_is_spent_with_the_call(Harness::new("RateLimitFuture"), |mut service| {
        let future: RateLimitFuture<_, _, _, _> = service.call(1);
        future
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rated_call_in_another_future_loses_none() {
    let call = async |mut service: RateLimitService<_, _>| service.call(1).await;
    a_token_is_spent_with_the_call(Harness::new("RateLimitService::call"), call).await;
}

type Limited = ConcurrencyLimitService<Server, Arc<ConcurrencyLimiter>>;

/// One slot, which another gives up.
async fn the_slot_goes_on<F>(harness: Harness, call: impl Fn(Limited) -> F + Clone + 'static)
where
    F: Future<Output = Outcome>,
{
    let report = harness.run(
        async || {
            let layer = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1)).wait(50 * MS);
            let limiter = layer.limiter().clone();
            let held = limiter.try_acquire_owned().unwrap();
            let mut service = layer.layer(server(Arc::default()));
            service.ready().await.unwrap();
            let neighbour = tokio::spawn({
                let limiter = limiter.clone();
                async move {
                    // Behind the call, which is polled first.
                    yield_now().await;
                    limiter.acquire().await.unwrap().success();
                }
            });
            tokio::spawn(async move {
                yield_now().await;
                yield_now().await;
                held.success();
            });
            ((limiter, neighbour), call(service))
        },
        async |(limiter, neighbour), ending| {
            let mut succeeded = 2;
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(1));
                succeeded = 3;
            }
            neighbour.await.unwrap();
            let seen = limiter.snapshot();
            assert_eq!((seen.in_flight, seen.waiters, seen.denied), (0, 0, 0));
            assert_eq!((seen.succeeded, seen.overloaded), (succeeded, 0));
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_limited_call_frees_its_slot() {
    the_slot_goes_on(Harness::new("ConcurrencyLimitFuture"), |mut service| {
        let future: ConcurrencyLimitFuture<_, _, _, _, _> = service.call(1);
        future
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limited_call_in_another_future_frees_its_slot() {
    let call = async |mut service: Limited| service.call(1).await;
    the_slot_goes_on(Harness::new("ConcurrencyLimitService::call"), call).await;
}
