//! Blocking tasks: a thread can't be dropped, so they are told, and waited for.
#![cfg(not(shibuya_loom))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use shibuya_cancel::{check, remaining};
use shibuya_taskgroup::{CancelScope, Cause, OnError, Outcome, Reason, TaskGroup, gather, step};
use shibuya_testkit::Probes;
use support::{HOUR, ms, on_threads};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Goes on until it is told to stop.
fn until_told(scope: &CancelScope) -> Reason {
    loop {
        if let Err(stop) = scope.check() {
            assert!(check().is_err(), "the closure runs in its scope");
            return stop.reason().clone();
        }
        thread::sleep(ms(1));
    }
}

#[test]
fn the_value_comes_back() {
    on_threads(async {
        let sum = TaskGroup::<()>::run(async |g| Ok(g.spawn_blocking(|_| Ok(40)).await + 2));
        assert_eq!(sum.await.unwrap(), 42);
    });
}

#[test]
fn a_panic_is_a_failure_with_a_name() {
    on_threads(async {
        let error = TaskGroup::<()>::run(async |g| {
            g.task("hash")
                .spawn_blocking(|_| -> Result<(), ()> { panic!("bad block") })
                .await;
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(*error.first().name(), "hash");
        let Cause::Panic(panic) = error.into_first().into_cause() else {
            panic!("not a panic");
        };
        assert_eq!(panic.message(), Some("bad block"));
    });
}

#[test]
fn it_is_told_to_stop_and_waited_for() {
    on_threads(async {
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = stopped.clone();
        let (begun, has_begun) = oneshot::channel();
        let error = TaskGroup::<&str>::run(async |g| {
            g.spawn_blocking(move |scope| {
                begun.send(()).unwrap();
                assert_eq!(until_told(scope), Reason::Failed);
                thread::sleep(ms(20));
                seen.store(true, SeqCst);
                Ok(())
            });
            has_begun.await.unwrap();
            Err::<(), _>("over")
        })
        .await
        .unwrap_err();
        assert_eq!(error.into_first_error().unwrap(), "over");
        assert!(
            stopped.load(SeqCst),
            "the group ended before its thread did"
        );
    });
}

#[test]
fn one_that_was_cancelled_before_its_turn_never_starts() {
    on_threads(async {
        let probes = Probes::new();
        let probe = probes.probe(());
        TaskGroup::<&str>::run(async |g| {
            g.cancel(Reason::Requested);
            g.spawn_blocking(move |_| {
                drop(probe);
                Err::<(), _>("it started")
            });
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

/// Where its timeout dropped the wait for the thread, the group ended while the thread went on.
#[test]
fn a_timeout_is_seen_as_remaining_time_and_the_group_still_waits() {
    on_threads(async {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let left = TaskGroup::<()>::run(async |g| {
            let task = g.task("slow").timeout(ms(10)).spawn_blocking(move |_| {
                let at_first = remaining().expect("a timeout");
                while !remaining().expect("a timeout").is_zero() {
                    thread::sleep(ms(1));
                }
                thread::sleep(ms(20));
                seen.store(true, SeqCst);
                Ok(at_first)
            });
            Ok(task.await)
        });
        assert!(left.await.expect("it goes on, and its value counts") <= ms(10));
        assert!(ended.load(SeqCst));
    });
}

#[test]
fn the_deadline_of_the_group_is_seen_too() {
    on_threads(async {
        let left = TaskGroup::<()>::builder().timeout(HOUR).run(async |g| {
            let own = g
                .task("own")
                .timeout(ms(500))
                .spawn_blocking(|_| Ok(remaining()));
            let inherited = g
                .task("none")
                .timeout(2 * HOUR)
                .spawn_blocking(|_| Ok(remaining()));
            Ok((own.await.unwrap(), inherited.await.unwrap()))
        });
        let (own, inherited) = left.await.unwrap();
        assert!(own <= ms(500) && inherited <= HOUR && inherited > ms(500));
    });
}

#[test]
fn never_more_than_the_limit_run_even_when_all_are_told_to_stop() {
    on_threads(async {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let (begun, has_begun) = oneshot::channel();
        let begun = Arc::new(std::sync::Mutex::new(Some(begun)));
        TaskGroup::<()>::builder()
            .limit(2)
            .run(async |g| {
                for _ in 0..8 {
                    let (running, most, begun) = (running.clone(), most.clone(), begun.clone());
                    g.spawn_blocking(move |scope| {
                        most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                        if let Some(begun) = begun.lock().unwrap().take() {
                            begun.send(()).unwrap();
                        }
                        until_told(scope);
                        thread::sleep(ms(5));
                        running.fetch_sub(1, SeqCst);
                        Ok(())
                    });
                }
                has_begun.await.unwrap();
                g.cancel(Reason::Requested);
                Ok(())
            })
            .await
            .unwrap();
        assert!(seen.load(SeqCst) <= 2);
        assert_eq!(running.load(SeqCst), 0, "a thread outlived the group");
    });
}

#[test]
fn an_abort_only_asks() {
    on_threads(async {
        let (begun, has_begun) = oneshot::channel();
        let outcome = TaskGroup::<()>::run(async |g| {
            let mut task = g.spawn_blocking(move |scope| {
                begun.send(()).unwrap();
                Ok(until_told(scope))
            });
            has_begun.await.unwrap();
            task.abort();
            Ok(task.outcome().await)
        });
        assert_eq!(outcome.await.unwrap().ok(), Some(Reason::Requested));
    });
}

#[test]
fn a_group_of_its_own_inside_a_blocking_task() {
    on_threads(async {
        let sum = TaskGroup::<()>::run(async |g| {
            let handle = Handle::current();
            let sum = g.spawn_blocking(move |_| {
                let sum = TaskGroup::<()>::run(async |g| {
                    let tasks: Vec<_> = (1..=4).map(|n| g.spawn(async move { Ok(n) })).collect();
                    let mut sum = 0;
                    for task in tasks {
                        sum += task.await;
                    }
                    Ok(sum)
                });
                Ok(handle.block_on(sum).unwrap())
            });
            Ok(sum.await)
        });
        assert_eq!(sum.await.unwrap(), 10);
    });
}

/// Nothing drops the code on a blocking thread, so what waits there must come to an end.
#[test]
fn what_waits_in_a_blocking_task_hears_of_the_end() {
    on_threads(async {
        let (begun, has_begun) = oneshot::channel();
        TaskGroup::<()>::run(async |g| {
            let handle = Handle::current();
            g.spawn_blocking(move |_| {
                let group = TaskGroup::<()>::run(async move |g| {
                    begun.send(()).unwrap();
                    g.spawn(std::future::pending::<Result<(), ()>>()).await;
                    Ok(())
                });
                let error = handle.block_on(group).unwrap_err();
                assert!(error.is_cancelled());

                let outcomes = handle.block_on(gather(
                    (0..3).map(|_| std::future::pending::<Result<(), ()>>()),
                ));
                assert_eq!(outcomes.len(), 3);
                for outcome in outcomes {
                    assert!(
                        matches!(outcome, Outcome::Cancelled(Reason::Requested)),
                        "{outcome:?}"
                    );
                }
                Ok(())
            });
            has_begun.await.unwrap();
            g.cancel(Reason::Requested);
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_blocking_task_that_awaits_a_failed_sibling_panics_instead_of_waiting_for_ever() {
    on_threads(async {
        for in_step in [false, true] {
            let (begun, has_begun) = oneshot::channel();
            let error = TaskGroup::<&str>::run(async |g| {
                let bad = g.task("bad").spawn(async move {
                    has_begun.await.unwrap();
                    Err::<(), _>("no")
                });
                let handle = Handle::current();
                g.task("waits").spawn_blocking(move |_| {
                    begun.send(()).unwrap();
                    match in_step {
                        false => handle.block_on(bad),
                        true => handle.block_on(step("wait", bad)),
                    }
                    Ok(())
                });
                std::future::pending::<Result<(), _>>().await
            })
            .await
            .unwrap_err();
            let failures: Vec<_> = error.iter().map(ToString::to_string).collect();
            assert_eq!(failures.len(), 2, "{failures:?}");
            assert!(
                failures[1].contains("`waits`") && failures[1].contains("task `bad`"),
                "{failures:?}"
            );
        }
    });
}

#[test]
fn failures_are_collected_like_others() {
    on_threads(async {
        let outcomes = TaskGroup::<&str>::builder()
            .on_error(OnError::Collect)
            .run(async |g| {
                let mut good = g.spawn_blocking(|_| Ok(1));
                let mut bad = g.spawn_blocking(|_| Err::<i32, _>("bad"));
                Ok((good.outcome().await.ok(), bad.outcome().await.err()))
            });
        assert_eq!(outcomes.await.unwrap(), (Some(1), Some("bad")));
    });
}

#[test]
fn a_thread_that_computes_without_a_check_is_waited_for() {
    on_threads(async {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let (begun, has_begun) = oneshot::channel();
        let error = TaskGroup::<&str>::builder()
            .grace(ms(5))
            .run(async |g| {
                g.task("deaf").spawn_blocking(move |_| {
                    begun.send(()).unwrap();
                    thread::sleep(Duration::from_millis(50));
                    seen.store(true, SeqCst);
                    Ok(())
                });
                has_begun.await.unwrap();
                Err::<(), _>("stop")
            })
            .await
            .unwrap_err();
        assert!(ended.load(SeqCst));
        let late: Vec<_> = error
            .aborted()
            .iter()
            .map(|task| task.name().to_string())
            .collect();
        assert_eq!(
            late,
            ["deaf"],
            "it is named, though it could not be dropped"
        );
    });
}
