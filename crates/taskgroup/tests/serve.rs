//! A service ends in three steps: asked, aborted, left behind. And it says who needed which.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use shibuya_taskgroup::{
    OrCancelled, Reason, Served, Straggler, TaskGroup, cancelled, check, serve,
};
use shibuya_testkit::{Ending, Probes, cancel_at_every_poll};
use support::{HOUR, ms, on_threads, panic_of, text_of};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

fn names(tasks: &[Straggler]) -> Vec<String> {
    tasks.iter().map(|task| task.name().to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_ends_by_itself() {
    let Served { result, report } = serve(ms(10))
        .on(pending::<()>())
        .run(async |g| Ok::<_, ()>(g.spawn(async { Ok(2) }).await))
        .await;
    assert_eq!(result.unwrap(), 2);
    assert!(report.is_clean() && report.reason().is_none());
    assert_eq!(report.to_string(), "ended by itself");
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_it_with_the_same_grace() {
    let began = Instant::now();
    let served = serve(ms(10))
        .run(async |g| {
            g.task("polite").spawn(async {
                cancelled().await;
                Ok(())
            });
            g.task("deaf").spawn(pending::<Result<(), _>>());
            yield_now().await;
            Err::<(), _>("broken")
        })
        .await;
    assert_eq!(began.elapsed(), ms(10));
    assert_eq!(
        served.result.unwrap_err().into_first_error().unwrap(),
        "broken"
    );
    assert_eq!(served.report.reason(), Some(&Reason::Failed));
    assert_eq!(
        (served.report.finished(), names(served.report.aborted())),
        (1, vec!["deaf".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_trigger_asks_and_the_grace_aborts() {
    let began = Instant::now();
    let served = serve(ms(50))
        .name("shop")
        .on(pending::<()>())
        .on(async { sleep(ms(10)).await })
        .run(async |g| {
            g.task("done long ago").spawn(ready(Ok::<_, ()>(())));
            for name in ["polite", "polite, too"] {
                g.task(name).spawn(async {
                    assert_eq!(cancelled().await, Reason::Shutdown);
                    Ok(sleep(ms(20)).await)
                });
            }
            g.task("deaf").spawn(pending::<Result<(), _>>());
            g.shutdown_requested().await;
            assert_eq!(g.name().to_string(), "shop");
            Ok(5)
        })
        .await;
    assert_eq!(began.elapsed(), ms(60));
    // The body had its value; but not all ended by themselves.
    assert_eq!(served.result.or_cancelled(0).unwrap(), 5);
    let report = served.report;
    assert_eq!(
        (report.reason(), report.finished()),
        (Some(&Reason::Shutdown), 2)
    );
    assert_eq!(
        (names(report.aborted()), report.stuck().len()),
        (vec!["deaf".to_owned()], 0)
    );
    let text = report.to_string();
    assert!(
        text.starts_with(
            "went down (shutting down): 2 finished, 1 aborted, 0 stuck\naborted: `deaf` ("
        ),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_before_the_first_poll_counts() {
    for (grace, polled) in [(ms(10), true), (Duration::ZERO, false)] {
        let mut seen = None;
        let served = serve(grace)
            .on(ready(()))
            .run(async |_| {
                seen = Some(check().is_err());
                Ok::<_, ()>(())
            })
            .await;
        assert_eq!(served.report.reason(), Some(&Reason::Shutdown));
        assert_eq!(served.result.is_ok(), polled);
        assert_eq!(seen, polled.then_some(true));
    }
}

#[tokio::test(start_paused = true)]
async fn without_grace_all_are_aborted_at_once() {
    let served = serve(Duration::ZERO)
        .on(sleep(ms(5)))
        .run(async |g| {
            g.task("a").spawn(pending::<Result<(), ()>>());
            pending::<Result<(), _>>().await
        })
        .await;
    assert!(served.result.unwrap_err().is_cancelled());
    assert_eq!(names(served.report.aborted()), ["a"]);
}

/// A blocking thread can't be stopped by anyone, and a shield must not.
#[test]
fn who_is_stuck_is_named_and_left_behind() {
    on_threads(async {
        let stay = Arc::new(AtomicBool::new(true));
        let (held, (ended, has_ended)) = (stay.clone(), mpsc::channel());
        let (begun, has_begun) = oneshot::channel();
        let (shielded, was_shielded) = oneshot::channel();
        let served = serve(ms(5))
            .on(async move { drop(has_begun.await) })
            .abandon_after(ms(20))
            .run(async |g| {
                g.on_cleanup("waits for them", async move { Ok(ended.send(()).unwrap()) });
                g.task("thread").spawn_blocking(move |_| {
                    begun.send(()).unwrap();
                    while held.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    Ok::<_, ()>(())
                });
                g.task("deaf").spawn(pending::<Result<(), _>>());
                drop(g.shield(was_shielded));
                pending::<Result<(), _>>().await
            })
            .await;
        assert!(served.result.unwrap_err().is_cancelled());
        assert_eq!(names(served.report.aborted()), ["deaf"]);
        assert_eq!(served.report.stuck().len(), 2);
        assert_eq!(*served.report.stuck()[0].name(), "thread");
        assert!(!served.report.is_clean());
        // They go on, and the clean-ups after them.
        assert!(has_ended.try_recv().is_err());
        shielded.send(()).unwrap();
        stay.store(false, SeqCst);
        let ended = tokio::task::spawn_blocking(move || has_ended.recv());
        ended.await.unwrap().unwrap();
    });
}

/// One that ends in time is no straggler, though it begins only when all has been aborted; and it is waited for longer
/// than what can be dropped.
#[tokio::test(start_paused = true)]
async fn what_is_shielded_during_a_shutdown_runs_to_its_end() {
    let began = Instant::now();
    let (said, heard) = mpsc::channel();
    let served = serve(ms(10))
        .on(ready(()))
        .abandon_after(ms(1000))
        .run(async |g| {
            let (early, late) = (said.clone(), said.clone());
            let shield = g.shield(async move {
                assert_eq!(cancelled().await, Reason::Shutdown, "it is told");
                sleep(ms(20)).await;
                early.send("early").unwrap();
                7
            });
            g.on_cleanup(
                "after both",
                async move { Ok(said.send("cleaned up").unwrap()) },
            );
            let group = g.clone();
            g.task("deaf").spawn(async move {
                let _last_step = ShieldsOnDrop(group, late);
                pending::<Result<(), ()>>().await
            });
            yield_now().await;
            drop(shield); // nobody awaits it
            Ok(())
        })
        .await;
    assert!(served.report.stuck().is_empty(), "{}", served.report);
    assert_eq!(names(served.report.aborted()), ["deaf"]);
    served.result.unwrap();
    let said: Vec<_> = heard.try_iter().collect();
    assert_eq!(said, ["early", "late", "cleaned up"]);
    // Dropped at 10, where its last step began.
    assert_eq!(began.elapsed(), ms(10 + 50));
}

/// Has a step to take when it is dropped.
struct ShieldsOnDrop(TaskGroup<()>, mpsc::Sender<&'static str>);

impl Drop for ShieldsOnDrop {
    fn drop(&mut self) {
        let said = self.1.clone();
        drop(self.0.shield(async move {
            sleep(ms(50)).await;
            said.send("late").unwrap();
        }));
    }
}

/// Clean-ups have budgets of their own.
#[tokio::test(start_paused = true)]
async fn clean_ups_are_not_abandoned() {
    let began = Instant::now();
    let served = serve(ms(1))
        .on(ready(()))
        .abandon_after(ms(2))
        .run(async |g| {
            g.on_cleanup("slow", async { Ok(sleep(ms(100)).await) });
            g.task("deaf").spawn(pending::<Result<(), ()>>());
            Ok(1)
        })
        .await;
    assert_eq!(began.elapsed(), ms(101));
    assert_eq!(served.result.unwrap(), 1);
    assert!(served.report.stuck().is_empty());
}

/// Also where nothing but a failure ended it.
#[tokio::test(start_paused = true)]
async fn it_never_hangs_on_what_is_stuck() {
    let served = timeout(
        HOUR,
        serve(ms(1)).run(async |g| {
            drop(g.shield(pending::<()>()));
            g.cancel(Reason::Requested);
            Ok::<_, ()>(())
        }),
    );
    let served = served.await.unwrap();
    assert_eq!(served.report.stuck().len(), 1);
    assert_eq!(served.report.reason(), Some(&Reason::Requested));
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_panics_goes_on_here() {
    let probes = Probes::new();
    let run = serve(HOUR).on(async { panic!("trigger") }).run(async |g| {
        let probe = probes.probe(());
        g.spawn(async move {
            let _probe = probe;
            pending::<Result<(), ()>>().await
        });
        pending::<Result<(), _>>().await
    });
    assert_eq!(text_of(&*panic_of(run).await), "trigger");
    while probes.alive() > 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn dropped_at_every_poll_nothing_is_left() {
    let report = cancel_at_every_poll(
        "Serve::run",
        async || {
            let probes = Probes::new();
            let given = probes.clone();
            let run = serve(HOUR)
                .on(async {
                    yield_now().await;
                    yield_now().await;
                })
                .run(async move |g| {
                    let (probe, cleanup) = (given.probe(()), given.probe(()));
                    g.on_cleanup("a", async move { Ok(drop(cleanup)) });
                    g.spawn(async move {
                        let _probe = probe;
                        cancelled().await;
                        Ok::<_, ()>(())
                    });
                    g.shutdown_requested().await;
                    Ok(7)
                });
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(served) = ending {
                assert_eq!(served.result.unwrap(), 7);
                assert!(served.report.is_clean());
                probes.assert_all_dropped();
            }
            while probes.alive() > 0 {
                yield_now().await;
            }
        },
    )
    .await;
    assert!(report.polls >= 3, "{report:?}");

    let report = cancel_at_every_poll(
        "TaskGroup::shutdown_requested",
        async || {
            let (give, take) = oneshot::channel();
            let group = tokio::spawn(TaskGroup::<()>::builder().grace(HOUR).run(async |g| {
                assert!(give.send((g.clone(), g.shutdown_requested())).is_ok());
                yield_now().await;
                g.cancel(Reason::Shutdown);
                Ok(())
            }));
            let (g, requested) = take.await.unwrap();
            ((g, group), requested)
        },
        async |(g, group), _| {
            g.shutdown_requested().await;
            group.await.unwrap().unwrap();
        },
    )
    .await;
    assert!(report.polls >= 2, "{report:?}");
}
