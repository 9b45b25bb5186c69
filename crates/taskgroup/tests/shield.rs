//! What is shielded runs to its end, whoever is dropped around it, and its group waits for that.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shibuya_cancel::CancelScope;
use shibuya_taskgroup::{
    Cause, OnError, OrCancelled, Reason, TaskGroup, cancelled, check, remaining, shield,
};
use shibuya_testkit::{PanicOnDrop, Probes, cancel_at_every_poll};
use support::{HOUR, ms, on_threads, panic_message, panic_of, poll_once, text_of};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

fn flag() -> (Arc<AtomicBool>, impl Fn() -> bool) {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    (flag, move || seen.load(SeqCst))
}

async fn later(flag: Arc<AtomicBool>) {
    sleep(ms(20)).await;
    flag.store(true, SeqCst);
}

#[tokio::test(start_paused = true)]
async fn who_awaits_gets_the_value() {
    let sum =
        TaskGroup::<()>::run(
            async |g| Ok(shield(async { 40 }).await + g.shield(async { 2 }).await),
        );
    assert_eq!(sum.await.unwrap(), 42);
    assert_eq!(shield(async { 7 }).await, 7, "outside of any group");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_one_goes_on_and_the_group_waits() {
    let (done, is_done) = flag();
    TaskGroup::<()>::run(async |_| {
        let late = timeout(ms(1), shield(later(done)));
        Ok(assert!(late.await.is_err()))
    })
    .await
    .unwrap();
    assert!(is_done());
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_in_a_group_that_is_aborted_before_or_after() {
    for before in [true, false] {
        let (done, is_done) = flag();
        let group = TaskGroup::<()>::run(async |g| {
            if before {
                g.cancel(Reason::Shutdown);
            }
            let shielded = shield(later(done));
            if !before {
                yield_now().await;
                g.cancel(Reason::Shutdown);
            }
            shielded.await;
            unreachable!("the body is dropped");
        });
        group.await.or_cancelled(()).unwrap();
        assert!(is_done(), "before: {before}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_after_the_groups_deadline_and_sees_it() {
    let (done, is_done) = flag();
    let error = TaskGroup::<()>::builder()
        .timeout(ms(5))
        .run(async |_| {
            shield(async {
                assert_eq!(remaining(), Some(ms(5)));
                later(done).await;
                assert_eq!(remaining(), Some(ms(0)));
            })
            .await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.len() == 1);
    assert!(is_done());
}

#[tokio::test(start_paused = true)]
async fn it_is_told_of_the_cancellation() {
    let (told, was_told) = flag();
    let group = TaskGroup::<()>::run(async |g| {
        let shielded = shield(async move {
            assert!(check().is_ok());
            assert_eq!(cancelled().await, Reason::Shutdown);
            assert!(check().is_err());
            sleep(ms(5)).await;
            told.store(true, SeqCst);
        });
        yield_now().await;
        g.cancel(Reason::Shutdown);
        shielded.await;
        Ok(())
    });
    group.await.or_cancelled(()).unwrap();
    assert!(was_told());
}

/// Told of the cancellation, and as little dropped as what opened it.
#[tokio::test(start_paused = true)]
async fn a_group_inside_goes_on_in_an_aborted_one() {
    for before in [true, false] {
        let (done, is_done) = flag();
        let group = TaskGroup::<()>::run(async |g| {
            if before {
                g.cancel(Reason::Shutdown);
            }
            drop(g.shield(async move {
                let inner = TaskGroup::<()>::run(async |inner| {
                    let task = inner.spawn(async {
                        sleep(ms(10)).await;
                        assert!(check().is_err());
                        Ok(1)
                    });
                    Ok(task.await + 1)
                });
                assert_eq!(inner.await.unwrap(), 2);
                later(done).await;
            }));
            yield_now().await;
            g.cancel(Reason::Shutdown);
            pending().await
        });
        group.await.or_cancelled(()).unwrap();
        assert!(is_done(), "before: {before}");
    }
}

/// It is not dropped with the group, so it must not wait for ever for a value that never comes.
#[tokio::test(start_paused = true)]
async fn it_does_not_hang_on_a_task_that_failed() {
    let error = TaskGroup::<&str>::run(async |g| {
        let task = g.spawn(async { Err::<(), _>("no value") });
        drop(g.shield(task));
        Ok(())
    })
    .await
    .unwrap_err();
    let causes: Vec<_> = error
        .iter()
        .map(|failure| failure.cause().to_string())
        .collect();
    assert_eq!(causes[0], "no value");
    assert!(causes[1].contains("has no value: it failed"), "{causes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_on_in_who_awaits() {
    TaskGroup::<()>::run(async |g| {
        let payload = panic_of(shield(async { panic!("mine") })).await;
        assert_eq!(text_of(&*payload), "mine");
        assert!(!g.is_cancelled(), "it is no failure of the group");
        Ok(())
    })
    .await
    .unwrap();
    let outside = panic_of(shield(async { panic!("mine") })).await;
    assert_eq!(text_of(&*outside), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_nobody_awaits_is_the_groups_failure() {
    for after in [true, false] {
        let (ended, has_ended) = oneshot::channel::<()>();
        let group = TaskGroup::<()>::run(async |_| {
            let shielded = shield(async move {
                let _ended = ended;
                sleep(ms(1)).await;
                panic!("nobody's");
            });
            if after {
                let _ = has_ended.await;
                while !shielded.is_finished() {
                    yield_now().await;
                }
            }
            drop(shielded);
            pending::<Result<(), ()>>().await
        });
        let error = timeout(HOUR, group).await.unwrap().unwrap_err();
        assert!(error.is_panic() && error.len() == 1, "{error:?}");
        assert_eq!(error.first().location().file(), file!());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_is_awaited_too_late_was_reported() {
    let mut carried = None;
    let error = TaskGroup::<()>::run(async |g| {
        carried = Some(g.shield(async { panic!("the group's in the end") }));
        Ok(())
    })
    .await
    .unwrap_err();
    assert!(matches!(error.first().cause(), Cause::Panic(_)));
    let payload = panic_of(carried.unwrap()).await;
    assert!(text_of(&*payload).contains("its group has reported that"));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_destructor_is_a_panic_too() {
    let error = TaskGroup::<()>::builder()
        .on_error(OnError::Collect)
        .run(async |g| {
            let bomb = PanicOnDrop::new("in the destructor");
            drop(g.shield(async move {
                let _bomb = bomb;
                yield_now().await;
            }));
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is_panic());
}

/// Else it could wait for the slot of who awaits it.
#[tokio::test(start_paused = true)]
async fn it_takes_no_slot() {
    let group = TaskGroup::<()>::builder().limit(1).run(async |g| {
        let task = g.spawn(async { Ok(shield(async { 5 }).await) });
        Ok(task.await)
    });
    assert_eq!(timeout(HOUR, group).await.unwrap().unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_over_leaves_it_to_the_next_one_further_out() {
    let (done, is_done) = flag();
    let mut over = None;
    TaskGroup::<()>::run(async |_| {
        let inner = TaskGroup::<()>::run(async |g| Ok(g));
        over = Some(inner.await.unwrap());
        drop(over.as_ref().unwrap().shield(later(done)));
        Ok(())
    })
    .await
    .unwrap();
    assert!(is_done());
    // And from there to the runtime.
    assert_eq!(over.unwrap().shield(async { 3 }).await, 3);
}

#[tokio::test(start_paused = true)]
async fn outside_of_any_group_it_still_sees_the_scope() {
    let scope = CancelScope::new();
    let (told, was_told) = oneshot::channel();
    let inside = scope.run(async {
        drop(shield(async { told.send(cancelled().await) }));
        pending::<()>().await
    });
    let mut inside = Box::pin(inside);
    assert!(poll_once(inside.as_mut()).await.is_pending());
    scope.cancel(Reason::Shutdown);
    assert!(inside.await.is_err());
    assert_eq!(was_told.await.unwrap(), Reason::Shutdown);
}

#[test]
fn of_a_dropped_group_it_is_waited_for_further_out() {
    on_threads(async {
        let (done, is_done) = flag();
        TaskGroup::<()>::run(async |_| {
            let inner = TaskGroup::<()>::run(async |g| {
                drop(g.shield(later(done)));
                pending::<Result<(), ()>>().await
            });
            let mut inner = Box::pin(inner);
            assert!(poll_once(inner.as_mut()).await.is_pending());
            drop(inner);
            Ok(())
        })
        .await
        .unwrap();
        assert!(is_done());
    });
}

#[test]
fn a_runtime_that_shuts_down_drops_it_and_says_so() {
    let probes = Probes::new();
    let probe = probes.probe(());
    let new = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (give, take) = oneshot::channel();
    let runtime = new();
    runtime.spawn(TaskGroup::<()>::run(async |g| {
        let shielded = g.shield(async move {
            let _probe = probe;
            pending::<()>().await
        });
        assert!(give.send(shielded).is_ok());
        Ok(())
    }));
    let shielded = runtime.block_on(take).unwrap();
    drop(runtime);
    probes.assert_all_dropped();
    let payload = new().block_on(panic_of(shielded));
    assert!(text_of(&*payload).contains("a runtime that shut down"));
}

#[test]
fn it_says_where_it_needs_a_runtime() {
    let message = panic_message(|| shield(async {}));
    assert!(
        message.contains("needs a task group or a Tokio runtime"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_but_its_own_time_ends_it() {
    let began = Instant::now();
    let group = TaskGroup::<()>::builder().grace(ms(1)).run(async |g| {
        drop(g.shield(sleep(ms(50))));
        g.cancel(Reason::Requested);
        Ok(())
    });
    group.await.unwrap();
    assert_eq!(began.elapsed(), ms(50));
}

#[tokio::test]
async fn dropped_at_every_poll_it_goes_on() {
    let report = cancel_at_every_poll(
        "shield",
        async || {
            let probes = Probes::new();
            let probe = probes.probe(());
            let shielded = shield(async {
                yield_now().await;
                yield_now().await;
                probe.deliver();
            });
            (probes, shielded)
        },
        async |probes, _| {
            while probes.alive() > 0 {
                yield_now().await;
            }
            probes.assert_none_lost();
        },
    )
    .await;
    assert!(report.polls >= 2);

    let report = cancel_at_every_poll(
        "TaskGroup::shield",
        async || {
            let probes = Probes::new();
            let probe = probes.probe(());
            let (give, take) = oneshot::channel();
            let group = tokio::spawn(TaskGroup::<()>::run(async |g| {
                let shielded = g.shield(async {
                    yield_now().await;
                    yield_now().await;
                    probe.deliver();
                });
                assert!(give.send(shielded).is_ok());
                Ok(())
            }));
            ((probes, group), take.await.unwrap())
        },
        async |(probes, group), _| {
            group.await.unwrap().unwrap();
            probes.assert_all_dropped();
            probes.assert_none_lost();
        },
    )
    .await;
    assert!(report.polls >= 2);
}
