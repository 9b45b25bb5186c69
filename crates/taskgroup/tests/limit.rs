//! The limit of a group: who runs, who waits, and that no slot is lost.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::pending;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use shibuya_taskgroup::{OnError, Outcome, Reason, TaskGroup, TrySpawnError, map_concurrent};
use shibuya_testkit::PanicOnDrop;
use support::{HOUR, ms, no_hang, on_threads, poll_once};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Counts who is inside, and how many were at the most.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

struct Inside(Gauge);

impl Gauge {
    fn enter(&self) -> Inside {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        Inside(self.clone())
    }

    fn most(&self) -> usize {
        self.0.1.load(SeqCst)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn never_more_run_than_the_limit() {
    on_threads(async {
        let gauge = Gauge::default();
        TaskGroup::<()>::builder()
            .limit(3)
            .run(async |g| {
                for _ in 0..200 {
                    let gauge = gauge.clone();
                    g.spawn(async move {
                        let _inside = gauge.enter();
                        yield_now().await;
                        Ok(())
                    });
                }
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(gauge.most(), 3);
    });
}

/// A worker polls the task that it spawned last first, and other workers steal from the middle.
#[test]
fn tasks_start_in_the_order_of_their_spawns() {
    on_threads(async {
        let started = Arc::new(Mutex::new(Vec::new()));
        let seen = started.clone();
        let spawner = tokio::spawn(async move {
            TaskGroup::<()>::builder()
                .limit(1)
                .run(async |g| {
                    for i in 0..500 {
                        let started = started.clone();
                        g.spawn(async move {
                            started.lock().unwrap().push(i);
                            if i % 3 == 0 {
                                yield_now().await;
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await
        });
        spawner.await.unwrap().unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..500).collect::<Vec<_>>());
    });
}

#[tokio::test(start_paused = true)]
async fn spawned_tasks_have_their_slots_before_they_are_polled() {
    TaskGroup::<()>::builder()
        .limit(2)
        .run(async |g| {
            g.spawn(async { Ok(()) });
            assert!(g.try_spawn(async { Ok(()) }).is_ok());
            let full = g.try_spawn(async { Ok(5) }).unwrap_err();
            assert!(full.is_full() && !full.is_closed());
            assert_eq!(
                full.to_string(),
                "the group runs as many tasks as its limit allows"
            );
            assert_eq!(
                full.into_inner().await,
                Ok::<_, ()>(5),
                "the future comes back"
            );
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn try_spawn_does_not_pass_those_in_line() {
    TaskGroup::<()>::builder()
        .limit(1)
        .run(async |g| {
            let (go, gone) = oneshot::channel::<()>();
            let first = g.spawn(async { Ok(gone.await.unwrap()) });
            let second = g.spawn(async { Ok(sleep(ms(10)).await) });
            go.send(()).unwrap();
            first.await;
            assert!(matches!(
                g.try_spawn(async { Ok(()) }),
                Err(TrySpawnError::Full(_))
            ));
            second.await;
            g.try_spawn(async { Ok(()) }).unwrap().await;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn spawn_ready_waits_for_a_slot() {
    let started = Instant::now();
    TaskGroup::<()>::builder()
        .limit(2)
        .run(async |g| {
            for i in 0..6 {
                g.spawn_ready(async { Ok(sleep(ms(10)).await) }).await;
                assert_eq!(started.elapsed(), ms(10 * (i / 2)));
                assert!(g.len() <= 2, "nothing queues up");
            }
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(started.elapsed(), ms(30));
}

#[tokio::test(start_paused = true)]
async fn spawn_ready_and_spawn_share_one_line() {
    TaskGroup::<()>::builder()
        .limit(1)
        .run(async |g| {
            let order = Arc::new(Mutex::new(Vec::new()));
            let note = |who: &'static str| {
                let order = order.clone();
                async move {
                    order.lock().unwrap().push(who);
                    yield_now().await;
                    Ok(())
                }
            };
            g.spawn(note("a"));
            g.spawn(note("b"));
            let mut ready = Box::pin(g.spawn_ready(note("c")));
            assert!(poll_once(ready.as_mut()).await.is_pending());
            g.spawn(note("d"));
            ready.await;
            yield_now().await;
            while !g.is_empty() {
                yield_now().await;
            }
            assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "d"]);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_spawn_ready_is_ready() {
    TaskGroup::<()>::run(async |g| {
        for i in 0..3 {
            assert_eq!(g.spawn_ready(async move { Ok(i) }).await.await, i);
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_freed_however_its_task_ends() {
    TaskGroup::<&str>::builder()
        .limit(1)
        .on_error(OnError::Collect)
        .run(async |g| {
            let mut ends = Vec::new();
            let mut error = g.spawn(async { Err::<(), _>("error") });
            ends.push(error.outcome().await.is_err());
            let mut panic = g.spawn(async { panic!("panic") as Result<(), _> });
            ends.push(panic.outcome().await.is_panic());
            let mut aborted = g.spawn(pending::<Result<(), _>>());
            yield_now().await;
            aborted.abort();
            ends.push(aborted.outcome().await.is_cancelled());
            // Both while it runs and while it waits in the line.
            let mut running = g.spawn(pending::<Result<(), _>>());
            let mut queued = g.spawn(pending::<Result<(), _>>());
            yield_now().await;
            queued.abort();
            ends.push(queued.outcome().await.is_cancelled());
            running.abort();
            ends.push(running.outcome().await.is_cancelled());
            let mut late = g
                .task("late")
                .timeout(ms(5))
                .spawn(pending::<Result<(), _>>());
            ends.push(late.outcome().await.is_cancelled());
            let bomb = PanicOnDrop::new("bomb");
            let mut bombed = g.spawn(async move {
                let _bomb = bomb;
                pending::<Result<(), _>>().await
            });
            yield_now().await;
            bombed.abort();
            ends.push(bombed.outcome().await.is_panic());
            assert_eq!(ends, [true; 7]);
            assert!(g.try_spawn(async { Ok(()) }).is_ok(), "a slot was lost");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_timeout_begins_with_the_task_and_not_in_the_line() {
    TaskGroup::<()>::builder()
        .limit(1)
        .run(async |g| {
            g.spawn(async { Ok(sleep(HOUR).await) });
            g.task("waits long")
                .timeout(ms(10))
                .spawn(async { Ok(sleep(ms(5)).await) })
                .await;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn those_in_line_end_with_the_group_and_never_start() {
    let started = Instant::now();
    no_hang(TaskGroup::<()>::builder().limit(1).run(async |g| {
        g.spawn(pending::<Result<(), ()>>());
        for _ in 0..1000 {
            g.spawn(async { panic!("started") as Result<(), ()> });
        }
        yield_now().await;
        g.cancel(Reason::Requested);
        Ok(())
    }))
    .await
    .unwrap();
    assert_eq!(started.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_outside_is_not_forgotten_when_the_group_ends() {
    let (give, take) = oneshot::channel();
    let outside = tokio::spawn(async move {
        let g: TaskGroup<()> = take.await.unwrap();
        let mut task = g.spawn_ready(async { Ok(()) }).await;
        task.outcome().await
    });
    TaskGroup::<()>::builder()
        .limit(1)
        .run(async |g| {
            g.spawn(pending::<Result<(), ()>>());
            give.send(g.clone()).map_err(drop)?;
            sleep(ms(10)).await;
            g.cancel(Reason::Shutdown);
            Ok(())
        })
        .await
        .unwrap();
    let outcome = no_hang(outside).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Cancelled(Reason::Shutdown)),
        "{outcome:?}"
    );
}

#[test]
fn a_limit_of_zero_panics_at_the_callers_line() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = places.clone();
    let quiet = std::panic::take_hook();
    let this_thread = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == this_thread {
            let place = info.location().map(|at| (at.file().to_owned(), at.line()));
            seen.lock().unwrap().push(place.unwrap());
        }
    }));
    let group_line = Location::caller().line() + 1;
    let group = support::panic_message(|| TaskGroup::<()>::builder().limit(0));
    let map = support::panic_message(|| map_concurrent(0..3, 0, async |n| Ok::<_, ()>(n)));
    std::panic::set_hook(quiet);
    assert_eq!(
        group,
        "a task group with a limit of 0 never runs a task; the least is 1"
    );
    assert_eq!(
        map,
        "a concurrent map with a limit of 0 never runs an item; the least is 1"
    );
    let here = |line| (file!().to_owned(), line);
    assert_eq!(
        *places.lock().unwrap(),
        [here(group_line), here(group_line + 1)]
    );
}
