//! A group whose future is dropped leaves tasks behind that have not noticed yet: the next group
//! further out that still waits for something waits for them.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use shibuya_taskgroup::{Reason, TaskGroup};
use shibuya_testkit::{Probe, Probes};
use support::{ms, on_threads, poll_once};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::sleep;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A group, already polled, with a blocking task inside, which no abort can hurry: it lives until
/// `stay` is false, and holds the probe until then.
async fn with_orphan(stay: &Arc<AtomicBool>, probe: Probe) -> Running {
    let (begun, has_begun) = oneshot::channel();
    let stay = stay.clone();
    let mut run: Running = Box::pin(async move {
        let _ = TaskGroup::<()>::run(async move |g| {
            g.spawn_blocking(move |_| {
                begun.send(()).unwrap();
                while stay.load(SeqCst) {
                    thread::yield_now();
                }
                drop(probe);
                Ok(())
            });
            pending::<Result<(), ()>>().await
        })
        .await;
    });
    assert!(poll_once(run.as_mut()).await.is_pending());
    has_begun.await.unwrap();
    run
}

/// Lets the orphan go a little later, from outside.
fn release_later(stay: &Arc<AtomicBool>) {
    let stay = stay.clone();
    thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(20));
        stay.store(false, SeqCst);
    });
}

fn fixture() -> (Probes, Arc<AtomicBool>) {
    (Probes::new(), Arc::new(AtomicBool::new(true)))
}

#[test]
fn of_a_group_dropped_in_a_body() {
    on_threads(async {
        let (probes, stay) = fixture();
        TaskGroup::<()>::run(async |_| {
            drop(with_orphan(&stay, probes.probe(())).await);
            assert_eq!(probes.alive(), 1, "the drop does not wait");
            release_later(&stay);
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

#[test]
fn of_a_group_dropped_in_a_task() {
    on_threads(async {
        let (probes, stay) = fixture();
        let (probe, held) = (probes.probe(()), stay.clone());
        TaskGroup::<()>::run(async |g| {
            g.spawn(async move {
                drop(with_orphan(&held, probe).await);
                release_later(&held);
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

#[test]
fn of_a_group_whose_body_was_cut() {
    on_threads(async {
        let (probes, stay) = fixture();
        let error = TaskGroup::<&str>::run(async |g| {
            let inner = with_orphan(&stay, probes.probe(())).await;
            release_later(&stay);
            g.spawn(async { Err::<(), _>("cut it") });
            inner.await;
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(error.into_first_error().unwrap(), "cut it");
        probes.assert_all_dropped();
    });
}

#[test]
fn of_a_group_whose_task_was_cut() {
    on_threads(async {
        let (probes, stay) = fixture();
        let (probe, held) = (probes.probe(()), stay.clone());
        let (ready, is_ready) = oneshot::channel();
        TaskGroup::<()>::run(async |g| {
            g.spawn(async move {
                let inner = with_orphan(&held, probe).await;
                ready.send(()).unwrap();
                inner.await;
                Ok(())
            });
            is_ready.await.unwrap();
            release_later(&stay);
            g.cancel(Reason::Requested);
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

#[test]
fn three_levels_deep_where_all_between_are_dropped() {
    on_threads(async {
        let (probes, stay) = fixture();
        let (probe, held) = (probes.probe(()), stay.clone());
        let (ready, is_ready) = oneshot::channel();
        TaskGroup::<()>::run(async |_| {
            let middle = TaskGroup::<()>::run(async move |g| {
                g.spawn(async move {
                    let lower = TaskGroup::<()>::run(async |g| {
                        g.spawn(async move {
                            let inner = with_orphan(&held, probe).await;
                            ready.send(()).unwrap();
                            inner.await;
                            Ok(())
                        });
                        Ok(())
                    });
                    let _ = lower.await;
                    Ok(())
                });
                Ok(())
            });
            tokio::select! {
                biased;
                _ = middle => unreachable!("its task stays"),
                ready = is_ready => ready.unwrap(),
            }
            assert_eq!(probes.alive(), 1);
            release_later(&stay);
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

/// The middle group is over when the inner one is dropped, so it can't be the one that waits; its
/// count must not be touched, and the outer's neither more nor less than once.
#[test]
fn of_a_group_that_was_carried_out_of_one_that_is_over() {
    on_threads(async {
        for drop_middle in [false, true] {
            let (probes, stay) = fixture();
            let finished = Arc::new(AtomicBool::new(false));
            let done = finished.clone();
            TaskGroup::<()>::run(async |g| {
                let carried = Mutex::new(None);
                let mut middle = Box::pin(TaskGroup::<()>::run(async |_| {
                    let inner = with_orphan(&stay, probes.probe(())).await;
                    *carried.lock().unwrap() = Some(inner);
                    if drop_middle {
                        pending::<()>().await;
                    }
                    Ok(())
                }));
                while poll_once(middle.as_mut()).await.is_pending() {
                    if carried.lock().unwrap().is_some() {
                        break;
                    }
                    yield_now().await;
                }
                drop(middle);
                drop(carried);
                g.spawn(async move {
                    sleep(ms(40)).await;
                    done.store(true, SeqCst);
                    Ok(())
                });
                release_later(&stay);
                Ok(())
            })
            .await
            .unwrap();
            probes.assert_all_dropped();
            assert!(finished.load(SeqCst), "the outer group ended too early");
        }
    });
}

/// Each leaves its place in the next one further out; a chain of them must not use up the stack.
#[test]
fn of_many_groups_dropped_at_once() {
    fn nest(depth: usize, ready: oneshot::Sender<()>) -> Running {
        Box::pin(async move {
            let _ = TaskGroup::<()>::run(async |g| {
                g.spawn(async move {
                    match depth.checked_sub(1) {
                        Some(depth) => nest(depth, ready).await,
                        None => {
                            ready.send(()).unwrap();
                            pending().await
                        }
                    }
                    Ok(())
                });
                Ok(())
            })
            .await;
        })
    }
    on_threads(async {
        TaskGroup::<()>::run(async |_| {
            let (ready, is_ready) = oneshot::channel();
            tokio::select! {
                () = nest(1000, ready) => unreachable!("the deepest stays"),
                ready = is_ready => ready.unwrap(),
            }
            Ok(())
        })
        .await
        .unwrap();
    });
}
