//! A rate and a limit on concurrency, behind one permit.
#![cfg(not(shibuya_loom))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shibuya_cancel::timeout;
use shibuya_ratelimit::concurrency::{Algorithm, Permit, Sample};
use shibuya_ratelimit::{
    ConcurrencyLimiter, Denied, Keyed, KeyedConcurrency, KeyedThrottle, Quota, RateLimiter,
    Throttle,
};
use static_assertions::assert_impl_all;
use tokio::time::{Instant, advance, sleep};

const MS: Duration = Duration::from_millis(1);

assert_impl_all!(Throttle: Send, Sync, Clone);
assert_impl_all!(shibuya_ratelimit::AcquireThrottled: Send, Sync);

fn throttle(rate: RateLimiter, slots: usize) -> Throttle {
    Throttle::new(rate, ConcurrencyLimiter::fixed(slots))
}

#[tokio::test(start_paused = true)]
async fn no_token_is_spent_on_a_call_that_has_no_slot() {
    let api = throttle(RateLimiter::every(10 * MS).burst(2), 1);
    let held = api.try_acquire().unwrap();
    assert_eq!(api.try_acquire().unwrap_err(), Denied::AtLimit { limit: 1 });
    let denied = api.acquire_within(MS).await.unwrap_err();
    assert_eq!(denied, Denied::TimedOut { after: MS });
    assert_eq!(api.rate().snapshot().remaining, 1);
    held.success();
}

#[tokio::test(start_paused = true)]
async fn no_slot_is_kept_by_a_call_that_the_rate_denied() {
    let api = throttle(RateLimiter::every(10 * MS), 1);
    api.try_acquire().unwrap().success();
    let denied = api.try_acquire().unwrap_err();
    assert_eq!(denied, Denied::RetryAfter(10 * MS));
    let denied = api.acquire_within(MS).await.unwrap_err();
    assert!(matches!(denied, Denied::Hopeless { .. }), "{denied:?}");
    let seen = api.concurrency().snapshot();
    assert_eq!((seen.in_flight, seen.succeeded, seen.ignored), (0, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_time_is_for_both_together() {
    let api = throttle(RateLimiter::every(10 * MS), 1);
    let held = api.try_acquire().unwrap();
    let call = tokio::spawn(api.acquire_within(8 * MS));
    sleep(5 * MS).await;
    held.success();
    // 3 ms are left, and the token comes in 5.
    let (needs, remaining) = (5 * MS, 3 * MS);
    let denied = call.await.unwrap().unwrap_err();
    assert_eq!(denied, Denied::Hopeless { needs, remaining });
}

#[tokio::test(start_paused = true)]
async fn it_ends_in_time_though_the_rate_became_slower() {
    let api = throttle(RateLimiter::every(10 * MS), 1);
    let held = api.try_acquire().unwrap();
    let start = Instant::now();
    let call = tokio::spawn(api.acquire_within(20 * MS));
    sleep(5 * MS).await;
    held.success();
    sleep(MS).await;
    api.rate().set_rate(1, Duration::from_secs(1));
    let denied = call.await.unwrap().unwrap_err();
    assert_eq!(denied, Denied::TimedOut { after: 20 * MS });
    assert_eq!(start.elapsed().as_millis(), 20);
    assert_eq!(api.concurrency().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_scope_holds() {
    let api = throttle(RateLimiter::per_minute(1), 1);
    api.try_acquire().unwrap().success();
    let denied = timeout(MS, api.acquire()).await.unwrap().unwrap_err();
    assert!(matches!(denied, Denied::Hopeless { .. }), "{denied:?}");
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let api = throttle(RateLimiter::every(10 * MS), 2);
    let (start, order) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let calls = [0, 1, 2, 3, 4, 5].map(|n| {
        let (wait, order) = (api.acquire(), order.clone());
        tokio::spawn(async move {
            let permit = wait.await.unwrap();
            order
                .lock()
                .unwrap()
                .push((n, start.elapsed().as_millis() / 10));
            sleep(15 * MS).await;
            permit.success();
        })
    });
    for call in calls {
        call.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert_eq!(*order, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

/// Keeps what it is told.
#[derive(Debug)]
struct Times(Arc<Mutex<Vec<Duration>>>);

impl Algorithm for Times {
    fn limit(&self) -> usize {
        1
    }

    fn update(&mut self, sample: Sample, _: Instant) -> usize {
        self.0.lock().unwrap().push(sample.rtt);
        1
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_token_is_no_time_of_the_call() {
    let times = Arc::default();
    let slots = ConcurrencyLimiter::adaptive(Times(Arc::clone(&times)));
    let api = Throttle::new(RateLimiter::every(100 * MS), slots);
    for call in [api.acquire(), api.acquire()] {
        let permit: Permit<_> = call.await.unwrap();
        advance(7 * MS).await;
        permit.success();
    }
    assert_eq!(*times.lock().unwrap(), [7 * MS, 7 * MS]);
}

#[tokio::test(start_paused = true)]
#[should_panic = "polled after it completed"]
async fn it_completes_once() {
    let api = throttle(RateLimiter::every(MS), 1);
    let mut wait = Box::pin(api.acquire());
    wait.as_mut().await.unwrap().success();
    let _ = wait.await;
}

#[tokio::test(start_paused = true)]
async fn each_key_has_both() {
    let api = KeyedThrottle::new(
        Keyed::new(Quota::every(10 * MS)),
        KeyedConcurrency::new(|slots: &usize| ConcurrencyLimiter::fixed(*slots)),
    );
    let held = api.try_acquire(1).unwrap();
    assert_eq!(
        api.try_acquire(1).unwrap_err(),
        Denied::AtLimit { limit: 1 }
    );
    let other = api.try_acquire(2).unwrap();
    assert_eq!(api.try_acquire(2).unwrap_err(), Denied::RetryAfter(10 * MS));
    held.success();
    let start = Instant::now();
    let denied = api.acquire_within(1, MS).await.unwrap_err();
    assert!(matches!(denied, Denied::Hopeless { .. }), "{denied:?}");
    api.acquire_within(1, 20 * MS).await.unwrap().success();
    assert_eq!(start.elapsed().as_millis() / 10, 1);
    other.success();
    assert!(api.concurrency().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_key_s_token_is_no_time_of_the_call() {
    let times = Arc::<Mutex<Vec<_>>>::default();
    let keep = Arc::clone(&times);
    let slots =
        KeyedConcurrency::new(move |_: &u8| ConcurrencyLimiter::adaptive(Times(keep.clone())));
    let api = KeyedThrottle::new(Keyed::new(Quota::every(100 * MS)), slots);
    for call in [api.acquire(1), api.acquire(1)] {
        let permit = call.await.unwrap();
        advance(7 * MS).await;
        permit.success();
    }
    assert_eq!(*times.lock().unwrap(), [7 * MS, 7 * MS]);
}
