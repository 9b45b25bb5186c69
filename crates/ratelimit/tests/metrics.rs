//! What is counted, by a recorder that keeps it all.
#![cfg(all(feature = "metrics", not(shibuya_loom)))]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard,
    Metadata, Recorder, SharedString, Unit, set_default_local_recorder,
};
use shibuya_cancel::timeout;
use shibuya_ratelimit::distributed::{Distributed, Fail, Lease, Memory};
use shibuya_ratelimit::metrics::{DENIED, DISTRIBUTED, ENDED, GRANTED, LIMIT, WAIT, WAITERS};
use shibuya_ratelimit::{
    Aimd, ConcurrencyLimiter, Denied, Full, Keyed, KeyedConcurrency, Quota, RateLimiter,
};
use tokio::task::yield_now;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// The sum of each name with its labels, or the last value of one that is set; and of a histogram the values.
#[derive(Clone, Default)]
struct Kept {
    sums: Arc<Mutex<BTreeMap<String, f64>>>,
    values: Arc<Mutex<Vec<f64>>>,
    /// Is used by each call of the recorder, which hangs if it is locked.
    used: Option<Arc<dyn Fn() + Send + Sync>>,
}

struct One {
    kept: Kept,
    name: String,
}

impl One {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(
            self.kept
                .sums
                .lock()
                .unwrap()
                .entry(self.name.clone())
                .or_default(),
        );
        if let Some(used) = &self.kept.used {
            used();
        }
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.change(|sum| *sum += value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("they only grow");
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.change(|sum| *sum += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|sum| *sum -= value);
    }

    fn set(&self, value: f64) {
        self.change(|sum| *sum = value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.kept.values.lock().unwrap().push(value);
        self.change(|sum| *sum += 1.0);
    }
}

impl Kept {
    /// Keeps what this thread counts, until the guard is dropped.
    fn record(&self) -> LocalRecorderGuard<'_> {
        set_default_local_recorder(self)
    }

    fn one(&self, key: &Key) -> Arc<One> {
        let labels: String = key
            .labels()
            .map(|label| format!(" {}", label.value()))
            .collect();
        Arc::new(One {
            kept: self.clone(),
            name: format!("{}{labels}", key.name()),
        })
    }

    /// What each came to, and nothing else.
    #[track_caller]
    fn assert(&self, expected: &[(&str, &str, f64)]) {
        let sums = self.sums.lock().unwrap().clone();
        let expected = expected
            .iter()
            .map(|(name, labels, sum)| (format!("{name}{labels}"), *sum));
        assert_eq!(sums, expected.collect());
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

#[test]
fn the_names_stay() {
    let names = [GRANTED, DENIED, WAIT, WAITERS, ENDED, LIMIT, DISTRIBUTED];
    let expected = [
        "shibuya_ratelimit_granted_total",
        "shibuya_ratelimit_denied_total",
        "shibuya_ratelimit_wait_seconds",
        "shibuya_ratelimit_waiters",
        "shibuya_ratelimit_calls_total",
        "shibuya_ratelimit_concurrency_limit",
        "shibuya_ratelimit_distributed_total",
    ];
    assert_eq!(names, expected);
    let docs = include_str!("../src/metrics.rs");
    for name in expected {
        assert!(
            docs.contains(&format!("//! | `{name}` |")),
            "{name} is not listed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_to_ask_for_a_rate_counts_once() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = RateLimiter::every(10 * MS).burst(9);
    limit.try_acquire().unwrap();
    limit.try_acquire_n(2).unwrap();
    limit
        .try_acquire_at(1, tokio::time::Instant::now())
        .unwrap();
    limit.try_acquire_up_to(1).unwrap();
    limit.try_acquire_barging().unwrap();
    limit.reserve(1).unwrap().commit();
    limit.acquire().await.unwrap();
    limit.acquire_within(1, SEC).await.unwrap();
    kept.assert(&[(GRANTED, " rate", 8.0)]);
    limit.try_acquire().unwrap_err();
    limit.try_acquire_up_to(2).unwrap_err();
    limit.try_acquire_barging().unwrap_err();
    limit.try_acquire_n(10).unwrap_err();
    limit.acquire_n(10).await.unwrap_err();
    kept.assert(&[
        (GRANTED, " rate", 8.0),
        (DENIED, " rate retry_after", 3.0),
        (DENIED, " rate exceeds_burst", 2.0),
    ]);
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_rate_are_counted_and_timed() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = RateLimiter::every(20 * MS).max_waiters(1);
    limit.try_acquire().unwrap();
    let waits = [(); 2].map(|()| tokio::spawn(limit.acquire_owned(1)));
    yield_now().await;
    kept.assert(&[
        (GRANTED, " rate", 1.0),
        (WAITERS, " rate", 1.0),
        (DENIED, " rate queue_full", 1.0),
    ]);
    for (wait, is_granted) in waits.into_iter().zip([true, false]) {
        assert_eq!(wait.await.unwrap().is_ok(), is_granted);
    }
    kept.assert(&[
        (GRANTED, " rate", 2.0),
        (WAITERS, " rate", 0.0),
        (WAIT, " rate", 1.0),
        (DENIED, " rate queue_full", 1.0),
    ]);
    assert_eq!(*kept.values.lock().unwrap(), [0.02]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_is_no_answer() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = RateLimiter::every(SEC);
    limit.try_acquire().unwrap();
    let mut wait = Box::pin(limit.acquire());
    poll_once(&mut wait).await;
    drop(wait);
    kept.assert(&[(GRANTED, " rate", 1.0), (WAITERS, " rate", 0.0)]);
}

#[tokio::test(start_paused = true)]
async fn each_reason_has_its_label() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = RateLimiter::every(SEC);
    limit.try_acquire().unwrap();
    limit.acquire_within(1, MS).await.unwrap_err();
    let wait = tokio::spawn(limit.acquire_owned_within(1, SEC));
    yield_now().await;
    limit.set_rate(1, 9 * SEC);
    assert!(matches!(wait.await.unwrap(), Err(Denied::TimedOut { .. })));
    limit.close();
    limit.try_acquire().unwrap_err();
    limit.try_acquire_barging().unwrap_err();
    limit.acquire().await.unwrap_err();
    kept.assert(&[
        (GRANTED, " rate", 1.0),
        (WAITERS, " rate", 0.0),
        (DENIED, " rate hopeless", 1.0),
        (DENIED, " rate timed_out", 1.0),
        (DENIED, " rate closed", 3.0),
    ]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_counted_as_one() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = Keyed::new(Quota::every(10 * MS))
        .max_keys(1)
        .on_full(Full::Deny);
    limit.try_acquire(&1).unwrap();
    limit.try_acquire(&1).unwrap_err();
    limit.try_acquire_n(&1, 2).unwrap_err();
    limit.acquire(&1).await.unwrap();
    let others = (2..99).filter(|key| limit.try_acquire(key).is_err());
    let full = others.count() as f64;
    limit.acquire_n(&1, 2).await.unwrap_err();
    kept.assert(&[
        (GRANTED, " rate", 2.0 + 97.0 - full),
        (WAITERS, " rate", 0.0),
        (WAIT, " rate", 1.0),
        (DENIED, " rate retry_after", 1.0),
        (DENIED, " rate exceeds_burst", 2.0),
        (DENIED, " rate too_many_keys", full),
    ]);
}

#[tokio::test(start_paused = true)]
async fn calls_under_a_concurrency_limit_are_counted() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = Arc::new(ConcurrencyLimiter::fixed(1).max_waiters(1));
    let held = limit.try_acquire().unwrap();
    limit.try_acquire().unwrap_err();
    limit.acquire_within(30 * MS).await.unwrap_err();
    let wait = tokio::spawn(limit.acquire_owned());
    yield_now().await;
    limit.acquire().await.unwrap_err();
    tokio::time::advance(50 * MS).await;
    held.success();
    wait.await.unwrap().unwrap().overloaded();
    drop(limit.acquire().await.unwrap());
    limit.set_limit(7);
    limit.close();
    limit.try_acquire().unwrap_err();
    kept.assert(&[
        (GRANTED, " concurrency", 3.0),
        (WAITERS, " concurrency", 0.0),
        (WAIT, " concurrency", 1.0),
        (DENIED, " concurrency at_limit", 1.0),
        (DENIED, " concurrency timed_out", 1.0),
        (DENIED, " concurrency queue_full", 1.0),
        (DENIED, " concurrency closed", 1.0),
        (ENDED, " success", 1.0),
        (ENDED, " overloaded", 1.0),
        (ENDED, " ignored", 1.0),
        (LIMIT, "", 7.0),
    ]);
    assert_eq!(*kept.values.lock().unwrap(), [0.05]);
    let seen = limit.snapshot();
    assert_eq!((seen.granted, seen.denied), (3, 4), "as the limiter counts");
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_concurrency_limits_are_counted_as_one() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limits = KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)).max_keys(1);
    let held = limits.try_acquire(1).unwrap();
    limits.try_acquire(1).unwrap_err();
    limits.try_acquire(2).unwrap_err();
    timeout(MS, limits.acquire(2)).await.unwrap().unwrap_err();
    held.success();
    kept.assert(&[
        (GRANTED, " concurrency", 1.0),
        (DENIED, " concurrency at_limit", 1.0),
        (DENIED, " concurrency too_many_keys", 2.0),
        (ENDED, " success", 1.0),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_adapts_tells_what_it_is() {
    let kept = Kept::default();
    let _guard = kept.record();
    let limit = ConcurrencyLimiter::adaptive(Aimd::default());
    limit.try_acquire().unwrap().overloaded();
    let found = limit.limit() as f64;
    kept.assert(&[
        (GRANTED, " concurrency", 1.0),
        (ENDED, " overloaded", 1.0),
        (LIMIT, "", found),
    ]);
}

/// It would hang, were something counted under a lock.
#[tokio::test(start_paused = true)]
async fn a_recorder_may_use_the_limits() {
    let rate = RateLimiter::every(10 * MS);
    let keyed = Keyed::new(Quota::every(10 * MS));
    let slots = Arc::new(ConcurrencyLimiter::adaptive(Aimd::default()));
    let keys = Arc::new(KeyedConcurrency::new(|_: &u8| ConcurrencyLimiter::fixed(1)).max_keys(1));
    let used = Arc::new(Mutex::new(0));
    let kept = Kept {
        used: Some({
            let (rate, keyed, used) = (rate.clone(), keyed.clone(), used.clone());
            let (slots, keys) = (slots.clone(), keys.clone());
            Arc::new(move || {
                rate.snapshot();
                keyed.snapshot(&1);
                slots.snapshot();
                keys.len();
                *used.lock().unwrap() += 1;
            })
        }),
        ..Kept::default()
    };
    let _guard = kept.record();
    for _ in 0..2 {
        rate.acquire().await.unwrap();
        keyed.acquire(&1).await.unwrap();
    }
    rate.try_acquire().unwrap_err();
    keyed.try_acquire(&1).unwrap_err();
    slots.acquire().await.unwrap().overloaded();
    let held = keys.try_acquire(1).unwrap();
    keys.try_acquire(2).unwrap_err();
    let wait = tokio::spawn(keys.acquire_owned(1));
    yield_now().await;
    held.success();
    wait.await.unwrap().unwrap().success();
    // The granted, and three for each of two that waited; denied; ended; and a limit that changed.
    assert_eq!(*used.lock().unwrap(), 7 + 2 * 3 + 3 + 3 + 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_shared_limit_does_is_counted_as_its_snapshot_has_it() {
    let limit = Distributed::new(Memory::new(), Quota::every(10 * MS).burst(8));
    let limit = Arc::new(limit.lease(Lease::up_to(2)).on_error(Fail::Open));
    let kept = Kept {
        used: Some({
            let limit = limit.clone();
            Arc::new(move || assert_eq!(limit.snapshot().keys, 1)) // outside of all locks
        }),
        ..Kept::default()
    };
    let _guard = kept.record();
    for _ in 0..20 {
        let _ = limit.try_acquire("key").await;
        tokio::time::advance(MS).await;
    }
    let seen = limit.snapshot();
    assert!(seen.granted_from_lease > 0 && seen.denied_from_memory > 0);
    let sums = kept.sums.lock().unwrap().clone();
    for (event, counted) in [
        ("round_trip", seen.round_trips),
        ("granted_from_lease", seen.granted_from_lease),
        ("denied_from_memory", seen.denied_from_memory),
    ] {
        let name = format!("{DISTRIBUTED} {event}");
        assert_eq!(sums.get(&name), Some(&(counted as f64)), "{event}");
    }
}
