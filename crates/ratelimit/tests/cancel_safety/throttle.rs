use std::time::Duration;

use shibuya_ratelimit::concurrency::Permit;
use shibuya_ratelimit::{
    AcquireThrottled, ConcurrencyLimiter, Denied, Keyed, KeyedConcurrency, KeyedThrottle, Quota,
    RateLimiter, Throttle,
};
use shibuya_testkit::{Ending, Harness};
use tokio::task::yield_now;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// One slot, which another gives up, and a rate of which nothing is left: the future waits for the one and then for the other, and a
/// neighbour behind it for both.
async fn nothing_is_lost(
    harness: Harness,
    acquire: impl Fn(Throttle) -> AcquireThrottled + Clone + 'static,
) {
    let report = harness.run(
        async || {
            let throttle = Throttle::new(RateLimiter::every(10 * MS), ConcurrencyLimiter::fixed(1));
            let start = Instant::now();
            let held = throttle.try_acquire().unwrap();
            let neighbour = tokio::spawn({
                let throttle = throttle.clone();
                async move {
                    // Behind the future, which is polled first.
                    yield_now().await;
                    throttle.acquire().await.unwrap().success();
                    start.elapsed()
                }
            });
            tokio::spawn(async move {
                yield_now().await;
                yield_now().await;
                held.success();
            });
            let wait = acquire(throttle.clone());
            let passes = async move { wait.await.map(Permit::success) };
            ((throttle, neighbour), passes)
        },
        async |(throttle, neighbour), ending: Ending<Result<(), Denied>>| {
            let mut before = 0;
            if let Ending::Completed(granted) = ending {
                granted.unwrap();
                before = 1;
            }
            let waited = neighbour.await.unwrap();
            assert_eq!(waited.as_millis() / 10, 1 + before, "a token was lost");
            let (rate, slots) = (
                throttle.rate().snapshot(),
                throttle.concurrency().snapshot(),
            );
            assert_eq!((rate.waiters, slots.waiters, slots.in_flight), (0, 0, 0));
            assert_eq!((slots.succeeded, slots.denied), (2 + before as u64, 0));
        },
    );
    let report = report.await;
    assert!(
        report.polls >= 3,
        "it waited for one of the two only: {report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn acquire() {
    nothing_is_lost(Harness::new("Throttle::acquire"), |throttle| {
        throttle.acquire()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn acquire_within() {
    nothing_is_lost(Harness::new("Throttle::acquire_within"), |throttle| {
        throttle.acquire_within(500 * MS)
    })
    .await;
}

/// As above, of a key; and nothing is kept of the key.
#[tokio::test(start_paused = true)]
async fn acquire_of_a_key() {
    let report = Harness::new("KeyedThrottle::acquire").run(
        async || {
            let throttle = KeyedThrottle::new(
                Keyed::new(Quota::every(10 * MS)),
                KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)),
            );
            let start = Instant::now();
            let held = throttle.try_acquire(1).unwrap();
            let neighbour = tokio::spawn({
                let throttle = throttle.clone();
                async move {
                    yield_now().await;
                    throttle.acquire(1).await.unwrap().success();
                    start.elapsed()
                }
            });
            tokio::spawn(async move {
                yield_now().await;
                yield_now().await;
                held.success();
            });
            let wait = throttle.acquire(1);
            let passes = async move { wait.await.map(Permit::success) };
            ((throttle, neighbour), passes)
        },
        async |(throttle, neighbour), ending: Ending<Result<(), Denied>>| {
            let mut before = 0;
            if let Ending::Completed(granted) = ending {
                granted.unwrap();
                before = 1;
            }
            let waited = neighbour.await.unwrap();
            assert_eq!(waited.as_millis() / 10, 1 + before, "a token was lost");
            assert_eq!(throttle.rate().snapshot(&1).waiters, 0);
            assert!(throttle.concurrency().is_empty());
        },
    );
    let report = report.await;
    assert!(
        report.polls >= 3,
        "it waited for one of the two only: {report:?}"
    );
}
