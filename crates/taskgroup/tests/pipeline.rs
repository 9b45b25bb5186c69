//! Stages with workers of their own.
#![cfg(not(shibuya_loom))]

mod support;

use std::iter;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use shibuya_taskgroup::{
    CancelScope, Cause, GroupError, Pipeline, Reason, StageStats, TaskGroup, cancelled, pipeline,
    pipeline_stream,
};
use shibuya_testkit::{Probe, Probes};
use support::{HOUR, ms, on_threads, panic_site, poll_once};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

async fn same<T>(value: T) -> Result<T, &'static str> {
    yield_now().await;
    Ok(value)
}

fn numbers(n: usize) -> Pipeline<usize, &'static str> {
    pipeline(0..n)
}

async fn all_gone(probes: &Probes) {
    while probes.alive() > 0 {
        yield_now().await;
    }
}

/// How an error names what failed.
fn named<E>(error: &GroupError<E>) -> String {
    error.first().name().to_string()
}

#[test]
fn run_gives_the_values_in_the_order_of_the_input() {
    on_threads(async {
        let values = numbers(500)
            .stage("first", 7, 3, async |n| {
                for _ in 0..n % 5 {
                    yield_now().await;
                }
                Ok(n.to_string())
            })
            .stage("second", 3, 20, async |text: String| Ok(text.len()))
            .run();
        let expected: Vec<_> = (0..500).map(|n: usize| n.to_string().len()).collect();
        assert_eq!(values.await.unwrap(), expected);
    });
}

#[tokio::test]
async fn the_sources_without_a_stage() {
    assert_eq!(numbers(5).run().await.unwrap(), [0, 1, 2, 3, 4]);
    let streamed = pipeline_stream::<_, ()>(stream::iter(1..4).then(async |n| n));
    assert_eq!(streamed.run().await.unwrap(), [1, 2, 3]);
    assert!(
        pipeline::<_, ()>(iter::empty::<u8>())
            .run()
            .await
            .unwrap()
            .is_empty()
    );
    let nothing = numbers(0).stage("idle", 2, 2, same).stream();
    assert_eq!(nothing.count().await, 0);
    numbers(0).for_each(async |_| Err("called")).await.unwrap();
}

/// One worker per stage keeps the order, whatever each item takes; more give what is ready.
#[tokio::test(start_paused = true)]
async fn streams_have_the_order_of_completion() {
    let slow_first = |workers| {
        numbers(6)
            .stage("wait", workers, 2, async |n| {
                sleep(ms(60 - 10 * n as u64)).await;
                Ok(n)
            })
            .stage("pass", 1, 2, same)
            .stream()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    };
    assert_eq!(slow_first(1).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(slow_first(6).await, [5, 4, 3, 2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn as_many_at_a_time_as_there_are_workers() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let began = Instant::now();
    let run = numbers(20).stage("wait", 4, 1, move |n| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(ms(10)).await;
            running.fetch_sub(1, SeqCst);
            Ok(n)
        }
    });
    run.run().await.unwrap();
    assert_eq!((seen.load(SeqCst), began.elapsed()), (4, ms(50)));
}

/// Lets the other tasks do all that they can.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

fn counts(stats: &StageStats) -> [u64; 5] {
    let StageStats {
        entered,
        left,
        discarded,
        ..
    } = *stats;
    [
        entered,
        stats.buffered as u64,
        stats.in_flight as u64,
        left,
        discarded,
    ]
}

#[tokio::test]
async fn a_consumer_that_pauses_has_all_stages_pause() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let endless = (0_usize..).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let line = pipeline(endless)
        .stage("first", 3, 4, same)
        .stage("second", 2, 5, same);
    let monitor = line.monitor();
    let mut values = line.stream();
    assert!(poll_once(pin!(values.next())).await.is_pending());
    settle().await;
    // Those in front of the consumer, too, have the last buffer's room.
    assert_eq!(pulled.load(SeqCst), (4 + 3) + (5 + 2) + 5);
    let stats = monitor.stats();
    assert_eq!(
        stats.iter().map(counts).collect::<Vec<_>>(),
        [[19, 4, 3, 12, 0], [12, 5, 2, 5, 0]]
    );
    assert_eq!(
        (
            stats[0].name.to_string(),
            stats[0].workers,
            stats[0].capacity
        ),
        ("first".into(), 3, 4)
    );

    // As many as are taken come after.
    for _ in 0..10 {
        values.next().await.unwrap().unwrap();
    }
    settle().await;
    assert_eq!(pulled.load(SeqCst), 29);

    drop(values);
    settle().await;
    assert_eq!(pulled.load(SeqCst), 29, "somebody still pulls");
    for stage in monitor.stats() {
        let [entered, buffered, in_flight, left, discarded] = counts(&stage);
        assert_eq!((buffered, in_flight), (0, 0), "{stage:?}");
        assert_eq!(entered, left + discarded, "{stage:?}");
    }
}

#[tokio::test]
async fn a_filter_lets_go() {
    let line = numbers(10)
        .filter_stage("even", 2, 2, async |n| Ok((n % 2 == 0).then_some(n / 2)))
        .stage("pass", 1, 1, same);
    let monitor = line.monitor();
    assert_eq!(line.run().await.unwrap(), [0, 1, 2, 3, 4]);
    let counts: Vec<_> = monitor.stats().iter().map(counts).collect();
    assert_eq!(counts, [[10, 0, 0, 5, 5], [5, 0, 0, 5, 0]]);
}

#[tokio::test]
async fn a_failure_names_its_stage_and_item_and_cancels_all() {
    let probes = Probes::new();
    let items: Vec<_> = (0..40).map(|n| probes.probe(n)).collect();
    let line;
    let run = pipeline(items)
        .stage("fetch", 3, 2, same)
        .stage("parse", 2, 2, {
            line = line!() - 1;
            async |probe: Probe<usize>| match *probe {
                17 => Err("bad"),
                _ => Ok(probe),
            }
        })
        .stage("store", 1, 2, same)
        .run();
    let error = run.await.unwrap_err();
    probes.assert_all_dropped();
    assert_eq!(named(&error), "parse, item 17");
    assert_eq!(error.first().location().line(), line);
    assert_eq!(
        (error.len(), error.name().to_string()),
        (1, "pipeline".into())
    );
    assert_eq!(error.into_first_error().unwrap(), "bad");
}

#[tokio::test]
async fn panics_are_failures_of_an_item() {
    let run = numbers(9).stage("parse", 2, 2, async |n| {
        assert_ne!(n, 3);
        Ok(n)
    });
    let error = run.run().await.unwrap_err();
    assert!(matches!(error.first().cause(), Cause::Panic(_)));
    assert_eq!(named(&error), "parse, item 3");

    // In the call itself, before there is a future.
    let run = numbers(9).stage("parse", 2, 2, |n| {
        assert_ne!(n, 4);
        same(n)
    });
    assert_eq!(named(&run.run().await.unwrap_err()), "parse, item 4");

    let items = (0..9).inspect(|n| assert_ne!(*n, 5));
    let error = pipeline(items)
        .stage("parse", 1, 1, same)
        .run()
        .await
        .unwrap_err();
    assert_eq!(named(&error), "source, item 5");
}

#[tokio::test]
async fn a_consumer_that_fails_is_named_too() {
    let mut sum = 0;
    let run = numbers(9).stage("pass", 1, 2, same).for_each(|n| {
        sum += n;
        async move { if n == 5 { Err("five") } else { Ok(()) } }
    });
    assert_eq!(named(&run.await.unwrap_err()), "for_each, item 5");
    assert_eq!(sum, 15);

    let run = numbers(9).for_each(async |n| {
        assert_ne!(n, 2);
        Ok(())
    });
    assert_eq!(named(&run.await.unwrap_err()), "for_each, item 2");
}

#[tokio::test]
async fn a_stream_gives_what_came_through_then_the_error_then_ends() {
    let mut values = numbers(9)
        .stage("pass", 1, 20, same)
        .stage(
            "five",
            1,
            20,
            async |n| if n == 5 { Err("five") } else { Ok(n) },
        )
        .stream();
    let mut seen = Vec::new();
    let error = loop {
        match values.next().await.unwrap() {
            Ok(n) => seen.push(n),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (seen, named(&error)),
        (vec![0, 1, 2, 3, 4], "five, item 5".into())
    );
    assert!(values.next().await.is_none());
    assert!(values.next().await.is_none());
}

#[test]
fn a_consumer_that_leaves_early_leaves_nothing() {
    on_threads(async {
        let probes = Probes::new();
        let items: Vec<_> = (0..100).map(|n| probes.probe(n)).collect();
        let mut values = pipeline(items)
            .stage("first", 3, 2, same)
            .stage("second", 3, 2, same)
            .stream();
        for _ in 0..10 {
            values.next().await.unwrap().unwrap();
        }
        drop(values);
        all_gone(&probes).await;
    });
}

/// The group further out waits for what a dropped pipeline leaves.
#[test]
fn a_group_waits_for_a_pipeline_that_was_dropped_inside() {
    on_threads(async {
        let probes = Probes::new();
        let items: Vec<_> = (0..100).map(|n| probes.probe(n)).collect();
        TaskGroup::<()>::run(async |_| {
            let mut values = pipeline(items)
                .stage("first", 3, 2, same)
                .stage("second", 3, 2, same)
                .stream();
            values.next().await.unwrap().unwrap();
            Ok(drop(values))
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

/// A monitor that is kept for long keeps no values.
#[tokio::test]
async fn a_monitor_keeps_no_value() {
    let probes = Probes::new();
    let items: Vec<_> = (0..10).map(|n| probes.probe(n)).collect();
    let line = pipeline(items)
        .stage("one", 1, 2, same)
        .stage("two", 1, 2, same);
    let monitor = line.monitor();
    let mut run = Box::pin(line.run());
    while monitor.stats()[1].entered < 2 {
        assert!(poll_once(run.as_mut()).await.is_pending());
        yield_now().await;
    }
    drop(run);
    all_gone(&probes).await;
    assert!(monitor.stats()[0].discarded > 0, "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_scope_is_seen_in_every_stage_and_drops_them() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let scope = CancelScope::builder().timeout(ms(5)).grace(ms(5)).build();
    let run = numbers(2).stage("wait", 2, 1, move |_| {
        let count = count.clone();
        async move {
            assert_eq!(cancelled().await, Reason::Deadline);
            count.fetch_add(1, SeqCst);
            sleep(HOUR).await;
            Ok(())
        }
    });
    let cancelled = scope.run(run.run()).await.unwrap_err();
    assert_eq!(*cancelled.reason(), Reason::Deadline);
    assert_eq!(told.load(SeqCst), 2);
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
                let line = || {
                    let begun = begun.clone();
                    numbers(5).stage("stuck", 2, 2, move |n| {
                        let begun = begun.lock().unwrap().take();
                        async move {
                            begun.into_iter().for_each(|begun| begun.send(()).unwrap());
                            std::future::pending::<()>().await;
                            Ok(n)
                        }
                    })
                };
                let end = handle.block_on(line().stream().next());
                assert!(end.unwrap().unwrap_err().is_cancelled());
                assert!(handle.block_on(line().run()).unwrap_err().is_cancelled());
                let each = line().for_each(async |_| Ok(()));
                assert!(handle.block_on(each).unwrap_err().is_cancelled());
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
fn a_stream_that_is_cancelled_before_it_began_ends_too() {
    on_threads(async {
        TaskGroup::<()>::run(async |g| {
            let handle = Handle::current();
            let (begun, has_begun) = oneshot::channel();
            g.spawn_blocking(move |scope| {
                begun.send(()).unwrap();
                handle.block_on(scope.cancelled());
                let mut line = numbers(5).stage("same", 1, 1, same).stream();
                let error = handle.block_on(line.next()).unwrap().unwrap_err();
                assert!(error.is_cancelled());
                assert!(handle.block_on(line.next()).is_none());
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
fn a_runtime_that_shuts_down_drops_the_values() {
    let probes = Probes::new();
    let items: Vec<_> = (0..20).map(|n| probes.probe(n)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let line = pipeline(items)
        .stage("pass", 2, 2, same)
        .stage("stuck", 2, 2, async |probe| {
            std::future::pending::<()>().await;
            Ok(probe)
        });
    let monitor = line.monitor();
    runtime.spawn(line.run());
    runtime.block_on(async {
        while monitor.stats()[1].in_flight < 2 {
            yield_now().await;
        }
    });
    drop(runtime);
    probes.assert_all_dropped();
}

#[test]
fn no_workers_or_no_buffer_is_an_error_of_the_caller() {
    let line = line!();
    let (message, site) = panic_site(|| drop(numbers(1).stage("parse", 0, 1, same)));
    assert!(message.contains("stage `parse`: 0 workers"), "{message}");
    assert_eq!(site, (file!().to_owned(), line + 1));

    let line = line!();
    let (message, site) = panic_site(|| drop(numbers(1).stage("parse", 1, 0, same)));
    assert!(
        message.contains("stage `parse`: a buffer of 0"),
        "{message}"
    );
    assert_eq!(site, (file!().to_owned(), line + 1));

    let line = line!();
    let (_, site) = panic_site(|| drop(numbers(1).filter_stage("x", 0, 1, async |n| Ok(Some(n)))));
    assert_eq!(site, (file!().to_owned(), line + 1));
}

/// The source is asked for an item only when there is room for it.
#[tokio::test]
async fn an_item_is_pulled_when_there_is_room() {
    let gate = Arc::new(Semaphore::new(0));
    let (opened, asked) = (gate.clone(), Arc::new(AtomicBool::new(false)));
    let noted = asked.clone();
    let items = (0..3).inspect(move |n| noted.store(*n == 2, SeqCst));
    let mut run = pin!(
        pipeline(items)
            .stage("gate", 1, 1, move |n| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, ()>(n)
                }
            })
            .run()
    );
    assert!(poll_once(run.as_mut()).await.is_pending());
    settle().await;
    assert!(
        !asked.load(SeqCst),
        "one at work, one in the buffer, and no place for a third"
    );
    opened.add_permits(3);
    assert_eq!(run.await.unwrap(), [0, 1, 2]);
    assert!(asked.load(SeqCst));
}
