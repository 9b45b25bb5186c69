//! The bounded concurrent loop, and the fan.
#![cfg(not(shibuya_loom))]

mod support;

use std::collections::BTreeSet;
use std::iter;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use shibuya_taskgroup::{
    CancelScope, Cause, Reason, TaskGroup, cancelled, fan_out_fan_in, for_each_concurrent,
};
use shibuya_testkit::Probes;
use support::{HOUR, ms, on_threads, panic_site, poll_once};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

async fn nothing<T>(_: T) -> Result<(), ()> {
    Ok(())
}

#[test]
fn every_item_is_run_once() {
    on_threads(async {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = seen.clone();
        let run = for_each_concurrent(0..1000, 8, move |n| {
            let noted = noted.clone();
            async move {
                yield_now().await;
                assert!(noted.lock().unwrap().insert(n));
                Ok::<_, ()>(())
            }
        });
        run.await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 1000);
    });
}

#[tokio::test(start_paused = true)]
async fn never_more_than_the_limit_at_once() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let began = Instant::now();
    let run = for_each_concurrent(0..100, 5, move |_| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(ms(10)).await;
            running.fetch_sub(1, SeqCst);
            Ok::<_, ()>(())
        }
    });
    run.await.unwrap();
    assert_eq!(seen.load(SeqCst), 5);
    assert_eq!(began.elapsed(), ms(200));
}

#[tokio::test]
async fn a_failure_is_called_after_its_item_and_cancels_the_rest() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let endless = (0..).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let run = for_each_concurrent(endless, 4, async |n: usize| match n {
        17 => Err("odd"),
        _ => Ok(()),
    });
    let error = run.await.unwrap_err();
    assert_eq!(*error.first().name(), "item 17");
    assert_eq!(*error.name(), "for_each_concurrent");
    let end = taken.load(SeqCst);
    yield_now().await;
    assert_eq!(taken.load(SeqCst), end, "somebody still pulls");
}

#[tokio::test]
async fn panics_of_items_and_of_the_iterator_are_failures_of_an_item() {
    let run = for_each_concurrent(0..10, 2, async |n| {
        assert_ne!(n, 3);
        Ok::<_, ()>(())
    });
    let error = run.await.unwrap_err();
    assert!(matches!(error.first().cause(), Cause::Panic(_)));
    assert_eq!(*error.first().name(), "item 3");

    let items = (0..10).inspect(|n| assert_ne!(*n, 5, "no five"));
    let error = for_each_concurrent(items, 1, nothing).await.unwrap_err();
    assert_eq!(*error.first().name(), "item 5");
}

#[tokio::test]
async fn nothing_to_do_is_done_at_once() {
    let mut none = pin!(for_each_concurrent(iter::empty::<()>(), 4, nothing));
    assert!(poll_once(none.as_mut()).await.is_ready());
    // One that only finds out when it is asked.
    let none = (0..9).filter(|n| *n > 9);
    for_each_concurrent(none, 4, nothing).await.unwrap();
    let mut merged = fan_out_fan_in(iter::empty::<()>(), 4, nothing);
    assert!(merged.next().await.is_none());
    assert!(merged.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_scope_drops_it() {
    let probes = Probes::new();
    let items: Vec<_> = (0..10).map(|n| probes.probe(n)).collect();
    let scope = CancelScope::builder().timeout(ms(5)).build();
    let run = for_each_concurrent(items, 3, async |probe| {
        sleep(HOUR).await;
        drop(probe);
        Ok::<_, ()>(())
    });
    assert_eq!(
        *scope.run(run).await.unwrap_err().reason(),
        Reason::Deadline
    );
    while probes.alive() > 0 {
        yield_now().await;
    }
}

/// The items see the scope that the loop is awaited in.
#[tokio::test(start_paused = true)]
async fn items_are_told_within_the_grace() {
    let scope = CancelScope::builder().timeout(ms(5)).grace(ms(5)).build();
    let run = for_each_concurrent(0..3, 3, async |_| {
        assert_eq!(cancelled().await, Reason::Deadline);
        Ok::<_, ()>(())
    });
    scope.run(run).await.unwrap().unwrap();
}

#[test]
fn a_runtime_that_shuts_down_drops_the_items() {
    let probes = Probes::new();
    let items: Vec<_> = (0..4).map(|n| probes.probe(n)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let (begun, has_begun) = oneshot::channel();
    let begun = Mutex::new(Some(begun));
    let run = for_each_concurrent(items, 2, move |probe| {
        let begun = begun.lock().unwrap().take();
        async move {
            begun.into_iter().for_each(|begun| begun.send(()).unwrap());
            std::future::pending::<()>().await;
            drop(probe);
            Ok::<_, ()>(())
        }
    });
    runtime.spawn(run);
    runtime.block_on(has_begun).unwrap();
    drop(runtime);
    probes.assert_all_dropped();
}

#[test]
fn a_limit_of_none_is_an_error_of_the_caller() {
    let line = line!();
    let (message, site) = panic_site(|| drop(for_each_concurrent(0..1, 0, nothing)));
    assert!(message.contains("limit of 0"), "{message}");
    assert_eq!(site, (file!().to_owned(), line + 1));

    let line = line!();
    let (message, site) = panic_site(|| drop(fan_out_fan_in(0..1, 0, nothing)));
    assert!(message.contains("0 workers"), "{message}");
    assert_eq!(site, (file!().to_owned(), line + 1));
}

#[tokio::test(start_paused = true)]
async fn a_fan_merges_in_the_order_of_completion() {
    let mut merged = fan_out_fan_in([30, 10, 20, 5], 3, async |n| {
        sleep(ms(n)).await;
        Ok::<_, ()>(n)
    });
    let mut seen = Vec::new();
    while let Some(n) = merged.next().await {
        seen.push(n.unwrap());
    }
    // The last one had to wait for a worker: until 10, so it is ready at 15.
    assert_eq!(seen, [10, 5, 20, 30]);
}

#[tokio::test]
async fn a_fan_that_fails_says_so_by_its_own_name() {
    let mut merged = fan_out_fan_in(
        0..10,
        1,
        async |n| if n == 3 { Err("three") } else { Ok(n) },
    );
    let mut seen = Vec::new();
    let error = loop {
        match merged.next().await.unwrap() {
            Ok(n) => seen.push(n),
            Err(error) => break error,
        }
    };
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(
        (error.name().to_string(), error.first().name().to_string()),
        ("fan_out_fan_in".into(), "item 3".into())
    );
    assert!(merged.next().await.is_none());
}

/// On a blocking thread nobody drops who waits: it must not take what was cut off for the whole.
#[test]
fn what_was_cut_off_does_not_look_complete() {
    on_threads(async {
        let (begun, has_begun) = oneshot::channel();
        let begun = Arc::new(Mutex::new(Some(begun)));
        TaskGroup::<()>::run(async |g| {
            let handle = Handle::current();
            g.spawn_blocking(move |_| {
                let stuck = move |_| {
                    let begun = begun.lock().unwrap().take();
                    async move {
                        begun.into_iter().for_each(|begun| begun.send(()).unwrap());
                        std::future::pending::<Result<(), ()>>().await
                    }
                };
                let each = handle.block_on(for_each_concurrent(0..5, 2, stuck.clone()));
                assert!(each.unwrap_err().is_cancelled());
                let next = handle.block_on(fan_out_fan_in(0..5, 2, stuck).next());
                assert!(next.unwrap().unwrap_err().is_cancelled());
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
