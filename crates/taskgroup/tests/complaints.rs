//! What people complain about elsewhere, each answered by a test.
#![cfg(not(shibuya_loom))]

mod support;

use std::cell::Cell;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake};

use shibuya_cancel::{CancelScope, InScope, cancelled, check, remaining, timeout};
use shibuya_taskgroup::{
    Cause, EndedAs, OnError, Outcome, Reason, State, TaskGroup, dump, gather, map_concurrent,
    sequence, step, try_gather,
};
use shibuya_testkit::Probes;
use support::{HOUR, ms, no_hang, on_threads, panics_here};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Complaint 1: A `JoinSet` that nobody joins grows without bound (sim-ln#221, hickory-dns#1818).
#[tokio::test]
async fn values_that_nobody_asks_for_are_not_kept() {
    let probes = Probes::new();
    TaskGroup::<()>::run(async |g| {
        let probe = probes.probe(());
        let asked_for = g.spawn(async { Ok(probe) });
        for _ in 0..10_000 {
            let probe = probes.probe(());
            g.spawn(async { Ok(probe) });
            while g.len() >= 100 {
                yield_now().await;
            }
            assert!(probes.alive() <= 102, "values pile up");
        }
        while !g.is_empty() {
            yield_now().await;
        }
        assert_eq!(probes.alive(), 1, "the one that somebody may still ask for");
        drop(asked_for.await);
        Ok(())
    })
    .await
    .unwrap();
    probes.assert_all_dropped();
}

/// Complaint 2: `JoinSet` needs `&mut`, so nobody spawns while somebody joins (tokio#6547).
#[tokio::test(start_paused = true)]
async fn tasks_spawn_tasks_while_the_body_waits() {
    fn fan_out(g: TaskGroup<()>, depth: usize, count: Arc<AtomicUsize>) {
        count.fetch_add(1, SeqCst);
        if depth > 0 {
            for _ in 0..2 {
                let (handle, count) = (g.clone(), count.clone());
                g.spawn(async move {
                    yield_now().await;
                    fan_out(handle, depth - 1, count);
                    Ok(())
                });
            }
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    TaskGroup::run(async |g| {
        let waiting = g.spawn(async { Ok(sleep(ms(10)).await) });
        fan_out(g.clone(), 9, count.clone());
        waiting.await;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(count.load(SeqCst), 1023);
}

/// Complaint 3: `join_all` panics on a task that was cancelled, and there is no `try_join_all` (tokio#6664, #4534).
#[tokio::test(start_paused = true)]
async fn a_cancelled_task_is_an_outcome_and_not_a_panic() {
    TaskGroup::<()>::run(async |g| {
        let mut task = g.spawn(pending::<Result<(), ()>>());
        task.abort();
        assert!(matches!(
            task.outcome().await,
            Outcome::Cancelled(Reason::Requested)
        ));
        Ok(())
    })
    .await
    .expect("own cancellation is never an error");

    let outcomes = gather((0..3).map(|n| async move {
        match n {
            0 => Ok(0),
            1 => Err("one"),
            _ => panic!("two"),
        }
    }))
    .await;
    assert!(matches!(
        &outcomes[..],
        [Outcome::Ok(0), Outcome::Err("one"), Outcome::Panicked(_)]
    ));

    let started = Instant::now();
    let all = try_gather((0..3).map(|n| async move {
        sleep(if n == 1 { ms(5) } else { HOUR }).await;
        Err::<(), _>(n)
    }));
    assert_eq!(all.await.unwrap_err().into_first_error().unwrap(), 1);
    assert_eq!(started.elapsed(), ms(5), "the others are not waited out");
}

/// Complaint 4: No limit on the number of tasks (omicron#8174, xet-core#209, smol#308).
#[tokio::test(start_paused = true)]
async fn a_limit_with_back_pressure() {
    let started = Instant::now();
    TaskGroup::<()>::builder()
        .limit(4)
        .run(async |g| {
            for _ in 0..40 {
                g.spawn_ready(async { Ok(sleep(ms(10)).await) }).await;
                assert!(g.len() <= 4);
            }
            assert!(g.try_spawn(async { Ok(()) }).unwrap_err().is_full());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(started.elapsed(), ms(100));
}

/// Complaint 5: Tasks can't borrow (tokio#1879, #3162; async-scoped#33). The body can, also what it changes.
#[tokio::test(start_paused = true)]
async fn the_body_borrows() {
    let words = vec![String::from("a"), String::from("bc")];
    let mut lengths = Vec::new();
    TaskGroup::<()>::run(async |g| {
        for word in &words {
            let word = word.clone();
            lengths.push(g.spawn(async move { Ok(word.len()) }).await);
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(lengths, [1, 2]);
}

/// Complaint 5, where several run at once or in turn: what stays within one task borrows, also what no other thread may see.
#[tokio::test(start_paused = true)]
async fn combinators_within_one_task_borrow() {
    let words = [String::from("a"), String::from("bc")];
    let calls = Cell::new(0);
    let length = async |word: &str| {
        sleep(ms(1)).await;
        calls.set(calls.get() + 1);
        Ok(word.len())
    };
    let started = Instant::now();
    TaskGroup::<()>::run(async |_| {
        let at_once = tokio::try_join!(length(&words[0]), length(&words[1]));
        assert_eq!((at_once?, started.elapsed()), ((1, 2), ms(1)));
        let in_turn = sequence(words.iter().map(|word| length(word)));
        assert_eq!(in_turn.await.map_err(|failed| failed.error)?, [1, 2]);
        let in_time = timeout(HOUR, length(&words[1])).await;
        assert_eq!(in_time.expect("an hour"), Ok(2));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((calls.get(), started.elapsed()), (5, ms(4)));
}

/// Complaint 6: `buffer_unordered` starves what it has when the consumer is busy, hangs at 0, and deadlocks where an item needs what
/// another one holds (futures-rs#2387, #2876).
#[tokio::test(start_paused = true)]
async fn a_slow_consumer_does_not_starve_the_items_at_work() {
    let mut finished = map_concurrent(0..2, 2, async |_| {
        let started = Instant::now();
        sleep(ms(10)).await;
        Ok::<_, ()>(started.elapsed())
    })
    .unordered();
    finished.next().await.unwrap().unwrap();
    sleep(HOUR).await; // busy with the first value, for an hour
    assert_eq!(
        finished.next().await.unwrap().unwrap(),
        ms(10),
        "the second one stood still"
    );

    let one = Arc::new(tokio::sync::Semaphore::new(1));
    let mut held = map_concurrent(0..20, 3, move |n| {
        let one = one.clone();
        async move {
            let _permit = one.acquire().await.unwrap();
            yield_now().await;
            Ok::<_, ()>(n)
        }
    })
    .ordered();
    for n in 0..20 {
        assert_eq!(no_hang(held.next()).await.unwrap().unwrap(), n);
        yield_now().await;
    }
    let zero = panics_here(|| map_concurrent(0..3, 0, async |n| Ok::<_, ()>(n)));
    assert!(zero.contains("limit of 0"), "{zero}");
}

/// Complaint 7: Every look at a token takes a lock (tokio#7775). What that costs is the benchmark's matter; here
/// many look while one cancels.
#[test]
fn many_look_while_one_cancels() {
    on_threads(async {
        let seen = Arc::new(AtomicUsize::new(0));
        TaskGroup::<()>::builder()
            .grace(HOUR)
            .run(async |g| {
                for _ in 0..8 {
                    let seen = seen.clone();
                    g.spawn(async move {
                        while check().is_ok() {
                            yield_now().await;
                        }
                        seen.fetch_add(1, SeqCst);
                        Ok(())
                    });
                }
                yield_now().await;
                g.cancel(Reason::Requested);
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(seen.load(SeqCst), 8);
    });
}

/// Complaint 7, seen from the other side: who cancels and is held up half-way holds up nobody who looks.
#[test]
fn who_looks_does_not_wait_for_who_cancels() {
    struct LooksFromElsewhere(CancelScope);
    impl Wake for LooksFromElsewhere {
        fn wake(self: Arc<Self>) {
            // The one who cancels waits here for another thread's look.
            let looked = std::thread::spawn(move || self.0.check().is_err());
            assert!(looked.join().unwrap());
        }
    }
    on_threads(async {
        let group = TaskGroup::<()>::builder().grace(HOUR).run(async |g| {
            let scope = g.scope();
            let waker = Arc::new(LooksFromElsewhere(scope.clone())).into();
            let mut told = std::pin::pin!(scope.cancelled());
            assert!(
                told.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            g.cancel(Reason::Requested);
            assert!(told.poll(&mut Context::from_waker(&waker)).is_ready());
            Ok(())
        });
        group.await.unwrap();
    });
}

tokio::task_local!(static USER: Cell<u32>);

/// Complaint 8: The context is lost at a spawn (tokio#2396): ours is inherited, a user's own values are not, and a foreign spawn is
/// asked for.
#[tokio::test(start_paused = true)]
async fn the_scope_is_inherited_across_spawns() {
    USER.scope(
        Cell::new(7),
        TaskGroup::<()>::builder().timeout(HOUR).run(async |g| {
            let g2 = g.clone();
            g.spawn(async move {
                assert!(
                    USER.try_with(Cell::get).is_err(),
                    "a user's own values opt in"
                );
                assert!(remaining() <= Some(HOUR) && remaining().is_some());
                let deeper = g2.spawn(async { Ok(remaining()) }).await;
                assert_eq!(deeper, remaining());
                let foreign =
                    tokio::spawn(async { (remaining(), CancelScope::current().is_some()) });
                assert_eq!(foreign.await.unwrap(), (None, false));
                let asked = tokio::spawn(async { remaining() }.in_scope());
                assert_eq!(asked.await.unwrap(), deeper);
                Ok(())
            })
            .await;
            Ok(())
        }),
    )
    .await
    .unwrap();
}

/// Complaint 9: Dropping a handle detaches, and a blocking task can't be aborted (tokio#1830, #7222, #4853).
#[test]
fn dropping_ends_the_tasks_and_blocking_ones_are_told() {
    on_threads(async {
        let probes = Probes::new();
        let (probe, blocking) = (probes.probe(()), probes.probe(()));
        let (begun, has_begun) = oneshot::channel();
        TaskGroup::<()>::run(async |_| {
            let run = TaskGroup::<()>::run(async |g| {
                g.spawn(async {
                    let _probe = probe;
                    pending::<Result<(), ()>>().await
                });
                g.spawn_blocking(move |scope| {
                    begun.send(()).unwrap();
                    while scope.check().is_ok() {
                        std::thread::yield_now();
                    }
                    Ok(drop(blocking))
                });
                pending::<Result<(), ()>>().await
            });
            tokio::select! {
                _ = run => unreachable!("it waits for ever"),
                begun = has_begun => begun.unwrap(),
            }
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

/// Complaint 9, where it was told in vain: a thread that outlives the grace is waited for, and named.
#[test]
fn a_thread_that_does_not_listen_is_named() {
    on_threads(async {
        let (begun, has_begun) = oneshot::channel();
        let (held, until_dropped) = std::sync::mpsc::channel::<()>();
        let error = TaskGroup::<&str>::builder()
            .grace(ms(5))
            .run(async |g| {
                g.task("thread").spawn_blocking(move |_| {
                    begun.send(()).unwrap();
                    assert!(until_dropped.recv().is_err());
                    Ok(())
                });
                // Dropped when the grace is over, and then the thread ends, too.
                g.task("deaf").spawn(async {
                    let _held = held;
                    pending::<Result<(), _>>().await
                });
                has_begun.await.unwrap();
                Err::<(), _>("stop")
            })
            .await
            .unwrap_err();
        let late = error.aborted().iter().map(|task| task.name().to_string());
        assert_eq!(late.collect::<Vec<_>>(), ["thread", "deaf"]);
        assert_eq!(error.len(), 1);
    });
}

/// Complaint 10: Nobody sees what runs (tokio#4114, #5638), but with an unstable runtime. A registry of all that lives can be asked at any
/// time, also from a thread that has no runtime.
#[tokio::test(start_paused = true)]
async fn what_runs_is_seen_on_stable() {
    let group = TaskGroup::<()>::builder().name("registry").run(async |g| {
        let task = g.task("page 7").spawn(async {
            step("the database", pending::<()>()).await;
            Ok(())
        });
        yield_now().await;
        let tree = std::thread::spawn(dump).join().unwrap();
        let group = tree.find("registry").expect("it lives");
        assert_eq!(group.counts.map(|counts| counts.living), Some(1));
        let page = tree.find("page 7").expect("it lives");
        assert_eq!((page.id, page.parent), (task.id(), Some(group.id)));
        assert_eq!((page.state, page.polls), (State::Idle, 1));
        assert_eq!(page.location.file(), file!());
        let step = tree.find("the database").expect("it is at it");
        assert_eq!(step.parent, Some(page.id));
        g.cancel(Reason::Requested);
        Ok(())
    });
    group.await.unwrap();
    let tree = dump();
    assert!(tree.find("registry").is_none() && tree.find("page 7").is_none());
    let ended = tree.ended.iter().find(|task| task.name == *"page 7");
    assert_eq!(ended.map(|task| task.ending), Some(EndedAs::Cancelled));
}

/// Complaint 10, afterwards: who was at work when it ended is named, with the line that spawned it.
#[tokio::test(start_paused = true)]
async fn tasks_have_names_and_places_on_stable() {
    let error = TaskGroup::<&str>::builder()
        .name("sync")
        .grace(ms(1))
        .run(async |g| {
            let task = g
                .task(format!("page {}", 7))
                .spawn(pending::<Result<(), _>>());
            assert_eq!((task.name().to_string().as_str(), g.len()), ("page 7", 1));
            assert_eq!(g.name().to_string(), "sync");
            sleep(ms(5)).await;
            Err::<(), _>("stop")
        })
        .await
        .unwrap_err();
    let [late] = error.aborted() else {
        panic!("{error}")
    };
    assert_eq!(
        (late.name().to_string().as_str(), late.location().file()),
        ("page 7", file!())
    );
    assert_eq!(error.first().elapsed(), ms(5));
}

/// trio#2301: the error's shape varies with the number of failures.
#[tokio::test(start_paused = true)]
async fn one_failure_or_many_have_one_shape() {
    for count in 1..5 {
        let error = TaskGroup::<usize>::run(async |g| {
            for i in 0..count {
                g.spawn(async move { Err::<(), _>(i) });
            }
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(error.first().error(), Some(&0));
        assert_eq!(error.iter().count(), error.len());
    }
}

/// Kotlin#1374: a timeout looks like a cancellation, and an outer one like an inner one.
#[tokio::test(start_paused = true)]
async fn timeouts_and_cancellations_are_told_apart() {
    let late = TaskGroup::<()>::builder()
        .timeout(ms(5))
        .run(async |_| pending::<Result<(), ()>>().await);
    let late = late.await.unwrap_err();
    assert!(late.is_timeout() && !late.is_cancelled());

    let stopped = TaskGroup::<()>::run(async |g| {
        g.cancel(Reason::Requested);
        pending::<Result<(), ()>>().await
    });
    let stopped = stopped.await.unwrap_err();
    assert!(stopped.is_cancelled() && !stopped.is_timeout());

    let task = TaskGroup::<()>::builder().timeout(HOUR).run(async |g| {
        g.task("slow")
            .timeout(ms(5))
            .spawn(pending::<Result<(), ()>>())
            .await;
        Ok(())
    });
    let task = task.await.unwrap_err();
    assert!(task.is_timeout());
    assert_eq!(*task.first().name(), "slow", "it says whose time was over");

    // The inner group sees the outer one's end as a cancellation for that reason, and not as its own.
    let (tell, told) = oneshot::channel();
    let outer = TaskGroup::<()>::builder()
        .name("outer")
        .timeout(ms(5))
        .grace(ms(5))
        .run(async |g| {
            g.spawn(async {
                let inner = TaskGroup::<()>::builder().timeout(HOUR).run(async |_| {
                    let why = cancelled().await;
                    tell.send(why).unwrap();
                    Ok(())
                });
                inner.await.map_err(drop)
            });
            pending::<Result<(), ()>>().await
        });
    let outer = outer.await.unwrap_err();
    assert!(outer.is_timeout() && outer.len() == 1);
    assert_eq!(*outer.first().name(), "outer");
    assert_eq!(told.await.unwrap(), Reason::Deadline);

    let around = timeout(
        ms(5),
        TaskGroup::<()>::builder()
            .timeout(HOUR)
            .run(async |_| pending::<Result<(), ()>>().await),
    );
    assert!(
        around.await.is_err(),
        "the outer answers, and the group says nothing"
    );
    let inside = timeout(
        HOUR,
        TaskGroup::<()>::builder()
            .timeout(ms(5))
            .run(async |_| pending::<Result<(), ()>>().await),
    );
    assert!(inside.await.unwrap().unwrap_err().is_timeout());
}

/// cpython#108951: there is no clean way to end a group early.
#[tokio::test(start_paused = true)]
async fn cancel_is_a_clean_exit() {
    for on_error in [OnError::CancelSiblings, OnError::Collect] {
        let value = TaskGroup::<()>::builder()
            .on_error(on_error)
            .run(async |g| {
                for _ in 0..3 {
                    g.spawn(pending::<Result<(), ()>>());
                }
                let first = g.spawn(async { Ok(sleep(ms(1)).await) });
                first.await;
                g.cancel(Reason::Requested);
                Ok("found it")
            });
        assert_eq!(value.await.unwrap(), "found it");
    }
    let late = TaskGroup::<&str>::builder().grace(ms(5)).run(async |g| {
        g.spawn(async {
            cancelled().await;
            Err::<(), _>("while it said goodbye")
        });
        g.cancel(Reason::Requested);
        Ok(())
    });
    assert_eq!(
        late.await.unwrap_err().into_first_error().unwrap(),
        "while it said goodbye"
    );
}

/// cpython#155418: a child that cancels its own group before it is registered hangs it.
#[test]
fn a_child_that_cancels_its_group_at_once_does_not_hang() {
    on_threads(async {
        for grace in [0, 1] {
            for _ in 0..200 {
                let group = TaskGroup::<()>::builder().grace(ms(grace)).run(async |g| {
                    let own = g.clone();
                    g.spawn(async move {
                        own.cancel(Reason::Requested);
                        pending::<Result<(), ()>>().await
                    });
                    pending::<Result<(), ()>>().await
                });
                let error = group.await.unwrap_err();
                assert!(matches!(
                    error.first().cause(),
                    Cause::Cancelled(Reason::Requested)
                ));
            }
        }
    });
}
