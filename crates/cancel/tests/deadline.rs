//! What a deadline promises, alone and nested in others.
#![cfg(not(shibuya_loom))]

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use shibuya_cancel::{
    CancelScope, Elapsed, InScope, Reason, cancel_after, cancelled, check, current_deadline,
    deadline, raw, remaining, timeout, timeout_or,
};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, sleep_until};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};

const MS: Duration = Duration::from_millis(1);

/// A second is long, for what must have been dropped before.
const LONG: Duration = Duration::from_secs(1);

/// Only a deadline makes one.
fn elapsed() -> Elapsed {
    assert_ready!(task::spawn(timeout(Duration::ZERO, pending::<()>())).poll()).unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_value_in_time_is_given() {
    assert_eq!(timeout(10 * MS, async { 1 }).await, Ok(1));
    let slept = timeout(10 * MS, async {
        sleep(9 * MS).await;
        2
    });
    assert_eq!(slept.await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn the_time_over_is_told_when_it_is() {
    let start = Instant::now();
    assert_eq!(timeout(10 * MS, pending::<()>()).await, Err(elapsed()));
    assert_eq!(start.elapsed(), 10 * MS);
    assert_eq!(
        deadline(start + 30 * MS, pending::<()>()).await,
        Err(elapsed())
    );
    assert_eq!(start.elapsed(), 30 * MS);
    assert_eq!(timeout_or(10 * MS, pending(), "default").await, "default");
    assert_eq!(
        timeout_or(10 * MS, async { "value" }, "default").await,
        "value"
    );
    assert_eq!(start.elapsed(), 40 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_ready_at_the_same_poll_wins() {
    let at = Instant::now() + 10 * MS;
    assert_eq!(deadline(at, async { sleep_until(at).await }).await, Ok(()));
    assert_eq!(timeout_or(10 * MS, sleep(10 * MS).map(|()| 1), 2).await, 1);
}

#[tokio::test(start_paused = true)]
async fn with_no_time_nothing_is_polled() {
    let never = || async { panic!("polled") };
    let past = Instant::now();
    advance(MS).await;
    assert_eq!(deadline(past, never()).await, Err(elapsed()));
    assert_eq!(deadline(Instant::now(), never()).await, Err(elapsed()));
    assert_eq!(timeout(Duration::ZERO, never()).await, Err(elapsed()));
    assert_eq!(timeout_or(Duration::ZERO, pending(), 7).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_past_deadline_drops_what_it_never_polled() {
    let (alive, watch) = tokio::sync::oneshot::channel::<()>();
    let mut late = pin!(timeout(Duration::ZERO, async move {
        let _alive = alive;
        pending::<()>().await;
    }));
    assert_eq!(late.as_mut().await, Err(elapsed()));
    assert!(
        watch.await.is_err(),
        "it lives on in the future that is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_limits_never_end() {
    for limit in [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(1 << 33),
    ] {
        let value = timeout(limit, async {
            yield_now().await;
            sleep(LONG).await;
            7
        });
        assert_eq!(value.await, Ok(7));
    }
    let unlimited = timeout(Duration::MAX, async { (remaining(), current_deadline()) });
    assert_eq!(unlimited.await, Ok((None, None)));
    let limited = timeout(LONG, timeout(Duration::MAX, async { remaining() }));
    assert_eq!(limited.await, Ok(Ok(Some(LONG))));
}

#[tokio::test(start_paused = true)]
async fn the_outer_is_earlier_and_the_inner_never_answers() {
    let start = Instant::now();
    let mut answered = false;
    let outer = timeout(10 * MS, async {
        let _ = timeout(20 * MS, pending::<()>()).await;
        answered = true;
    });
    assert_eq!(outer.await, Err(elapsed()));
    assert!(!answered);
    assert_eq!(start.elapsed(), 10 * MS);
}

#[tokio::test(start_paused = true)]
async fn the_same_instant_is_the_outers() {
    let at = Instant::now() + 10 * MS;
    assert_eq!(
        deadline(at, deadline(at, pending::<()>())).await,
        Err(elapsed())
    );
    let wrapped = deadline(at + LONG, deadline(at, pending::<()>())).await;
    assert_eq!(wrapped, Ok(Err(elapsed())));
}

#[tokio::test(start_paused = true)]
async fn the_inner_is_earlier_and_the_outer_goes_on() {
    let start = Instant::now();
    let outer = timeout(20 * MS, async {
        assert_eq!(timeout(10 * MS, pending::<()>()).await, Err(elapsed()));
        assert_eq!(remaining(), Some(10 * MS));
        pending::<()>().await;
    });
    assert_eq!(outer.await, Err(elapsed()));
    assert_eq!(start.elapsed(), 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn remaining_is_the_least_of_all_around() {
    assert_eq!((remaining(), current_deadline()), (None, None));
    timeout(30 * MS, async {
        assert_eq!(remaining(), Some(30 * MS));
        timeout(LONG, async { assert_eq!(remaining(), Some(30 * MS)) })
            .await
            .unwrap();
        timeout(10 * MS, async {
            assert_eq!(remaining(), Some(10 * MS));
            sleep(4 * MS).await;
            assert_eq!(remaining(), Some(6 * MS));
        })
        .await
        .unwrap();
        assert_eq!(remaining(), Some(26 * MS));
        advance(LONG).await;
        assert_eq!(remaining(), Some(Duration::ZERO));
        assert!(check().is_ok(), "a deadline alone cancels no scope");
    })
    .await
    .unwrap();
    assert_eq!(remaining(), None);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_polled_late_ends_at_once() {
    let late = timeout(10 * MS, pending::<()>());
    let mut polled = task::spawn(timeout(10 * MS, async {
        yield_now().await;
        pending::<()>().await;
    }));
    assert_pending!(polled.poll());
    advance(LONG).await;
    let start = Instant::now();
    assert_eq!(late.await, Err(elapsed()));
    // A value still wins where it was polled once, and at this poll there is none.
    assert_ready_eq!(polled.poll(), Err(elapsed()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_that_moves_to_another_task_keeps_its_time() {
    let start = Instant::now();
    let mut moved = Box::pin(timeout(20 * MS, pending::<()>()));
    // Here an earlier deadline drops all that it polls, so this one arms no timer.
    assert_eq!(timeout(10 * MS, moved.as_mut()).await, Err(elapsed()));
    assert_eq!(tokio::spawn(moved).await.unwrap(), Err(elapsed()));
    assert_eq!(start.elapsed(), 20 * MS);
}

/// Regression: the inner deadlines, polled once within an earlier one that borrowed the stream,
/// armed no timer, and the stream never polled them again.
#[tokio::test(start_paused = true)]
async fn deadlines_in_a_stream_outlive_a_deadline_that_borrowed_it() {
    let start = Instant::now();
    let mut requests: FuturesUnordered<_> = (0..3)
        .map(|n| timeout((20 + n) * MS, pending::<()>()))
        .collect();
    assert!(timeout(10 * MS, requests.next()).await.is_err());
    for n in 0..3 {
        assert_eq!(requests.next().await, Some(Err(elapsed())));
        assert_eq!(start.elapsed(), (20 + n) * MS);
    }
}

/// The same where one future is shared.
#[tokio::test(start_paused = true)]
async fn a_deadline_in_a_shared_future_outlives_a_waiter_with_less_time() {
    let start = Instant::now();
    let shared = timeout(20 * MS, pending::<()>()).shared();
    let patient = tokio::spawn(shared.clone());
    let mut hasty = pin!(timeout(10 * MS, shared));
    assert!(hasty.as_mut().await.is_err());
    assert_eq!(patient.await.unwrap(), Err(elapsed()));
    assert_eq!(start.elapsed(), 20 * MS);
}

/// The same for a scope with a deadline.
#[tokio::test(start_paused = true)]
async fn scopes_in_a_stream_outlive_a_deadline_that_borrowed_it() {
    let start = Instant::now();
    let scope = CancelScope::builder().timeout(20 * MS).build();
    let mut runs = FuturesUnordered::from_iter([scope.run(pending::<()>())]);
    assert!(timeout(10 * MS, runs.next()).await.is_err());
    let ended = runs.next().await.unwrap().unwrap_err();
    assert!(ended.is_deadline());
    assert_eq!(start.elapsed(), 20 * MS);
}

/// And for the tasks of a local set.
#[tokio::test(start_paused = true)]
async fn deadlines_in_a_local_set_outlive_a_deadline_around_it() {
    let start = Instant::now();
    let local = tokio::task::LocalSet::new();
    let inner = local.spawn_local(timeout(20 * MS, pending::<()>()));
    assert!(
        timeout(10 * MS, local.run_until(pending::<()>()))
            .await
            .is_err()
    );
    assert_eq!(local.run_until(inner).await.unwrap(), Err(elapsed()));
    assert_eq!(start.elapsed(), 20 * MS);
}

/// What one of them runs nested goes by the one that really polls it.
#[tokio::test(start_paused = true)]
async fn nested_deadlines_in_a_stream_go_by_their_own() {
    let start = Instant::now();
    let nested = timeout(40 * MS, async {
        let inner = timeout(30 * MS, pending::<()>()).await;
        assert_eq!(inner, Err(elapsed()));
        start.elapsed()
    });
    let mut stream = FuturesUnordered::from_iter([nested]);
    assert!(timeout(10 * MS, stream.next()).await.is_err());
    assert_eq!(stream.next().await, Some(Ok(30 * MS)));
}

#[tokio::test(start_paused = true)]
async fn in_scope_sees_the_deadline_and_is_not_cut() {
    let start = Instant::now();
    let elsewhere = timeout(10 * MS, async {
        let inside = async {
            assert_eq!(remaining(), Some(10 * MS));
            // Nobody drops this at ten, so the later limit is kept.
            assert_eq!(timeout(20 * MS, pending::<()>()).await, Err(elapsed()));
            assert_eq!(remaining(), Some(Duration::ZERO));
        };
        Some(inside.in_scope())
    });
    let carried = elsewhere.await.unwrap().unwrap();
    tokio::spawn(carried).await.unwrap();
    assert_eq!(start.elapsed(), 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn in_scope_within_another_deadline_shows_the_earlier_one() {
    let (short, long) = timeout(10 * MS, async {
        (
            async { remaining() }.in_scope(),
            async { remaining() }.in_scope(),
        )
    })
    .await
    .unwrap();
    assert_eq!(timeout(4 * MS, short).await, Ok(Some(4 * MS)));
    assert_eq!(timeout(LONG, long).await, Ok(Some(10 * MS)));
}

#[tokio::test(start_paused = true)]
async fn in_the_grace_of_a_scope_the_told_apart_stays_told_apart() {
    let start = Instant::now();
    let scope = CancelScope::builder().timeout(10 * MS).grace(LONG).build();
    let value = scope.run(async {
        cancelled().await;
        let both = timeout(10 * MS, timeout(10 * MS, pending::<()>())).await;
        assert_eq!(both, Err(elapsed()), "the outer one comes no later");
        let inner = timeout(20 * MS, timeout(10 * MS, pending::<()>())).await;
        assert_eq!(inner, Ok(Err(elapsed())));
        start.elapsed()
    });
    assert_eq!(value.await, Ok(30 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_around_a_scope_gives_no_grace() {
    let start = Instant::now();
    let scope = CancelScope::builder().grace(LONG).build();
    assert_eq!(
        timeout(10 * MS, scope.run(pending::<()>())).await,
        Err(elapsed())
    );
    assert_eq!(start.elapsed(), 10 * MS);
    assert!(!scope.is_cancelled(), "it was dropped, not cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_scope_inside_a_deadline_answers_itself() {
    let scope = CancelScope::builder().timeout(10 * MS).build();
    let ended = timeout(20 * MS, scope.run(pending::<()>())).await.unwrap();
    assert!(ended.unwrap_err().is_deadline());
    let later = CancelScope::builder().timeout(20 * MS).build();
    assert_eq!(
        timeout(10 * MS, later.run(pending::<()>())).await,
        Err(elapsed())
    );
}

#[tokio::test(start_paused = true)]
async fn cancel_after_asks_and_never_forces() {
    let start = Instant::now();
    let value = cancel_after(10 * MS, async {
        let why = cancelled().await;
        assert_eq!((why, start.elapsed()), (Reason::Deadline, 10 * MS));
        assert!(check().unwrap_err().is_deadline());
        sleep(LONG).await;
        "in its own time"
    });
    assert_eq!(value.await, "in its own time");
    assert!(check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn cancel_after_hears_of_a_cancellation_further_out() {
    let scope = CancelScope::builder().grace(LONG).build();
    let value = scope.run(cancel_after(LONG, async { cancelled().await }));
    // Made outside of the scope, so it is not the scope's.
    let mut apart = task::spawn(value);
    assert_pending!(apart.poll());
    scope.cancel(Reason::Shutdown);
    assert_pending!(apart.poll());
    let within = scope.run(async { cancel_after(LONG, async { cancelled().await }).await });
    assert_eq!(within.await, Ok(Reason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_only_checks_is_asked_by_cancel_after() {
    let laps = cancel_after(10 * MS, async {
        let mut laps = 0;
        while check().is_ok() {
            laps += 1;
            sleep(3 * MS).await;
        }
        laps
    });
    assert_eq!(laps.await, 4);
    // Nothing wakes this one but the request itself.
    let asked = cancel_after(
        10 * MS,
        poll_fn(|_| match check() {
            Ok(()) => Poll::Pending,
            Err(why) => Poll::Ready(why.into_reason()),
        }),
    );
    assert_eq!(asked.await, Reason::Deadline);
}

/// A group made inside passes this on to tasks that the deadline does not own.
#[tokio::test(start_paused = true)]
async fn a_deadline_claims_no_cut_but_for_who_is_polled_in_it() {
    let at = Instant::now() + 10 * MS;
    let inside = deadline(
        at,
        poll_fn(|cx| {
            assert!(!raw::bound().cuts());
            assert!(raw::covers(at.into(), cx) && !raw::covers((at - MS).into(), cx));
            let other = &mut Context::from_waker(Waker::noop());
            assert!(!raw::covers(at.into(), other));
            Poll::Ready(())
        }),
    );
    assert_eq!(inside.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_the_front_page_says_of_tokios_timeout() {
    use tokio::time::{timeout, timeout_at};
    assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    let at = Instant::now() + 10 * MS;
    let both = timeout_at(at, timeout_at(at, pending::<()>())).await;
    assert!(both.unwrap().is_err(), "the inner one answers");
}

/// The clock is real here, and there is no runtime.
#[test]
fn looking_needs_no_runtime() {
    assert!(check().is_ok());
    assert_eq!((remaining(), current_deadline()), (None, None));
    let mut limited = task::spawn(timeout(LONG, async {
        let left = remaining().unwrap();
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
        current_deadline().unwrap()
    }));
    assert_ready!(limited.poll()).unwrap();
    let scope = CancelScope::new();
    let mut run = task::spawn(scope.run(async {
        scope.cancel(Reason::Requested);
        check()
    }));
    assert!(assert_ready!(run.poll()).unwrap().is_err());
    assert_ready_eq!(task::spawn(scope.cancelled()).poll(), Reason::Requested);
}

#[test]
fn waiting_for_a_deadline_needs_one() {
    let waits = std::panic::catch_unwind(|| {
        let mut waits = task::spawn(timeout(LONG, pending::<()>()));
        let _ = waits.poll();
    });
    let message = *waits.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no reactor running"), "{message}");
    assert_eq!(remaining(), None);
}

/// A future that is polled on several threads takes what is in force along, and leaves nothing.
#[test]
fn nothing_is_left_on_a_thread_between_polls() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let at = {
        let _inside = runtime.enter();
        Instant::now() + 3600 * LONG
    };
    let scope = CancelScope::builder().deadline(at).build();
    let run = scope.run(deadline(
        at - LONG,
        poll_fn(|cx| {
            assert!(CancelScope::current().is_some() && remaining() > Some(3000 * LONG));
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    ));
    let mut polled: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(run);
    for _ in 0..4 {
        let handle = runtime.handle().clone();
        let moved = std::thread::spawn(move || {
            let _inside = handle.enter();
            assert_pending!(task::spawn(polled.as_mut()).poll());
            assert!(CancelScope::current().is_none() && remaining().is_none());
            polled
        });
        polled = moved.join().unwrap();
    }
}

#[tokio::test]
async fn what_never_waits_is_ended_all_the_same() {
    // It uses up all of its turn each time, and leaves the timer none of it.
    let busy = async {
        loop {
            tokio::task::consume_budget().await;
        }
    };
    let ended: Result<(), _> = timeout(Duration::from_millis(5), busy).await;
    assert!(ended.is_err());
}
