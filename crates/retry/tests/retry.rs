//! When the next attempt comes, and when there is none: on a paused clock, so to the millisecond.
#![cfg(not(shibuya_loom))]

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::time::Duration;

use shibuya_cancel::{CancelScope, remaining, timeout};
use shibuya_retry::{
    Failure, Jitter, Next, Policy, Reason, RetryError, Retryable, Verdict, retry_with,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// 100, 200, 400, 800, 1000, 1000 … ms, with nothing left to chance.
static EXACT: Policy = Policy::exponential(Duration::from_millis(100), SEC)
    .max_retries(5)
    .jitter(Jitter::None);

/// When each attempt began, for an operation that always fails.
async fn attempts(policy: &Policy) -> (Vec<u64>, RetryError<&'static str>) {
    let begin = Instant::now();
    let mut at = Vec::new();
    let failed = (|| {
        at.push(begin.elapsed().as_millis() as u64);
        ready(Err::<(), _>("down"))
    })
    .retry(policy)
    .await;
    (at, failed.unwrap_err())
}

#[tokio::test(start_paused = true)]
async fn the_delays_are_the_policys() {
    let (at, error) = attempts(&EXACT).await;
    assert_eq!(at, [0, 100, 300, 700, 1500, 2500]);
    assert_eq!(error.reason(), Reason::Exhausted);
    assert_eq!(error.attempts(), 6);
    assert_eq!(error.elapsed(), 2500 * MS);

    let linear = Policy::linear(10 * MS, 25 * MS)
        .max_retries(4)
        .jitter(Jitter::None);
    assert_eq!(attempts(&linear).await.0, [0, 10, 30, 55, 80]);
    let constant = Policy::constant(7 * MS).max_retries(3).jitter(Jitter::None);
    assert_eq!(attempts(&constant).await.0, [0, 7, 14, 21]);
}

#[tokio::test(start_paused = true)]
async fn no_retries_are_one_attempt() {
    let (at, error) = attempts(&EXACT.max_retries(0)).await;
    assert_eq!(at, [0]);
    assert_eq!(error.to_string(), "down (1 attempt; no retries are left)");
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_it() {
    let mut calls = 0;
    let value = (|| {
        calls += 1;
        ready(if calls == 3 { Ok(calls) } else { Err(()) })
    })
    .retry(&EXACT);
    assert_eq!(value.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_error_keeps_what_went_wrong_before() {
    let mut calls = 0;
    let mut fail = || {
        calls += 1;
        ready(Err::<(), _>(calls))
    };
    let error = (|| fail()).retry(&EXACT.history(2)).await.unwrap_err();
    assert_eq!(error.last(), &Failure::Error(6));
    let history: Vec<_> = error.history().copied().collect();
    assert_eq!(history, [Failure::Error(4), Failure::Error(5)]);
    assert_eq!(error.into_last(), Failure::Error(6));
    let error = (|| fail()).retry(&EXACT.history(0)).await.unwrap_err();
    assert_eq!(error.history().len(), 0);
    assert_eq!(error.into_error(), Some(12));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_retryable_ends_it_at_once() {
    let mut calls = 0;
    let error = (|| {
        calls += 1;
        ready(Err::<(), _>(calls))
    })
    .retry(&EXACT)
    .when(|error| *error < 2)
    .await
    .unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Aborted, 2));
    assert_eq!(error.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_the_least_and_comes_with_little_more() {
    let policy = Policy::constant(MS).jitter(Jitter::None);
    for hint in [Duration::ZERO, 3 * MS, 2 * SEC, 60 * SEC] {
        let begin = Instant::now();
        let mut first = true;
        (|| {
            ready(if std::mem::take(&mut first) {
                Err(())
            } else {
                Ok(())
            })
        })
        .retry(&policy)
        .classify(|_, _| Verdict::RetryAfter(hint))
        .await
        .unwrap();
        let waited = begin.elapsed();
        assert!(waited >= hint, "{waited:?} for {hint:?}");
        assert!(
            waited <= hint + hint / 10 + 2 * MS,
            "{waited:?} for {hint:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn three_hints_of_a_minute_take_three_minutes() {
    let begin = Instant::now();
    let error = (|| ready(Err::<(), _>("busy")))
        .retry(&EXACT.max_retries(3))
        .classify(|_, _| Verdict::RetryAfter(60 * SEC))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::Exhausted);
    assert!(begin.elapsed() >= 180 * SEC);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_ten_years_gets_no_retry() {
    let begin = Instant::now();
    let error = (|| ready(Err::<(), _>("moved")))
        .retry(&EXACT)
        .classify(|_, _| Verdict::RetryAfter(10 * 365 * 86_400 * SEC))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::RetryAfter);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_next_attempt_would_miss_ends_it_at_once_with_the_real_error() {
    let begin = Instant::now();
    let error = (|| ready(Err::<(), _>("down")))
        .retry(&Policy::constant(10 * SEC).jitter(Jitter::None))
        .deadline(begin + 800 * MS)
        .await
        .unwrap_err();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(error.reason(), Reason::Deadline);
    assert!(error.is_timeout());
    assert_eq!(error.into_error(), Some("down"));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_scope_counts_without_being_passed() {
    let begin = Instant::now();
    let answer = timeout(800 * MS, async {
        let error = (|| ready(Err::<(), _>("down")))
            .retry(&EXACT)
            .await
            .unwrap_err();
        (error.reason(), error.attempts())
    });
    // The attempts at 0, 100, 300 and 700 ms; the next would be at 1500.
    assert_eq!(answer.await, Ok((Reason::Deadline, 4)));
    assert_eq!(begin.elapsed(), 700 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_dropped_and_tried_again() {
    struct Dropped<'c>(&'c Cell<u32>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Cell::new(0);
    let begin = Instant::now();
    let seen = RefCell::new(Vec::new());
    let error = (|| async {
        assert_eq!(
            dropped.get() as usize,
            seen.borrow().len(),
            "the last one is gone by now"
        );
        seen.borrow_mut().push(remaining());
        let _held = Dropped(&dropped);
        pending::<Result<(), ()>>().await
    })
    .retry(&EXACT.max_retries(2))
    .attempt_timeout(50 * MS)
    .await
    .unwrap_err();
    assert_eq!(begin.elapsed(), 450 * MS);
    assert_eq!(error.reason(), Reason::Exhausted);
    assert!(error.last().is_timeout());
    assert_eq!(dropped.get(), 3);
    assert_eq!(*seen.borrow(), [Some(50 * MS); 3]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_dropped_at_the_deadline() {
    let begin = Instant::now();
    let error = (|| async {
        sleep(300 * MS).await;
        Err::<(), _>("late")
    })
    .retry(&EXACT)
    .deadline(begin + 500 * MS)
    .await
    .unwrap_err();
    assert_eq!(begin.elapsed(), 500 * MS);
    assert_eq!(error.reason(), Reason::Deadline);
    assert!(error.last().is_timeout());
    assert_eq!(error.history().next(), Some(&Failure::Error("late")));
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_nothing_is_asked() {
    let past = Instant::now();
    tokio::time::advance(MS).await;
    let error = (|| -> std::future::Ready<Result<(), ()>> { ready(Ok(())) })
        .retry(&EXACT)
        .deadline(past)
        .await
        .unwrap_err();
    assert!(error.last().is_timeout());
    assert_eq!(error.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_ends_with_its_scope() {
    let calls = Cell::new(0);
    let scope = CancelScope::new();
    let run = scope.run(async {
        (|| {
            calls.set(calls.get() + 1);
            ready(Err::<(), _>(()))
        })
        .retry(&EXACT)
        .await
    });
    let stop = async {
        sleep(250 * MS).await;
        scope.cancel(shibuya_cancel::Reason::Requested);
    };
    let (run, ()) = tokio::join!(run, stop);
    assert!(run.is_err());
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_healthy_time_it_begins_anew() {
    let policy = EXACT.max_retries(2).reset_after(60 * SEC);
    let begin = Instant::now();
    let mut calls = 0;
    let mut at = Vec::new();
    let error = (|| {
        calls += 1;
        at.push((begin.elapsed().as_millis()) as u64);
        let holds = calls == 3;
        async move {
            if holds {
                sleep(60 * SEC).await;
            }
            Err::<(), _>("closed")
        }
    })
    .retry(&policy)
    .await
    .unwrap_err();
    assert_eq!(at, [0, 100, 300, 60_400, 60_600]);
    assert_eq!((error.reason(), error.attempts()), (Reason::Exhausted, 5));
}

#[tokio::test(start_paused = true)]
async fn whoever_listens_hears_of_each_decision() {
    let heard = RefCell::new(Vec::new());
    let policy = EXACT.max_retries(2);
    let failed = (|| ready(Err::<(), _>("down")))
        .retry(&policy)
        .notify(|event| {
            assert_eq!(event.failure.error(), Some(&"down"));
            heard
                .borrow_mut()
                .push((event.attempt.number, event.attempt.elapsed, event.next));
        });
    failed.await.unwrap_err();
    assert_eq!(
        heard.into_inner(),
        [
            (1, Duration::ZERO, Next::Retry(100 * MS)),
            (2, 100 * MS, Next::Retry(200 * MS)),
            (3, 300 * MS, Next::GiveUp(Reason::Exhausted)),
        ]
    );
}

#[tokio::test]
async fn no_delay_waits_for_no_timer() {
    // Off the paused clock: a timer would take a millisecond at least, a hundred retries a tenth of a second.
    let begin = std::time::Instant::now();
    let policy = Policy::immediate().max_retries(10_000);
    let error = (|| ready(Err::<(), _>(())))
        .retry(&policy)
        .await
        .unwrap_err();
    assert_eq!(error.attempts(), 10_001);
    assert!(begin.elapsed() < SEC, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn who_retries_without_a_delay_lets_others_run() {
    let stop = Cell::new(false);
    let policy = Policy::immediate().max_retries(u32::MAX);
    let retry = (|| ready(if stop.get() { Ok(()) } else { Err(()) })).retry(&policy);
    let other = async {
        tokio::task::yield_now().await;
        stop.set(true);
    };
    let (retried, ()) = tokio::join!(retry, other);
    retried.unwrap();
}

#[tokio::test(start_paused = true)]
async fn retry_with_hands_the_context_from_attempt_to_attempt() {
    let mut seen = Vec::new();
    let policy = EXACT.max_retries(2);
    let failed = retry_with(&policy, &mut seen, async |seen: &mut Vec<usize>| {
        seen.push(seen.len());
        sleep(MS).await;
        Err::<(), _>(seen.len())
    });
    assert_eq!(failed.await.unwrap_err().into_error(), Some(3));
    assert_eq!(seen, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_an_attempt_goes_on() {
    let mut run = EXACT.start::<&str>().attempt_timeout(50 * MS);
    // Dropped half-way, by a `select!` for example.
    let lost = timeout(20 * MS, run.attempt(pending::<Result<(), _>>()));
    assert!(lost.await.is_err());
    let begin = Instant::now();
    let late = run.attempt(pending::<Result<(), _>>()).await;
    assert_eq!(late, Err(Failure::TimedOut));
    assert_eq!(begin.elapsed(), 50 * MS, "it had all of its time");
    run.backoff(Failure::TimedOut).await.unwrap();
    assert_eq!(run.attempt(ready(Ok(7))).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_panics_is_not_retried() {
    use std::panic::AssertUnwindSafe;
    let calls = Cell::new(0);
    let retry = (|| {
        calls.set(calls.get() + 1);
        async {
            tokio::task::yield_now().await;
            if true {
                panic!("a bug");
            }
            Err::<(), ()>(())
        }
    })
    .retry(&EXACT);
    let caught = futures_catch(AssertUnwindSafe(retry)).await;
    assert!(caught.is_err());
    assert_eq!(calls.get(), 1);
}

/// Catches a panic of any poll.
async fn futures_catch<F: std::future::Future>(
    fut: std::panic::AssertUnwindSafe<F>,
) -> std::thread::Result<F::Output> {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let mut fut = std::pin::pin!(fut.0);
    std::future::poll_fn(
        move |cx| match catch_unwind(AssertUnwindSafe(|| fut.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        },
    )
    .await
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`Retry` polled after it was done")]
async fn polled_after_its_end_it_says_so() {
    let mut retry = std::pin::pin!((|| ready(Ok::<_, ()>(()))).retry(&EXACT));
    retry.as_mut().await.unwrap();
    let _ = retry.await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_no_time_does_not_bring_all_back_at_once() {
    // As of a server whose clock is behind: its date is over when it is read.
    let begin = Instant::now();
    let policy = EXACT.max_retries(2);
    let failed = (|| ready(Err::<(), _>("busy")))
        .retry(&policy)
        .classify(|_, _| Verdict::RetryAfter(Duration::ZERO));
    failed.await.unwrap_err();
    assert_eq!(begin.elapsed(), 300 * MS);
}

#[tokio::test]
async fn an_attempt_that_never_waits_is_timed_out_all_the_same() {
    let policy = Policy::immediate().max_retries(1);
    let busy = || async {
        loop {
            tokio::task::consume_budget().await;
        }
        #[allow(unreachable_code)]
        Ok::<(), ()>(())
    };
    let failed = busy.retry(&policy).attempt_timeout(5 * MS).await;
    assert!(failed.unwrap_err().last().is_timeout());
}
