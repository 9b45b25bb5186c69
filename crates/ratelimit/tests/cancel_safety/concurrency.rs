use std::sync::Arc;
use std::time::Duration;

use shibuya_ratelimit::concurrency::{AcquirePermit, Permit};
use shibuya_ratelimit::{ConcurrencyLimiter, Denied, KeyedConcurrency};
use shibuya_testkit::{Ending, Harness};
use tokio::task::yield_now;

/// Long enough not to be over, so that a timer is armed.
const LONG: Duration = Duration::from_secs(600);

type Outcome = Result<(), Denied>;

/// A limiter of one slot that another holds and gives up, and a neighbour in line behind the future under test.
async fn the_slot_goes_on<F>(
    harness: Harness,
    acquire: impl AsyncFn(Arc<ConcurrencyLimiter>) -> Outcome + Clone + 'static,
    limiter: F,
) where
    F: Fn() -> Arc<ConcurrencyLimiter>,
{
    let report = harness.run(
        async || {
            let limiter = limiter();
            let held = limiter.acquire_owned().await.unwrap();
            let (other, acquire) = (limiter.clone(), acquire.clone());
            let neighbour = tokio::spawn({
                let limiter = limiter.clone();
                async move {
                    // Behind the future, which is polled first.
                    yield_now().await;
                    limiter.acquire().await.unwrap().success();
                }
            });
            tokio::spawn(async move {
                yield_now().await;
                yield_now().await;
                held.success();
            });
            ((limiter, neighbour), async move { acquire(other).await })
        },
        async |(limiter, neighbour), ending: Ending<Outcome>| {
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(()));
            }
            neighbour.await.unwrap();
            let seen = limiter.snapshot();
            assert_eq!((seen.in_flight, seen.waiters, seen.denied), (0, 0, 0));
            limiter.try_acquire().unwrap().success();
        },
    );
    let report = report.await;
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

fn one() -> Arc<ConcurrencyLimiter> {
    Arc::new(ConcurrencyLimiter::fixed(1))
}

#[tokio::test]
async fn a_slot_goes_on() {
    the_slot_goes_on(
        Harness::new("ConcurrencyLimiter::acquire"),
        async |limiter| {
            let wait: AcquirePermit<&ConcurrencyLimiter> = limiter.acquire();
            wait.await.map(Permit::success)
        },
        one,
    )
    .await;
    the_slot_goes_on(
        Harness::new("ConcurrencyLimiter::acquire_within"),
        async |limiter| limiter.acquire_within(LONG).await.map(Permit::success),
        one,
    )
    .await;
    the_slot_goes_on(
        Harness::new("ConcurrencyLimiter::acquire_owned"),
        async |limiter| limiter.acquire_owned().await.map(Permit::success),
        one,
    )
    .await;
    the_slot_goes_on(
        Harness::new("ConcurrencyLimiter::acquire_owned_within"),
        async |limiter| {
            limiter
                .acquire_owned_within(LONG)
                .await
                .map(Permit::success)
        },
        one,
    )
    .await;
}

/// As above, of a key; and nothing is kept of the key.
async fn a_key_goes_on(
    harness: Harness,
    acquire: impl AsyncFn(Arc<KeyedConcurrency<u8>>) -> Outcome + Clone + 'static,
) {
    let report = harness.run(
        async || {
            let keys = Arc::new(KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)));
            let held = keys.acquire_owned(1).await.unwrap();
            let (other, acquire) = (keys.clone(), acquire.clone());
            let neighbour = tokio::spawn({
                let keys = keys.clone();
                async move {
                    yield_now().await;
                    keys.acquire(1).await.unwrap().success();
                }
            });
            tokio::spawn(async move {
                yield_now().await;
                yield_now().await;
                held.success();
            });
            ((keys, neighbour), async move { acquire(other).await })
        },
        async |(keys, neighbour), ending: Ending<Outcome>| {
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome, Ok(()));
            }
            neighbour.await.unwrap();
            assert!(keys.is_empty(), "{keys:?}");
            keys.try_acquire(1).unwrap().success();
        },
    );
    let report = report.await;
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test]
async fn the_slot_of_a_key_goes_on_and_the_key_goes() {
    a_key_goes_on(Harness::new("KeyedConcurrency::acquire"), async |keys| {
        keys.acquire(1).await.map(Permit::success)
    })
    .await;
    a_key_goes_on(
        Harness::new("KeyedConcurrency::acquire_within"),
        async |keys| keys.acquire_within(1, LONG).await.map(Permit::success),
    )
    .await;
    a_key_goes_on(
        Harness::new("KeyedConcurrency::acquire_owned"),
        async |keys| keys.acquire_owned(1).await.map(Permit::success),
    )
    .await;
    a_key_goes_on(
        Harness::new("KeyedConcurrency::acquire_owned_within"),
        async |keys| {
            keys.acquire_owned_within(1, LONG)
                .await
                .map(Permit::success)
        },
    )
    .await;
}
