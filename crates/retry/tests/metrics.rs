//! What is counted, by a recorder that keeps it all.
#![cfg(all(feature = "metrics", not(shibuya_loom)))]

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard, Metadata,
    Recorder, SharedString, Unit, set_default_local_recorder,
};
use shibuya_retry::metrics::{
    ATTEMPTS, BREAKER_CLOSED, BREAKER_OPENED, BREAKER_REFUSED, BUDGET_REFUSED, DELAY, GIVE_UPS,
    HEDGES, RETRIES,
};
use shibuya_retry::{Breaker, Budget, Delay, Jitter, Policy, Retryable, Verdict, hedge};
use tokio::time::{Instant, advance};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// 100, 200, 400 ms.
static EXACT: Policy = Policy::exponential(Duration::from_millis(100), SEC).jitter(Jitter::None);

/// All values of each name, with its label.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct One {
    kept: Kept,
    name: String,
}

impl One {
    fn note(&self, value: f64) {
        let mut kept = self.kept.0.lock().unwrap();
        kept.entry(self.name.clone()).or_default().push(value);
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.note(value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("they only grow");
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.note(value);
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
            .map(|label| format!(" {}={}", label.key(), label.value()))
            .collect();
        Arc::new(One {
            kept: self.clone(),
            name: format!("{}{labels}", key.name()),
        })
    }

    /// How often each was counted, and none that was not.
    #[track_caller]
    fn assert(&self, expected: &[(&str, usize)]) {
        let kept = self.0.lock().unwrap();
        let counts = kept
            .iter()
            .map(|(name, values)| (name.clone(), values.len()));
        let expected = expected
            .iter()
            .map(|(name, count)| (name.to_string(), *count));
        assert_eq!(counts.collect::<BTreeMap<_, _>>(), expected.collect());
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap()[name].clone()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        unreachable!("there are none");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

fn gave_up(reason: &str) -> String {
    format!("{GIVE_UPS} reason={reason}")
}

#[test]
fn the_names_stay() {
    let names = [
        ATTEMPTS,
        RETRIES,
        DELAY,
        GIVE_UPS,
        BUDGET_REFUSED,
        BREAKER_OPENED,
        BREAKER_CLOSED,
        BREAKER_REFUSED,
        HEDGES,
    ];
    let expected = [
        "shibuya_retry_attempts_total",
        "shibuya_retry_retries_total",
        "shibuya_retry_delay_seconds",
        "shibuya_retry_give_ups_total",
        "shibuya_retry_budget_refused_total",
        "shibuya_breaker_opened_total",
        "shibuya_breaker_closed_total",
        "shibuya_breaker_refused_total",
        "shibuya_hedge_hedges_total",
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
async fn a_success_is_an_attempt() {
    let kept = Kept::default();
    let _guard = kept.record();
    (|| ready(Ok::<_, ()>(1))).retry(&EXACT).await.unwrap();
    kept.assert(&[(ATTEMPTS, 1)]);
}

#[tokio::test(start_paused = true)]
async fn retries_and_their_delays_are_counted() {
    let kept = Kept::default();
    let _guard = kept.record();
    (|| ready(Err::<(), _>("down")))
        .retry(&EXACT)
        .await
        .unwrap_err();
    kept.assert(&[
        (ATTEMPTS, 4),
        (RETRIES, 3),
        (DELAY, 3),
        (&gave_up("exhausted"), 1),
    ]);
    assert_eq!(kept.values(DELAY), [0.1, 0.2, 0.4]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_to_wait_counts_once() {
    let kept = Kept::default();
    let _guard = kept.record();
    let policy = EXACT.max_retries(1);
    (|| pending::<Result<(), ()>>())
        .retry(&policy)
        .attempt_timeout(SEC)
        .await
        .unwrap_err();
    kept.assert(&[
        (ATTEMPTS, 2),
        (RETRIES, 1),
        (DELAY, 1),
        (&gave_up("exhausted"), 1),
    ]);
}

#[tokio::test(start_paused = true)]
async fn each_reason_has_its_label() {
    let budget = Budget::ratio(0.0).burst(0).min_per_sec(0);
    let fail = || ready(Err::<(), _>("down"));
    for reason in ["exhausted", "aborted", "deadline", "budget", "retry_after"] {
        let kept = Kept::default();
        let _guard = kept.record();
        let none = EXACT.max_retries(0);
        let end = match reason {
            "exhausted" => fail.retry(&none).await,
            "aborted" => fail.retry(&EXACT).when(|_| false).await,
            "deadline" => fail.retry(&EXACT).deadline(Instant::now() + MS).await,
            "budget" => fail.retry(&EXACT).budget(&budget).await,
            _ => {
                let hint = |_: &_, _: &_| Verdict::RetryAfter(1000 * SEC);
                fail.retry(&EXACT).classify(hint).await
            }
        };
        end.unwrap_err();
        let label = gave_up(reason);
        let mut expected = vec![(ATTEMPTS, 1), (&label[..], 1)];
        if reason == "budget" {
            expected.push((BUDGET_REFUSED, 1));
        }
        kept.assert(&expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_refuses_and_closes() {
    let kept = Kept::default();
    let _guard = kept.record();
    let breaker = Breaker::builder()
        .min_calls(2)
        .open_for(SEC)
        .probes(1)
        .build();
    for _ in 0..2 {
        breaker.try_acquire().unwrap().failure();
    }
    kept.assert(&[(BREAKER_OPENED, 1)]);
    for _ in 0..3 {
        breaker.try_acquire().unwrap_err();
    }
    advance(SEC).await;
    let probe = breaker.try_acquire().unwrap();
    breaker.try_acquire().unwrap_err();
    probe.failure();
    kept.assert(&[(BREAKER_OPENED, 2), (BREAKER_REFUSED, 4)]);
    advance(SEC).await;
    breaker.try_acquire().unwrap().success();
    kept.assert(&[
        (BREAKER_OPENED, 2),
        (BREAKER_REFUSED, 4),
        (BREAKER_CLOSED, 1),
    ]);
}

/// Asks the breaker for a permit whenever something is counted, which hangs if the breaker is locked.
#[derive(Clone)]
struct Asking(Arc<Breaker>, Arc<Mutex<u32>>);

impl CounterFn for Asking {
    fn increment(&self, _: u64) {
        // What it asks may be counted, too.
        if let Ok(mut asked) = self.1.try_lock() {
            *asked += 1;
            drop(self.0.try_acquire());
        }
    }

    fn absolute(&self, _: u64) {
        unreachable!("they only grow");
    }
}

impl Recorder for Asking {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(self.clone()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        unreachable!("there are none");
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("a breaker has none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_may_ask_the_breaker() {
    let breaker = Breaker::builder()
        .min_calls(1)
        .open_for(SEC)
        .probes(1)
        .build();
    let asking = Asking(Arc::new(breaker), Arc::default());
    let _guard = set_default_local_recorder(&asking);
    let breaker = &asking.0;
    breaker.try_acquire().unwrap().failure();
    breaker.try_acquire().unwrap_err();
    advance(SEC).await;
    let probe = breaker.try_acquire().unwrap();
    breaker.try_acquire().unwrap_err();
    probe.success();
    // Opened, refused twice, closed.
    assert_eq!(*asking.1.lock().unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn hedges_are_counted_and_refused() {
    let kept = Kept::default();
    let _guard = kept.record();
    let budget = Budget::ratio(0.0).burst(1).min_per_sec(0);
    let mut begun = 0;
    let slow = || {
        begun += 1;
        let number = begun;
        async move {
            tokio::time::sleep(30 * MS * number).await;
            Ok::<_, ()>(number)
        }
    };
    let answer = hedge(Delay::Fixed(10 * MS), slow)
        .max_hedges(2)
        .budget(&budget)
        .await;
    assert_eq!(answer, Ok(1));
    kept.assert(&[(HEDGES, 1), (BUDGET_REFUSED, 1)]);
}
