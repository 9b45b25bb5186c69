//! Work for a processor: so much at a time, told when nobody wants it, and waited for by the group around it.
#![cfg(not(shibuya_loom))]

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

use shibuya_cancel::{check, remaining, timeout};
use shibuya_taskgroup::{CancelScope, CpuPool, Reason, TaskGroup, cpu};
use shibuya_testkit::Probes;
use support::{HOUR, ms, on_threads, panic_of, panic_site, poll_once, text_of};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::yield_now;

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

/// A pool of one, whose place is taken until the sender goes.
async fn busy() -> (CpuPool, mpsc::Sender<()>) {
    let pool = CpuPool::new(1);
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    tokio::spawn(pool.run(move |_| {
        begun.send(()).unwrap();
        let _ = released.recv();
    }));
    has_begun.await.unwrap();
    (pool, release)
}

async fn idle(pool: &CpuPool) {
    while pool.running() > 0 {
        yield_now().await;
    }
}

#[test]
fn the_value_comes_back_also_outside_of_a_group() {
    on_threads(async {
        let here = thread::current().id();
        let (value, there) = cpu(|_| (42, thread::current().id())).await;
        assert_eq!(value, 42);
        assert_ne!(there, here);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(cpu(|_| 7)), 7);
}

#[test]
fn never_more_than_the_permits_at_a_time() {
    on_threads(async {
        let pool = CpuPool::new(3);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runs = (0..30).map(|n| {
            let (running, most) = (running.clone(), most.clone());
            tokio::spawn(pool.run(move |_| {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                thread::sleep(ms(1));
                running.fetch_sub(1, SeqCst);
                n
            }))
        });
        for (n, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(run.await.unwrap(), n);
        }
        assert_eq!(most.load(SeqCst), 3);
        idle(&pool).await;
    });
}

#[test]
fn first_come_first_served() {
    on_threads(async {
        let (pool, release) = busy().await;
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut runs: Vec<_> = (0..5)
            .map(|n| {
                let order = order.clone();
                Box::pin(pool.run(move |_| order.lock().unwrap().push(n)))
            })
            .collect();
        for run in &mut runs {
            assert!(poll_once(run.as_mut()).await.is_pending());
        }
        assert_eq!((pool.permits(), pool.running(), pool.waiting()), (1, 1, 5));
        // The one in the middle leaves the line.
        drop(runs.remove(2));
        assert_eq!(pool.waiting(), 4);
        drop(release);
        // They have their place only while they are polled.
        futures_util::future::join_all(runs).await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 3, 4]);
    });
}

#[test]
fn one_that_is_dropped_in_the_line_never_starts() {
    on_threads(async {
        let (pool, release) = busy().await;
        let probes = Probes::new();
        let probe = probes.probe(());
        let mut waiting = Box::pin(pool.run(move |_| {
            drop(probe);
            panic!("it started");
        }));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        drop(waiting);
        probes.assert_all_dropped();
        drop(release);
        pool.run(|_| ()).await;
    });
}

#[test]
fn one_that_is_dropped_while_it_runs_is_told_and_keeps_its_place() {
    on_threads(async {
        let pool = CpuPool::new(1);
        let (begun, has_begun) = oneshot::channel();
        let (told, was_told) = oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut run = Box::pin(pool.run(move |scope| {
            begun.send(()).unwrap();
            told.send(until_told(scope)).unwrap();
            let _ = released.recv();
        }));
        assert!(poll_once(run.as_mut()).await.is_pending());
        has_begun.await.unwrap();
        drop(run);
        assert_eq!(was_told.await.unwrap(), Reason::Dropped);
        // It is still at work.
        let mut next = pin!(pool.run(|_| ()));
        assert!(poll_once(next.as_mut()).await.is_pending());
        assert_eq!((pool.running(), pool.waiting()), (1, 1));
        drop(release);
        next.await;
    });
}

#[test]
fn a_panic_goes_on_where_it_is_awaited_and_the_place_is_free_again() {
    on_threads(async {
        let pool = CpuPool::new(1);
        let payload = panic_of(pool.run(|_| panic!("bad block"))).await;
        assert_eq!(text_of(&*payload), "bad block");
        assert_eq!(pool.run(|_| 1).await, 1);

        let error = TaskGroup::<()>::run(async |g| {
            g.task("hash")
                .spawn(async { Ok(cpu(|_| panic!("bad")).await) })
                .await;
            Ok(())
        });
        let error = error.await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(*error.first().name(), "hash");
    });
}

#[test]
fn it_inherits_scope_and_deadline() {
    on_threads(async {
        let left = timeout(HOUR, cpu(|_| remaining())).await.unwrap();
        assert!(left.unwrap() <= HOUR);
        assert_eq!(cpu(|_| remaining()).await, None);

        let scope = CancelScope::builder().grace(HOUR).build();
        let (begun, has_begun) = oneshot::channel();
        let stop = scope.clone();
        let run = scope.run(cpu(move |scope| {
            begun.send(()).unwrap();
            until_told(scope)
        }));
        let (reason, ()) = tokio::join!(run, async {
            has_begun.await.unwrap();
            stop.cancel(Reason::other("enough"));
        });
        assert_eq!(reason.unwrap(), Reason::other("enough"));
    });
}

/// Where a deadline drops the wait, the group around it waits for the thread all the same.
#[test]
fn the_group_around_it_waits_for_the_thread() {
    on_threads(async {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let (begun, has_begun) = oneshot::channel();
        TaskGroup::<()>::run(async |_| {
            let mut run = Box::pin(cpu(move |scope| {
                begun.send(()).unwrap();
                until_told(scope);
                thread::sleep(ms(20));
                seen.store(true, SeqCst);
            }));
            assert!(poll_once(run.as_mut()).await.is_pending());
            has_begun.await.unwrap();
            Ok(drop(run))
        })
        .await
        .unwrap();
        assert!(ended.load(SeqCst), "the group ended before its thread did");
    });
}

#[test]
fn what_it_held_and_gave_is_gone_before_the_group_ends() {
    on_threads(async {
        let probes = Probes::new();
        let (held, given) = (probes.probe(()), probes.probe(()));
        let (begun, has_begun) = oneshot::channel();
        let error = TaskGroup::<&str>::run(async |g| {
            g.spawn(async move {
                cpu(move |scope| {
                    let _held = held;
                    begun.send(()).unwrap();
                    until_told(scope);
                    given
                })
                .await;
                Ok(())
            });
            has_begun.await.unwrap();
            Err::<(), _>("over")
        });
        assert_eq!(error.await.unwrap_err().into_first_error().unwrap(), "over");
        probes.assert_all_dropped();
    });
}

#[test]
fn a_runtime_that_shuts_down_waits_for_the_closure_and_drops_those_in_the_line() {
    let probes = Probes::new();
    let pool = CpuPool::new(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (begun, has_begun) = oneshot::channel();
    let probe = probes.probe(());
    runtime.spawn(pool.run(move |scope| {
        begun.send(()).unwrap();
        until_told(scope);
        drop(probe);
    }));
    runtime.block_on(has_begun).unwrap();
    let probe = probes.probe(());
    runtime.spawn(pool.run(move |_| drop(probe)));
    runtime.block_on(async {
        while pool.waiting() == 0 {
            yield_now().await;
        }
    });
    drop(runtime);
    probes.assert_all_dropped();
    assert_eq!((pool.running(), pool.waiting()), (0, 0));
}

/// Its thread may be late: the blocking pool is full of others.
#[test]
fn one_that_is_dropped_before_it_has_a_thread_never_starts() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let (pool, probes) = (CpuPool::new(1), Probes::new());
    let probe = probes.probe(());
    runtime.block_on(async {
        let mut run = Box::pin(pool.run(move |_| {
            drop(probe);
            panic!("it started");
        }));
        assert!(poll_once(run.as_mut()).await.is_pending());
        assert_eq!(pool.running(), 1);
        drop(run);
        drop(release);
        pool.run(|_| ()).await;
    });
    probes.assert_all_dropped();
}

/// Its thread can't be dropped, so it must not wait as if it were.
#[test]
fn one_that_waits_for_what_failed_ends_with_its_group() {
    on_threads(async {
        let failed = TaskGroup::run(async |g| {
            let runtime = Handle::current();
            let (begun, has_begun) = oneshot::channel();
            let task = g.spawn(async {
                has_begun.await.unwrap();
                Err::<(), _>("out of luck")
            });
            let waits = cpu(move |_| {
                begun.send(()).unwrap();
                runtime.block_on(task)
            });
            Ok(waits.await)
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.into_first_error().unwrap(), "out of luck");
    });
}

#[test]
fn no_permits_are_an_error_of_the_caller_and_no_runtime_is_named() {
    let line = line!();
    let (message, site) = panic_site(|| CpuPool::new(0));
    assert!(message.contains("0 permits"), "{message}");
    assert_eq!(site, (file!().to_owned(), line + 1));

    let line = line!() + 1;
    let mut homeless = Box::pin(cpu(|_| ()));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (message, _) = panic_site(|| homeless.as_mut().poll(&mut cx).is_ready());
    assert!(message.contains(&format!("cpu.rs:{line}:")), "{message}");
}
