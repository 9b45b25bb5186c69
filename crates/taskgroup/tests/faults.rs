//! What goes wrong: panics in every place, runtimes that end, groups that are closed, tasks that don't listen.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{pending, poll_fn};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use futures_util::FutureExt;
use shibuya_cancel::{CancelScope, cancelled, check};
use shibuya_taskgroup::{
    Cause, GroupError, OnError, OnPanic, Outcome, Reason, TaskGroup, TrySpawnError, gather,
    map_concurrent, try_gather,
};
use shibuya_testkit::{PanicOnDrop, Probe, Probes};
use support::{block_on, ms, no_hang, on_threads, panic_message, panic_of, poll_once, text_of};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, sleep};

type Nothing = Result<(), ()>;

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

fn message<E>(error: &GroupError<E>) -> &str {
    match error.first().cause() {
        Cause::Panic(panic) => panic.message().expect("a text"),
        _ => panic!("the first failure is no panic"),
    }
}

/// Keeps what it is given for as long as the future lives.
async fn hold<T>(value: T) -> Nothing {
    let _value = value;
    pending().await
}

// Panics

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_child_ends_the_group_with_its_name() {
    let error = TaskGroup::<()>::run(async |g| {
        g.spawn(hold(()));
        g.task("bad")
            .spawn(async { panic!("boom {}", 1) as Nothing })
            .await;
        Ok(())
    })
    .await
    .unwrap_err();
    assert!(error.is_panic());
    assert_eq!((message(&error), error.len()), ("boom 1", 1));
    assert_eq!(*error.first().name(), "bad");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_body_waits_for_the_children() {
    let probes = Probes::new();
    let error = TaskGroup::<()>::run(async |g| {
        g.spawn(hold(probes.probe(())));
        yield_now().await;
        if check().is_ok() {
            panic!("body");
        }
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(
        (message(&error), error.first().name().to_string()),
        ("body", "body".into())
    );
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_body() {
    let probes = Probes::new();
    let error = TaskGroup::<()>::run(|g| -> std::future::Pending<Nothing> {
        g.spawn(hold(probes.probe(())));
        panic!("in the making")
    })
    .await
    .unwrap_err();
    assert_eq!(message(&error), "in the making");
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_child_that_is_cut() {
    let probes = Probes::new();
    let error = TaskGroup::<()>::run(async |g| {
        g.spawn(hold(probes.probe(())));
        let captured = (PanicOnDrop::new("destructor"), probes.probe(()));
        g.task("bomb").spawn(hold(captured));
        yield_now().await;
        g.cancel(Reason::Requested);
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!((message(&error), error.len()), ("destructor", 1));
    assert_eq!(*error.first().name(), "bomb");
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_child_that_was_never_polled() {
    let error = TaskGroup::<()>::run(async |g| {
        g.cancel(Reason::Requested);
        g.task("bomb").spawn(hold(PanicOnDrop::new("destructor")));
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(message(&error), "destructor");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_child_that_is_done() {
    let error = TaskGroup::<()>::run(async |g| {
        let mut bomb = Some(PanicOnDrop::new("destructor"));
        // Not dropped before the future itself is.
        g.task("bomb").spawn(poll_fn(move |_| {
            assert!(bomb.as_mut().is_some());
            Poll::Ready(Ok(()))
        }));
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(message(&error), "destructor");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_child_and_in_its_destructor_is_one_failure() {
    let error = TaskGroup::<()>::run(async |g| {
        let bomb = PanicOnDrop::new("destructor");
        g.spawn(poll_fn(move |_| -> Poll<Nothing> {
            let _captured = &bomb;
            panic!("poll")
        }));
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!((message(&error), error.len()), ("poll", 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_body() {
    for cut in [true, false] {
        let probes = Probes::new();
        let error = TaskGroup::<()>::run(|g| {
            let mut bomb = Some(PanicOnDrop::new("destructor"));
            g.spawn(hold(probes.probe(())));
            poll_fn(move |_| {
                assert!(bomb.as_mut().is_some());
                if cut {
                    g.cancel(Reason::Requested);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(()))
            })
        })
        .await
        .unwrap_err();
        assert_eq!((message(&error), error.len()), ("destructor", 1));
        probes.assert_all_dropped();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_body_whose_group_is_dropped() {
    let probes = Probes::new();
    TaskGroup::<()>::run(async |_| {
        let bomb = PanicOnDrop::new("destructor");
        let mut run = Box::pin(TaskGroup::<()>::run(async |g| {
            g.spawn(hold(probes.probe(())));
            hold(bomb).await
        }));
        assert!(poll_once(run.as_mut()).await.is_pending());
        assert_eq!(panic_message(|| drop(run)), "destructor");
        assert_eq!(probes.alive(), 1);
        Ok(())
    })
    .await
    .unwrap();
    probes.assert_all_dropped();
}

/// Tokio drops a value whose handle is gone after the task has reported: too late.
#[test]
fn a_value_that_nobody_takes_is_dropped_before_the_group_ends() {
    struct Slow(Arc<AtomicBool>);
    impl Drop for Slow {
        fn drop(&mut self) {
            assert!(
                CancelScope::current().is_some(),
                "it is dropped in its scope"
            );
            thread::sleep(ms(30));
            self.0.store(true, SeqCst);
        }
    }
    on_threads(async {
        let dropped = Arc::new(AtomicBool::new(false));
        let slow = Slow(dropped.clone());
        TaskGroup::<()>::run(async |g| {
            g.spawn(async { Ok(slow) });
            Ok(())
        })
        .await
        .unwrap();
        assert!(dropped.load(SeqCst));
    });
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_value_that_nobody_takes() {
    let error = TaskGroup::<()>::run(async |g| {
        g.task("bomb")
            .spawn(async { Ok(PanicOnDrop::new("destructor")) });
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(
        (message(&error), error.first().name().to_string()),
        ("destructor", "bomb".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_on_where_that_was_asked_for_and_not_before_the_children_are_gone() {
    let probes = Probes::new();
    let run = TaskGroup::<&str>::builder()
        .on_panic(OnPanic::Resume)
        .on_error(OnError::Collect)
        .run(async |g| {
            let probe = probes.probe(());
            g.spawn(async move {
                sleep(ms(10)).await;
                drop(probe);
                Ok(())
            });
            g.spawn(async { Err::<(), _>("an error before") });
            g.spawn(async { std::panic::panic_any(42_u8) as Result<(), _> });
            Ok(())
        });
    let payload = panic_of(run).await;
    assert_eq!(*payload.downcast::<u8>().unwrap(), 42);
    probes.assert_all_dropped();

    let error = TaskGroup::<&str>::builder()
        .on_panic(OnPanic::Resume)
        .run(async |_| Err::<(), _>("no panic, so an error"))
        .await;
    assert!(error.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_without_a_text_is_still_told() {
    let error = TaskGroup::<&str>::run(async |g| {
        g.spawn(async { std::panic::panic_any(vec![1, 2]) as Result<(), _> });
        Ok(())
    })
    .await
    .unwrap_err();
    let Cause::Panic(panic) = error.into_first().into_cause() else {
        panic!("no panic")
    };
    assert_eq!(
        (panic.message(), panic.to_string().as_str()),
        (None, "panicked")
    );
    assert_eq!(
        *panic.into_payload().downcast::<Vec<i32>>().unwrap(),
        [1, 2]
    );
}

// Time

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_cancels_before_the_first_poll() {
    sleep(ms(10)).await;
    for grace in [0, 5] {
        let (started, past) = (Instant::now(), Instant::now() - ms(5));
        let mut polled = false;
        let group = TaskGroup::<()>::builder().deadline(past).grace(ms(grace));
        let error = group
            .run(async |_| {
                polled = true;
                cancelled().await;
                pending::<Nothing>().await
            })
            .await
            .unwrap_err();
        assert!(error.is_timeout() && !error.is_cancelled() && error.len() == 1);
        assert_eq!(polled, grace > 0, "only a grace lets it say goodbye");
        assert_eq!(started.elapsed(), ms(grace));
    }
    let zero = TaskGroup::<()>::builder()
        .timeout(ms(0))
        .run(async |_| panic!("polled") as Nothing);
    assert!(zero.await.unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn who_ignores_the_cancellation_is_dropped_after_the_grace_and_named() {
    let started = Instant::now();
    let probes = Probes::new();
    let mut line = 0;
    let error = TaskGroup::<&str>::builder()
        .name("server")
        .grace(ms(50))
        .run(async |g| {
            line = Location::caller().line() + 1;
            g.task("deaf").spawn({
                let probe = probes.probe(());
                async {
                    let _ = hold(probe).await;
                    Ok(())
                }
            });
            g.task("polite").spawn(async {
                let why = cancelled().await;
                assert_eq!(why, Reason::Failed);
                Ok(sleep(ms(49)).await)
            });
            sleep(ms(10)).await;
            Err::<(), _>("stop")
        })
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), ms(60));
    let [deaf] = error.aborted() else {
        panic!("{error}")
    };
    assert_eq!(
        (deaf.name().to_string().as_str(), deaf.location().line()),
        ("deaf", line)
    );
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn a_value_within_the_grace_counts() {
    let value = TaskGroup::<()>::builder().grace(ms(50)).run(async |g| {
        let task = g.spawn(async {
            cancelled().await;
            sleep(ms(20)).await;
            Ok("saved")
        });
        g.cancel(Reason::Shutdown);
        Ok(task.await)
    });
    assert_eq!(value.await.unwrap(), "saved");

    let late = TaskGroup::<()>::builder()
        .timeout(ms(10))
        .grace(ms(50))
        .run(async |_| {
            cancelled().await;
            Ok("late, and well")
        });
    assert_eq!(late.await.unwrap(), "late, and well");
}

#[test]
fn a_child_that_does_not_yield_for_a_while_is_waited_for() {
    on_threads(async {
        let done = Arc::new(AtomicBool::new(false));
        let (seen, begun) = (done.clone(), Arc::new(Notify::new()));
        let has_begun = begun.clone();
        TaskGroup::<()>::run(async |g| {
            g.spawn(async move {
                begun.notify_one();
                thread::sleep(ms(50));
                seen.store(true, SeqCst);
                Ok(())
            });
            has_begun.notified().await;
            g.cancel(Reason::Requested);
            Ok(())
        })
        .await
        .unwrap();
        assert!(done.load(SeqCst));
    });
}

// Closed groups, and handles in odd places

#[tokio::test(start_paused = true)]
async fn spawning_on_a_group_that_is_over() {
    let mut handle = None;
    TaskGroup::<()>::run(async |g| {
        handle = Some(g);
        Ok(())
    })
    .await
    .unwrap();
    let g = handle.unwrap();
    let closed = g.try_spawn(async { Ok(7) }).unwrap_err();
    assert!(matches!(closed, TrySpawnError::Closed(_)) && closed.is_closed());
    assert_eq!(closed.to_string(), "the group is closed");
    assert_eq!(
        closed.into_inner().await,
        Ok::<_, ()>(7),
        "the future comes back"
    );

    let probes = Probes::new();
    let mut task = g.task("late").spawn(hold(probes.probe(())));
    probes.assert_all_dropped();
    assert!(task.is_finished() && task.outcome().await.is_cancelled());
    assert!(g.spawn_ready(hold(())).await.outcome().await.is_cancelled());
    assert!(g.spawn_blocking(|_| Ok(())).outcome().await.is_cancelled());
    assert!(g.is_empty());
}

#[tokio::test(start_paused = true)]
async fn spawning_on_a_group_that_was_cancelled() {
    let probes = Probes::new();
    TaskGroup::<()>::run(async |g| {
        g.cancel(Reason::other("enough"));
        assert!(g.try_spawn(hold(())).unwrap_err().is_closed());
        let mut task = g.spawn(hold(probes.probe(())));
        tokio::spawn(async move { task.outcome().await })
            .await
            .map_or(Err(()), |end| {
                assert!(
                    matches!(&end, Outcome::Cancelled(why) if why.to_string() == "enough"),
                    "{end:?}"
                );
                Ok(())
            })
    })
    .await
    .unwrap_err();
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn spawning_while_the_group_is_being_cancelled() {
    // Each one that is cut spawns the next from its destructor.
    struct Hydra(TaskGroup<()>, usize, Probe);
    impl Drop for Hydra {
        fn drop(&mut self) {
            if let Some(left) = self.1.checked_sub(1) {
                self.0
                    .spawn(hold(Hydra(self.0.clone(), left, self.2.clone())));
            }
        }
    }
    let probes = Probes::new();
    no_hang(TaskGroup::<()>::run(async |g| {
        g.spawn(hold(Hydra(g.clone(), 10, probes.probe(()))));
        yield_now().await;
        g.cancel(Reason::Requested);
        Ok(())
    }))
    .await
    .unwrap();
    probes.assert_all_dropped();
}

#[test]
fn a_group_outside_of_a_runtime_says_so() {
    let line = Location::caller().line() + 1;
    let run = TaskGroup::<()>::run(async |_| Ok(()));
    let text = panic_message(|| run.now_or_never());
    let at = format!("the one made at {}:{line}:", file!());
    assert!(
        text.starts_with("a task group needs a Tokio runtime: ") && text.contains(&at),
        "{text}"
    );
    assert!(
        panic_message(|| gather([async { Ok::<(), ()>(()) }]).now_or_never())
            .contains("needs a Tokio runtime")
    );
    assert!(
        panic_message(|| try_gather([async { Ok::<(), ()>(()) }]).now_or_never())
            .contains("needs a Tokio runtime")
    );
}

#[test]
fn a_plain_thread_spawns_through_the_handle() {
    on_threads(async {
        let sum = TaskGroup::<()>::run(async |g| {
            let handle = g.clone();
            let made = thread::spawn(move || {
                assert!(Handle::try_current().is_err());
                [
                    handle.spawn(async { Ok(40) }),
                    handle.spawn_blocking(|_| Ok(2)),
                ]
            });
            let mut sum = 0;
            for task in made.join().unwrap() {
                sum += task.await;
            }
            Ok(sum)
        });
        assert_eq!(sum.await.unwrap(), 42);
    });
}

#[test]
fn a_runtime_without_timers_will_do() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let value = runtime.block_on(TaskGroup::<()>::run(async |g| {
        Ok(g.spawn(async { Ok(1) }).await)
    }));
    assert_eq!(value.unwrap(), 1);
}

#[test]
fn a_local_set_and_one_thread() {
    let runtime = one_thread();
    let local = LocalSet::new();
    let value = local.block_on(&runtime, async {
        let shared = std::rc::Rc::new(5); // the body need not be `Send`
        let run = TaskGroup::<()>::run(async |g| {
            let task = g.spawn(async { Ok(sleep(ms(10)).await) });
            tokio::task::spawn_local(async {}).await.unwrap();
            task.await;
            Ok(*shared)
        });
        run.await.unwrap()
    });
    assert_eq!(value, 5);
}

// Cancelling oneself

#[tokio::test(start_paused = true)]
async fn a_child_that_cancels_its_group_in_its_first_poll() {
    for grace in [0, 10] {
        let run = TaskGroup::<()>::builder().grace(ms(grace)).run(async |g| {
            let own = g.clone();
            g.spawn(async move {
                own.cancel(Reason::Requested);
                pending::<Nothing>().await
            });
            pending::<Nothing>().await
        });
        assert!(no_hang(run).await.unwrap_err().is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cancels_its_own_group_in_its_first_poll() {
    let run = TaskGroup::<()>::run(async |g| {
        g.cancel(Reason::Requested);
        pending::<Nothing>().await
    });
    assert!(no_hang(run).await.unwrap_err().is_cancelled());
    let run = TaskGroup::<()>::run(async |_| {
        CancelScope::current().unwrap().cancel(Reason::Shutdown);
        pending::<Nothing>().await
    });
    let error = no_hang(run).await.unwrap_err();
    assert!(matches!(
        error.first().cause(),
        Cause::Cancelled(Reason::Shutdown)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cancels_only_itself() {
    TaskGroup::<()>::run(async |g| {
        let mut task = g.spawn(async {
            CancelScope::current().unwrap().cancel(Reason::Requested);
            pending::<Nothing>().await
        });
        assert!(task.outcome().await.is_cancelled());
        assert!(!g.is_cancelled());
        Ok(())
    })
    .await
    .unwrap();
}

// Handles of tasks

#[tokio::test(start_paused = true)]
async fn a_task_awaited_outside_of_its_group_after_a_failure_panics_with_its_name() {
    let mut kept = None;
    let error = TaskGroup::<&str>::run(async |g| {
        kept = Some(g.task("fetch").spawn(async { Err::<(), _>("no route") }));
        pending::<Result<(), _>>().await
    })
    .await
    .unwrap_err();
    assert_eq!(error.len(), 1);
    let mut task = kept.unwrap();
    let awaited = panic_of(&mut task).await;
    let text = text_of(&*awaited);
    assert!(
        text.starts_with("task `fetch`, spawned at ") && text.contains("has no value: it failed"),
        "{text}"
    );
    let awaited = panic_of(task.outcome()).await;
    assert!(text_of(&*awaited).contains("task `fetch`"));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_taken_is_not_called_cancelled() {
    TaskGroup::<()>::run(async |g| {
        let mut task = g.task("once").spawn(async { Ok(1) });
        assert_eq!((&mut task).await, 1);
        let again = panic_of(&mut task).await;
        assert_eq!(
            text_of(&*again),
            "task `once` was polled after it gave its value"
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_done_says_so() {
    let mut run = Box::pin(TaskGroup::<()>::run(async |_| Ok(())));
    run.as_mut().await.unwrap();
    let again = panic_of(run.as_mut()).await;
    assert_eq!(text_of(&*again), "`Run` polled after it was done");
}

#[tokio::test(start_paused = true)]
async fn dropping_and_aborting_tasks() {
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    TaskGroup::<()>::run(async |g| {
        drop(g.spawn(async move {
            sleep(ms(10)).await;
            count.fetch_add(1, SeqCst);
            Ok(())
        }));
        let probes = Probes::new();
        let mut aborted = g.spawn(hold(probes.probe(())));
        yield_now().await;
        aborted.abort();
        assert!(matches!(
            aborted.outcome().await,
            Outcome::Cancelled(Reason::Requested)
        ));
        probes.assert_all_dropped();
        let mut finished = g.spawn(async { Ok(3) });
        yield_now().await;
        assert!(finished.is_finished());
        finished.abort();
        assert_eq!(finished.outcome().await.ok(), Some(3), "it was done before");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(done.load(SeqCst), 1, "a dropped handle stops nothing");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_only_asked_to_stop_gives_its_value() {
    let value = TaskGroup::<()>::run(async |g| {
        let task = g.spawn(async { Ok(cancelled().await) });
        yield_now().await;
        task.cancel(Reason::other("enough"));
        let why = task.await;
        assert!(!g.is_cancelled());
        Ok(why.to_string())
    });
    assert_eq!(value.await.unwrap(), "enough");
}

// Collecting

#[tokio::test(start_paused = true)]
async fn outcomes_that_were_asked_for_are_not_reported_again() {
    let error = TaskGroup::<usize>::builder()
        .on_error(OnError::Collect)
        .run(async |g| {
            let mut tasks: Vec<_> = (0..100).map(|i| g.spawn(async move { Err::<(), _>(i) })).collect();
            for (i, task) in tasks.iter_mut().enumerate() {
                if i % 2 == 0 {
                    assert_eq!(task.outcome().await.err(), Some(i));
                }
            }
            let mut panicked = g.spawn(async { panic!("mine") as Result<(), _> });
            assert!(matches!(panicked.outcome().await, Outcome::Panicked(panic) if panic.message() == Some("mine")));
            let mut late = g.task("late").timeout(ms(1)).spawn(pending::<Result<(), _>>());
            assert!(matches!(late.outcome().await, Outcome::Cancelled(Reason::Deadline)));
            Ok(())
        })
        .await
        .unwrap_err();
    let errors: Vec<_> = error.errors().copied().collect();
    assert_eq!(errors, (0..100).filter(|i| i % 2 == 1).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_first_64_failures_are_kept_and_all_are_counted() {
    for (failures, kept, dropped) in [(1, 1, 0), (64, 64, 0), (65, 64, 1), (1000, 64, 936)] {
        for watched in [false, true] {
            let error = TaskGroup::<usize>::builder()
                .on_error(OnError::Collect)
                .run(async |g| {
                    let fail = |i| g.spawn(async move { Err::<(), _>(i) });
                    let mut tasks: Vec<_> = (0..failures).map(fail).collect();
                    if !watched {
                        tasks.clear();
                    }
                    while !g.is_empty() {
                        yield_now().await;
                    }
                    Ok(())
                })
                .await
                .unwrap_err();
            assert_eq!((error.len(), error.omitted()), (failures, dropped));
            let errors: Vec<_> = error.errors().copied().collect();
            assert_eq!(
                errors,
                (0..kept).collect::<Vec<_>>(),
                "the first ones are kept"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_asked_for_too_late_was_reported_by_the_group() {
    let mut kept = None;
    let error = TaskGroup::<&str>::builder()
        .on_error(OnError::Collect)
        .run(async |g| {
            kept = Some(g.task("lost").spawn(async { Err::<(), _>("reported") }));
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(*error.first().error().unwrap(), "reported");
    let late = panic_of(kept.unwrap().outcome()).await;
    assert!(
        text_of(&*late).contains("task `lost`"),
        "{}",
        text_of(&*late)
    );
}

// Runtimes that end

#[test]
fn a_runtime_that_shuts_down_in_the_middle() {
    for (limit, background) in [
        (1, true),
        (1, false),
        (usize::MAX, true),
        (usize::MAX, false),
    ] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let probes = Probes::new();
        let (held, (begun, has_begun)) = (probes.clone(), std::sync::mpsc::channel());
        runtime.spawn(async move {
            TaskGroup::<()>::builder()
                .limit(limit)
                .run(async |g| {
                    for i in 0..100 {
                        let probe = held.probe(());
                        let spawner = g.clone();
                        g.spawn(async move {
                            let _spawns_when_it_is_dropped = OnDrop(Some(move || {
                                drop(spawner.spawn(hold(())));
                            }));
                            if i % 2 == 0 {
                                yield_now().await
                            }
                            hold(probe).await
                        });
                    }
                    begun.send(()).unwrap();
                    pending::<Nothing>().await
                })
                .await
        });
        has_begun.recv().unwrap();
        if background {
            runtime.shutdown_background();
            // The workers end in their own time.
            while probes.alive() > 0 {
                thread::yield_now();
            }
        } else {
            drop(runtime);
        }
        probes.assert_all_dropped();
    }
}

/// What a destructor of a child does.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

#[test]
fn a_group_driven_from_outside_of_a_runtime_that_shuts_down_ends() {
    for limit in [1, usize::MAX] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let probes = Probes::new();
        let (held, (begun, has_begun)) = (probes.clone(), oneshot::channel());
        let driver = thread::spawn(move || {
            let _inside = handle.enter();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let ends = seen.clone();
            let run = TaskGroup::<()>::builder().limit(limit).run(async |g| {
                let mut tasks: Vec<_> = (0..20).map(|_| g.spawn(hold(held.probe(())))).collect();
                begun.send(()).unwrap();
                for task in &mut tasks {
                    let end = task.outcome().await;
                    ends.lock().unwrap().push(end);
                }
                Ok(())
            });
            block_on(run).expect("that tasks were dropped is no failure");
            let ends = std::mem::take(&mut *seen.lock().unwrap());
            assert!(ends.len() == 20 && ends.iter().all(Outcome::is_cancelled));
        });
        has_begun.blocking_recv().unwrap();
        runtime.shutdown_background();
        driver.join().unwrap();
        probes.assert_all_dropped();
    }
}

#[test]
fn a_panic_in_a_destructor_while_the_runtime_shuts_down() {
    let runtime = one_thread();
    let probes = Probes::new();
    let held = probes.clone();
    runtime.spawn(async move {
        TaskGroup::<()>::run(async |g| {
            for _ in 0..3 {
                g.spawn(hold((PanicOnDrop::new("shutdown"), held.probe(()))));
            }
            hold(held.probe(())).await
        })
        .await
    });
    runtime.block_on(yield_now());
    drop(runtime);
    probes.assert_all_dropped();
}

// Groups in groups

#[tokio::test(start_paused = true)]
async fn a_failure_travels_out_through_nested_groups() {
    let probes = Probes::new();
    let error = TaskGroup::<String>::builder()
        .name("outer")
        .run(async |g| {
            g.spawn({
                let probe = probes.probe(());
                async {
                    let _ = hold(probe).await;
                    Ok(())
                }
            });
            g.task("middle").spawn(async {
                let inner = TaskGroup::<&str>::builder().name("inner").run(async |g| {
                    g.task("leaf").spawn(async { Err::<(), _>("root cause") });
                    Ok(())
                });
                inner.await.map_err(|error| error.to_string())
            });
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("root cause"), "{error}");
    assert_eq!(error.len(), 1, "nobody tells of it twice");
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_outer_group_ends_all_inside_and_waits() {
    let probes = Probes::new();
    TaskGroup::<()>::run(async |g| {
        for _ in 0..3 {
            let probes = probes.clone();
            g.spawn(async move {
                let inner = TaskGroup::<()>::run(async |g| {
                    for _ in 0..3 {
                        g.spawn(hold(probes.probe(())));
                    }
                    hold(probes.probe(())).await
                });
                inner.await.map_err(drop)
            });
        }
        sleep(ms(1)).await;
        assert_eq!(probes.alive(), 12);
        g.cancel(Reason::Requested);
        Ok(())
    })
    .await
    .unwrap();
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn a_panicking_iterator_or_item_ends_the_map_and_not_the_process() {
    let items = (0..).inspect(|n| assert!(*n < 3, "iterator"));
    let error = map_concurrent(items, 2, |n| async move { Ok::<_, ()>(n) })
        .await
        .unwrap_err();
    assert!(message(&error).contains("iterator"));
    let bombs = (0..3).map(|_| PanicOnDrop::new("item"));
    let error = map_concurrent(bombs, 2, |bomb| async move { Ok::<_, ()>(drop(bomb)) })
        .await
        .unwrap_err();
    assert_eq!(message(&error), "item");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_never_polled_does_nothing() {
    let probes = Probes::new();
    let probe = probes.probe(());
    drop(TaskGroup::<()>::run(async move |g| {
        g.spawn(hold(probe));
        Ok(())
    }));
    probes.assert_all_dropped();
}
