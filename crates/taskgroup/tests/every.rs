//! `every`: when runs come, what ends them, and that nothing of a dropped loop goes on.
#![cfg(not(shibuya_loom))]

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use shibuya_cancel::{CancelScope, cancelled, timeout};
use shibuya_taskgroup::{Missed, Reason, TaskGroup, every};
use shibuya_testkit::{Ending, Probes, cancel_at_every_poll};
use support::{HOUR, ms, panics_here};
use tokio::time::{Instant, sleep};

/// When the runs of such a loop begin, in milliseconds, where the second takes 9 ms.
async fn begun(missed: Missed, immediately: bool) -> Vec<u128> {
    let start = Instant::now();
    let mut begun = Vec::new();
    let mut rhythm = every(ms(4)).missed(missed).times(6);
    if immediately {
        rhythm = rhythm.immediately();
    }
    let ended: Result<(), Infallible> = rhythm
        .run(|| {
            begun.push(start.elapsed().as_millis());
            let is_slow = begun.len() == 2;
            async move {
                Ok(if is_slow {
                    sleep(ms(9)).await
                })
            }
        })
        .await;
    assert_eq!(ended, Ok(()));
    begun
}

#[tokio::test(start_paused = true)]
async fn runs_come_by_the_schedule() {
    let late = begun(Missed::Skip, true).await;
    assert_eq!(late, [0, 4, 16, 20, 24, 28]);
    let late = begun(Missed::Burst, true).await;
    assert_eq!(late, [0, 4, 13, 13, 16, 20]);
    let late = begun(Missed::Delay, true).await;
    assert_eq!(late, [0, 4, 17, 21, 25, 29]);
    let later = begun(Missed::Skip, false).await;
    assert_eq!(later, [4, 8, 20, 24, 28, 32], "after one period");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_always_takes_too_long_never_overlaps_itself() {
    for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
        let at_work = Cell::new(0);
        let run = every(ms(2)).missed(missed).times(20).run(async || {
            assert_eq!(at_work.replace(1), 0);
            sleep(ms(7)).await;
            at_work.set(0);
            Ok::<_, Infallible>(())
        });
        assert_eq!(run.await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_jitter_delays_each_run_and_not_the_schedule() {
    async fn begun(seed: u64) -> Vec<Duration> {
        let start = Instant::now();
        let mut begun = Vec::new();
        let rhythm = every(ms(100)).jitter(ms(100)).seed(seed).times(200);
        let run = rhythm.run(|| {
            begun.push(start.elapsed());
            ready(Ok::<_, Infallible>(()))
        });
        assert_eq!(run.await, Ok(()));
        begun
    }
    let times = begun(1).await;
    for (run, time) in times.iter().enumerate() {
        let due = ms(100) * (run as u32 + 1);
        assert!(due <= *time && *time <= due + ms(100), "{run}: {time:?}");
    }
    assert_eq!(times, begun(1).await);
    assert_ne!(times, begun(2).await);
}

#[tokio::test(start_paused = true)]
async fn the_first_run_at_once_has_no_jitter() {
    let start = Instant::now();
    let rhythm = every(HOUR).jitter(HOUR).immediately().times(1);
    rhythm.run(async || Ok::<_, ()>(())).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_it() {
    let mut runs = 0;
    let ended = every(ms(3)).run(|| {
        runs += 1;
        ready(if runs == 4 { Err("broken") } else { Ok(()) })
    });
    assert_eq!(ended.await, Err("broken"));
    assert_eq!(runs, 4);
}

#[tokio::test(start_paused = true)]
async fn a_break_ends_it_with_a_value() {
    let mut runs = 0;
    let found = every(ms(3)).run_until(|| {
        runs += 1;
        ready(Ok::<_, ()>(if runs == 4 {
            Break(runs)
        } else {
            Continue(())
        }))
    });
    assert_eq!(found.await, Ok(Some(4)));
    let failed = every(ms(3)).run_until(async || Err::<std::ops::ControlFlow<()>, _>("broken"));
    assert_eq!(failed.await, Err("broken"));
    let none = every(ms(3)).times(5).run_until(|| {
        runs += 1;
        ready(Ok::<std::ops::ControlFlow<()>, ()>(Continue(())))
    });
    assert_eq!(none.await, Ok(None));
    assert_eq!(runs, 9);
}

#[tokio::test(start_paused = true)]
async fn none_at_all_is_ready_at_once() {
    let start = Instant::now();
    let run = every(HOUR)
        .times(0)
        .run(async || -> Result<(), ()> { panic!("it ran") });
    assert_eq!(run.await, Ok(()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_scope_ends_it_cleanly_between_runs() {
    let scope = CancelScope::builder().grace(HOUR).build();
    let stop = scope.clone();
    let start = Instant::now();
    let mut runs = 0;
    let (ended, ()) = tokio::join!(
        scope.run(every(ms(10)).run(|| {
            runs += 1;
            ready(Ok::<_, ()>(()))
        })),
        async {
            sleep(ms(35)).await;
            stop.cancel(Reason::Requested);
        }
    );
    assert_eq!(ended.unwrap(), Ok(()));
    assert_eq!((runs, start.elapsed()), (3, ms(35)), "it does not sit out");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_scope_lets_the_run_at_work_end() {
    let scope = CancelScope::builder().grace(HOUR).build();
    let stop = scope.clone();
    let runs = Cell::new(0);
    let ended = scope
        .run(every(ms(10)).missed(Missed::Burst).run(async || {
            runs.set(runs.get() + 1);
            stop.cancel(Reason::Requested);
            cancelled().await;
            sleep(ms(100)).await;
            Ok::<_, ()>(())
        }))
        .await;
    assert_eq!(ended.unwrap(), Ok(()));
    assert_eq!(runs.get(), 1, "those that are due are not made up for");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_it() {
    let probes = Probes::new();
    let run = every(ms(1)).run(async || {
        let _probe = probes.probe(());
        pending::<Result<(), ()>>().await
    });
    assert!(timeout(ms(20), run).await.is_err());
    probes.assert_all_dropped();
}

/// The scope is the one in which it is polled: a task is made before it runs.
#[tokio::test(start_paused = true)]
async fn a_loop_that_is_a_task_ends_with_its_group() {
    let group = TaskGroup::<()>::builder().grace(HOUR);
    let (start, ran) = (
        Instant::now(),
        group.run(async |g| {
            let beat = g.spawn(every(ms(1)).run(async || Ok(())));
            sleep(ms(10)).await;
            g.cancel(Reason::Requested);
            Ok(beat.await)
        }),
    );
    assert_eq!(ran.await.unwrap(), ());
    assert_eq!(start.elapsed(), ms(10));
}

/// What it borrows and changes does not keep it from other threads.
#[test]
fn a_loop_is_send_when_its_function_is() {
    let counted = support::on_threads(async {
        tokio::spawn(async {
            let mut runs = 0;
            let rhythm = every(ms(1)).immediately().times(3);
            let name = String::from("loop");
            let ended = rhythm.run(|| {
                runs += 1;
                async {
                    tokio::task::yield_now().await;
                    if name == "loop" {
                        Ok(())
                    } else {
                        Err(name.clone())
                    }
                }
            });
            ended.await.unwrap();
            runs
        })
        .await
    });
    assert_eq!(counted.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
#[should_panic = "in a run"]
async fn a_panic_goes_on() {
    let _ = every(ms(1))
        .run(async || -> Result<(), ()> { panic!("in a run") })
        .await;
}

#[test]
fn impossible_times_panic_at_the_caller() {
    let message = panics_here(|| every(Duration::ZERO));
    assert!(message.starts_with("a period of 0"), "{message}");
    let message = panics_here(|| every(ms(5)).jitter(ms(6)));
    assert!(message.contains("next period"), "{message}");
    let _ = every(ms(5)).jitter(ms(5));
}

/// A runtime that shuts down drops the loop with the run at work.
#[test]
fn a_runtime_that_shuts_down() {
    let probes = Probes::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (given, (began, begun)) = (probes.clone(), std::sync::mpsc::channel());
    runtime.spawn(async move {
        let run = every(ms(1)).immediately().run(async || {
            let _probe = given.probe(());
            began.send(()).unwrap();
            pending::<Result<(), ()>>().await
        });
        run.await
    });
    runtime.block_on(async {
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn it_can_be_dropped_at_every_poll() {
    let report = cancel_at_every_poll(
        "RunEvery",
        async || {
            let probes = Probes::new();
            let given = probes.clone();
            let run = every(ms(2)).times(3).run(move || {
                let probe = given.probe(());
                async move {
                    sleep(ms(5)).await;
                    Ok::<_, ()>(drop(probe))
                }
            });
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(ended) = ending {
                assert_eq!(ended, Ok(()));
            }
            probes.assert_all_dropped();
        },
    )
    .await;
    assert!(report.polls >= 4, "{report:?}");

    let report = cancel_at_every_poll(
        "RunUntil",
        async || {
            let probes = Probes::new();
            let given = probes.clone();
            let mut runs = 0;
            let run = every(ms(2)).run_until(move || {
                let probe = given.probe(());
                runs += 1;
                let is_last = runs == 3;
                async move {
                    sleep(ms(5)).await;
                    Ok::<_, ()>(if is_last { Break(probe) } else { Continue(()) })
                }
            });
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(found) = ending {
                found.unwrap().unwrap().deliver();
            }
            probes.assert_all_dropped();
        },
    )
    .await;
    assert!(report.polls >= 4, "{report:?}");
}
