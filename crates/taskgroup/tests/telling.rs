//! A cancellation is known everywhere inside before anything is dropped for it, whatever thread it
//! comes from.
#![cfg(not(shibuya_loom))]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shibuya_cancel::{CancelScope, Reason, check};
use shibuya_taskgroup::{TaskGroup, map_concurrent};
use tokio::task::yield_now;

const ROUNDS: usize = 100;
const TASKS: usize = 50;

/// Notes what the scope says where it is dropped.
struct Asks(Arc<AtomicUsize>);

impl Drop for Asks {
    fn drop(&mut self) {
        let reason = CancelScope::current().and_then(|scope| scope.reason());
        if check().is_err() && reason == Some(Reason::other("mine")) {
            self.0.fetch_add(1, SeqCst);
        }
    }
}

/// Runs tasks that each have something of their own inside, and cancels them.
async fn cancel_all<Fut>(inside: impl Fn(Asks, Arc<AtomicUsize>) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let rounds = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let begun = Arc::new(AtomicUsize::new(0));
            let ended = TaskGroup::run(async |g| {
                for _ in 0..TASKS {
                    let inside = inside(Asks(told.clone()), begun.clone());
                    g.spawn(async move {
                        inside.await;
                        Ok::<_, ()>(())
                    });
                }
                while begun.load(SeqCst) < TASKS {
                    yield_now().await;
                }
                g.cancel(Reason::other("mine"));
                Ok(())
            });
            // Whether the body's end or the cancellation is first.
            let _ = ended.await;
        }
    });
    rounds.await.unwrap();
    assert_eq!(count.load(SeqCst), ROUNDS * TASKS, "as many were told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_in_a_task_knows_why_it_is_dropped() {
    cancel_all(async |asks, begun| {
        let inner = CancelScope::new().run(async move {
            let _asks = asks;
            begun.fetch_add(1, SeqCst);
            pending::<()>().await;
        });
        let _ = inner.await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_in_a_task_knows_why_it_is_dropped() {
    cancel_all(async |asks, begun| {
        let inner = TaskGroup::run(async |g: TaskGroup<()>| {
            g.spawn(async move {
                let _asks = asks;
                begun.fetch_add(1, SeqCst);
                pending::<()>().await;
                Ok(())
            });
            pending::<Result<(), ()>>().await
        });
        let _ = inner.await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_task_opens_once_it_knows_is_cancelled_too() {
    let polled = Arc::new(AtomicUsize::new(0));
    for _ in 0..ROUNDS {
        let (polled, begun) = (polled.clone(), Arc::new(AtomicUsize::new(0)));
        let ended = TaskGroup::run(async move |g: TaskGroup<()>| {
            let ready = begun.clone();
            g.spawn(async move {
                let _outer = CancelScope::new();
                ready.fetch_add(1, SeqCst);
                while check().is_ok() {
                    std::hint::spin_loop();
                }
                let late = CancelScope::new();
                let poll = async move { polled.fetch_add(1, SeqCst) };
                let _ = late.run(poll).await;
                Ok(())
            });
            for _ in 0..TASKS {
                let ready = begun.clone();
                g.spawn(async move {
                    let _outer = CancelScope::new();
                    ready.fetch_add(1, SeqCst);
                    pending::<Result<(), ()>>().await
                });
            }
            let stop = g.clone();
            std::thread::spawn(move || {
                while begun.load(SeqCst) <= TASKS {
                    std::thread::yield_now();
                }
                stop.cancel(Reason::Shutdown);
            });
            pending::<Result<(), ()>>().await
        });
        assert!(tokio::spawn(ended).await.unwrap().is_err());
    }
    assert_eq!(polled.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stops_a_map_whose_work_is_always_ready() {
    const ITEMS: usize = 50_000_000;
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let items = (0..ITEMS).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let map = map_concurrent(items, 2, async |n| if n == 1000 { Err(n) } else { Ok(()) });
    assert_eq!(map.await.unwrap_err().first().error(), Some(&1000));
    assert!(taken.load(SeqCst) < ITEMS, "it went on to the end");
}
