//! A cancellation is known everywhere inside before anything is dropped for it, whatever thread it
//! comes from.
#![cfg(not(shibuya_loom))]

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use shibuya_cancel::{CancelScope, Reason, UntilCancelled, check};
use shibuya_taskgroup::{TaskGroup, map_concurrent};
use tokio::task::yield_now;

const ROUNDS: usize = 100;
const TASKS: usize = 50;

/// What one round of tasks saw.
#[derive(Default)]
struct Seen {
    begun: AtomicUsize,
    /// Who was dropped and knew why.
    told: AtomicUsize,
    /// Who was woken before all inside knew why.
    too_early: AtomicUsize,
}

fn mine() -> Reason {
    Reason::other("mine")
}

/// Notes what the scope says where it is dropped.
struct Asks(Arc<Seen>);

impl Drop for Asks {
    fn drop(&mut self) {
        let reason = CancelScope::current().and_then(|scope| scope.reason());
        if check().is_err() && reason == Some(mine()) {
            self.0.told.fetch_add(1, SeqCst);
        }
    }
}

/// Notes what a scope further in says when one further out wakes who waits there.
struct Looks {
    inside: CancelScope,
    seen: Arc<Seen>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        if self.inside.reason() != Some(mine()) {
            self.seen.too_early.fetch_add(1, SeqCst);
        }
    }
}

fn look(from: &CancelScope, inside: CancelScope, seen: Arc<Seen>) -> UntilCancelled {
    let waker = Waker::from(Arc::new(Looks { inside, seen }));
    let mut wait = from.cancelled();
    let polled = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    wait
}

/// Runs tasks that each have something of their own inside, and cancels them.
async fn cancel_all<Fut>(inside: impl Fn(CancelScope, Arc<Seen>) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let inside = Arc::new(inside);
    let rounds = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let seen = Arc::new(Seen::default());
            let ended = TaskGroup::run(async |g| {
                for _ in 0..TASKS {
                    let (inside, seen) = (inside.clone(), seen.clone());
                    g.spawn(async move {
                        let own = CancelScope::current().expect("a task is a scope");
                        inside(own, seen).await;
                        Ok::<_, ()>(())
                    });
                }
                while seen.begun.load(SeqCst) < TASKS {
                    yield_now().await;
                }
                g.cancel(mine());
                Ok(())
            });
            // Whether the body's end or the cancellation is first.
            let _ = ended.await;
            assert_eq!(seen.told.load(SeqCst), TASKS, "as many were told");
            assert_eq!(seen.too_early.load(SeqCst), 0);
        }
    });
    rounds.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_in_a_task_knows_why_it_is_dropped() {
    cancel_all(async |own, seen| {
        let inner = CancelScope::new();
        let _looks = look(&own, inner.clone(), seen.clone());
        let inside = inner.run(async move {
            let _asks = Asks(seen.clone());
            seen.begun.fetch_add(1, SeqCst);
            pending::<()>().await;
        });
        let _ = inside.await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_in_a_task_knows_why_it_is_dropped() {
    cancel_all(async |own, seen| {
        let inner = TaskGroup::run(async |g: TaskGroup<()>| {
            let _looks = look(&own, g.scope(), seen.clone());
            g.spawn(async move {
                let _asks = Asks(seen.clone());
                seen.begun.fetch_add(1, SeqCst);
                pending::<()>().await;
                Ok(())
            });
            pending::<Result<(), ()>>().await
        });
        let _ = inner.await;
    })
    .await;
}

/// Cancels a group from outside while `task` is being polled there. It looks at its own scope, and so
/// knows before it is told: many others are told first.
async fn cancel_during<Fut>(task: impl Fn(CancelScope, Arc<Seen>) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let rounds = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let seen = Arc::new(Seen::default());
            let ended = TaskGroup::run(async |g: TaskGroup<()>| {
                let task = task(g.scope(), seen.clone());
                g.spawn(async move {
                    task.await;
                    Ok(())
                });
                for _ in 0..TASKS {
                    let seen = seen.clone();
                    g.spawn(async move {
                        let _outer = CancelScope::new();
                        seen.begun.fetch_add(1, SeqCst);
                        pending::<Result<(), ()>>().await
                    });
                }
                let (stop, seen) = (g.clone(), seen.clone());
                std::thread::spawn(move || {
                    while seen.begun.load(SeqCst) <= TASKS {
                        std::thread::yield_now();
                    }
                    stop.cancel(mine());
                });
                pending::<Result<(), ()>>().await
            });
            assert!(ended.await.is_err());
            assert_eq!(seen.told.load(SeqCst), 1, "it was told");
            assert_eq!(seen.too_early.load(SeqCst), 0);
        }
    });
    rounds.await.unwrap();
}

fn spin_until_cancelled(group: &CancelScope) {
    while !group.is_cancelled() {
        std::hint::spin_loop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_task_opens_once_it_knows_is_cancelled_too() {
    cancel_during(async |group, seen| {
        let _asks = Asks(seen.clone());
        let _outer = CancelScope::new();
        seen.begun.fetch_add(1, SeqCst);
        spin_until_cancelled(&group);
        let late = CancelScope::new();
        let poll = async { seen.too_early.fetch_add(1, SeqCst) };
        let _ = late.run(poll).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_task_opened_before_it_knew_is_told_before_it_is_dropped() {
    cancel_during(async |group, seen| {
        let inside = CancelScope::new().run(async move {
            let _asks = Asks(seen.clone());
            seen.begun.fetch_add(1, SeqCst);
            spin_until_cancelled(&group);
            pending::<()>().await;
        });
        let _ = inside.await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stops_a_map_whose_work_is_always_ready() {
    const ITEMS: usize = 50_000_000;
    const FAILS: usize = 1000;
    let taken = Arc::new(AtomicUsize::new(0));
    let (count, seen) = (taken.clone(), taken.clone());
    let items = (0..ITEMS).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let map = map_concurrent(items, 2, move |n| {
        let seen = seen.clone();
        async move {
            if n != FAILS {
                return Ok(());
            }
            // Not before the other worker is in the midst of its work.
            while seen.load(SeqCst) < 2 * FAILS {
                yield_now().await;
            }
            Err(n)
        }
    });
    assert_eq!(map.await.unwrap_err().first().error(), Some(&FAILS));
    assert!(taken.load(SeqCst) < ITEMS, "it went on to the end");
}
