//! The deadline scheduler: what runs, what is handed back, what is cut, and that none of it lives on.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use shibuya_cancel::{CancelScope, cancelled, remaining, timeout};
use shibuya_taskgroup::deadline_scheduler::{Report, SkipReason};
use shibuya_taskgroup::{Cause, DeadlineScheduler, Job, Reason, TaskGroup};
use shibuya_testkit::{Ending, Probes, cancel_at_every_poll};
use support::{HOUR, ms, on_threads, panics_here};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

type Work = Pin<Box<dyn Future<Output = Result<&'static str, String>> + Send>>;

/// A job that takes as long as it says.
fn job(name: &'static str, takes: u64) -> Job<Work> {
    job_that(name, takes, async move {
        sleep(ms(takes)).await;
        Ok(name)
    })
}

fn job_that(
    name: &'static str,
    estimate: u64,
    work: impl Future<Output = Result<&'static str, String>> + Send + 'static,
) -> Job<Work> {
    Job::new(name, ms(estimate), Box::pin(work))
}

fn done<E, F>(report: &Report<&'static str, E, F>) -> Vec<&'static str> {
    report.done.iter().map(|done| done.value).collect()
}

fn skipped<T, E, F>(report: &Report<T, E, F>) -> Vec<String> {
    let names = report.skipped.iter().map(|skipped| skipped.job.name());
    names.map(|name| name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_fits_is_done_and_what_does_not_is_handed_back() {
    let start = Instant::now();
    let jobs = [job("a", 40), job("b", 70), job("c", 30), job("d", 30)];
    let report = DeadlineScheduler::timeout(ms(100)).run(jobs).await;
    assert_eq!(done(&report), ["a", "c", "d"], "`b` would need 110");
    assert_eq!(start.elapsed(), ms(100));
    assert!(!report.is_complete() && report.failed.is_empty() && report.cut.is_empty());
    let elapsed: Vec<_> = report.done.iter().map(|done| done.elapsed).collect();
    assert_eq!(elapsed, [ms(40), ms(30), ms(30)]);

    let [skipped] = report.skipped.try_into().unwrap();
    let (needs, remaining) = (ms(70), ms(60));
    assert_eq!(skipped.why, SkipReason::Hopeless { needs, remaining });
    assert_eq!(skipped.job.into_inner().await.unwrap(), "b", "still whole");
}

#[tokio::test(start_paused = true)]
async fn it_ends_as_soon_as_nothing_more_fits() {
    let start = Instant::now();
    let at = start + HOUR;
    let report = DeadlineScheduler::new(at)
        .run([job("a", 5), job("b", u64::MAX / 2)])
        .await;
    assert_eq!(
        (done(&report), skipped(&report)),
        (vec!["a"], vec!["b".to_owned()])
    );
    assert_eq!(start.elapsed(), ms(5));
}

#[tokio::test(start_paused = true)]
async fn priority_first_and_then_the_earliest_deadline() {
    let start = Instant::now();
    let report = DeadlineScheduler::timeout(HOUR)
        .run([
            job("late", 1).deadline(start + ms(90)),
            job("soon", 1).deadline(start + ms(50)),
            job("vital", 1).priority(1),
            job("some time", 1),
            job("idle", 1).priority(-1).deadline(start + ms(10)),
        ])
        .await;
    assert!(report.is_complete());
    assert_eq!(
        done(&report),
        ["vital", "soon", "late", "some time", "idle"]
    );
}

#[tokio::test(start_paused = true)]
async fn as_many_at_a_time_as_there_are_workers() {
    let (start, at_work) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let jobs = (0..20).map(|_| {
        let at_work = at_work.clone();
        job_that("one", 10, async move {
            assert!(at_work.fetch_add(1, SeqCst) < 4);
            sleep(ms(10)).await;
            at_work.fetch_sub(1, SeqCst);
            Ok("")
        })
    });
    let report = DeadlineScheduler::timeout(HOUR).workers(4).run(jobs).await;
    assert!(report.is_complete());
    assert_eq!((report.done.len(), start.elapsed()), (20, ms(50)));
}

#[tokio::test(start_paused = true)]
async fn what_overruns_is_cut_at_its_own_deadline() {
    let (start, probes) = (Instant::now(), Probes::new());
    let hangs = |name| {
        let probe = probes.probe(());
        job_that(name, 1, async move {
            let _probe = probe;
            pending().await
        })
    };
    let report = DeadlineScheduler::timeout(ms(100))
        .workers(2)
        .run([
            hangs("its own").deadline(start + ms(30)),
            hangs("the common one"),
            job("next", 40),
        ])
        .await;
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(done(&report), ["next"], "a cut job frees its worker");
    let cut: Vec<_> = report
        .cut
        .iter()
        .map(|cut| (cut.name.to_string(), cut.elapsed))
        .collect();
    let expected = [("its own", 30), ("the common one", 100)];
    assert_eq!(cut, expected.map(|(name, at)| (name.to_owned(), ms(at))));
    probes.assert_all_dropped();
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_stop_no_other() {
    let report = DeadlineScheduler::timeout(ms(100))
        .run([
            job_that("fails", 1, ready(Err("no".to_owned()))),
            job_that("panics", 1, async { panic!("oh") }),
            job_that("gives up", 1, async {
                CancelScope::current().unwrap().cancel(Reason::Requested);
                pending().await
            }),
            job("works", 1),
        ])
        .await;
    assert_eq!(done(&report), ["works"]);
    let [fails, panics, gives_up] = &report.failed[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (fails.name().to_string(), fails.error()),
        ("fails".into(), Some(&"no".into()))
    );
    assert!(matches!(panics.cause(), Cause::Panic(panic) if panic.message() == Some("oh")));
    assert!(matches!(
        gives_up.cause(),
        Cause::Cancelled(Reason::Requested)
    ));
    assert_eq!(fails.location().file(), file!());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_scope_counts_less_a_reserve() {
    let start = Instant::now();
    let report = timeout(ms(50), async {
        let scheduler = DeadlineScheduler::timeout(HOUR).reserve(ms(10)).workers(9);
        let sees = job_that("sees", 1, async {
            assert_eq!(remaining(), Some(ms(40)));
            Ok("sees")
        });
        let hangs = job_that("hangs", 1, pending());
        scheduler
            .run([job("fits", 40), job("does not", 41), hangs, sees])
            .await
    });
    let report = report
        .await
        .expect("the report came before the end of the scope");
    assert_eq!(start.elapsed(), ms(40));
    assert_eq!(done(&report), ["sees", "fits"]);
    assert_eq!((skipped(&report).len(), report.cut.len()), (1, 1));

    let late = timeout(
        ms(3),
        DeadlineScheduler::timeout(HOUR).run([job("late", 0)]),
    );
    assert_eq!(skipped(&late.await.unwrap()), ["late"], "all is reserve");
}

#[tokio::test(start_paused = true)]
async fn none_at_all_is_ready_at_once() {
    let jobs: [Job<Work>; 0] = [];
    let report = DeadlineScheduler::timeout(HOUR).run(jobs).await;
    assert!(report.is_complete() && report.done.is_empty());
    let jobs = [job("late", 1)];
    let report = DeadlineScheduler::new(Instant::now()).run(jobs).await;
    assert_eq!(skipped(&report), ["late"]);
    let report = DeadlineScheduler::timeout(Duration::MAX)
        .run([job("any", 1)])
        .await;
    assert!(report.is_complete(), "without an end");
}

#[tokio::test(start_paused = true)]
async fn in_a_cancelled_scope_no_further_job_begins() {
    let scope = CancelScope::builder().grace(HOUR).build();
    let stop = scope.clone();
    let told = job_that("told", 1, async {
        cancelled().await;
        sleep(ms(5)).await;
        Ok("told")
    });
    let run = DeadlineScheduler::timeout(HOUR).run([told, job("next", 1)]);
    let (report, ()) = tokio::join!(scope.run(run), async {
        sleep(ms(10)).await;
        stop.cancel(Reason::Shutdown);
    });
    let report = report.unwrap();
    assert_eq!(done(&report), ["told"]);
    let [skipped] = &report.skipped[..] else {
        panic!("{report:?}");
    };
    assert_eq!(skipped.why, SkipReason::Cancelled(Reason::Shutdown));
}

/// Whoever goes on polling it where the cancellation doesn't reach still has every job in the report.
#[tokio::test(start_paused = true)]
async fn a_cancelled_run_that_is_polled_on_reports_what_it_lost() {
    let scope = CancelScope::root();
    let jobs = [
        job("done", 1),
        job_that("hangs", 1, pending()),
        job("waits", 1),
    ];
    let mut run = DeadlineScheduler::timeout(HOUR).run(jobs);
    let _ = scope
        .run(async {
            let _ = tokio::time::timeout(ms(10), &mut run).await;
            CancelScope::current().unwrap().cancel(Reason::Requested);
        })
        .await;
    let report = run.await;
    assert_eq!(
        (done(&report), skipped(&report)),
        (vec!["done"], vec!["waits".to_owned()])
    );
    assert_eq!(report.cut.len(), 1);
}

#[test]
fn zero_workers_panic_at_the_caller() {
    let message = panics_here(|| DeadlineScheduler::timeout(HOUR).workers(0));
    assert!(
        message.starts_with("a scheduler with 0 workers"),
        "{message}"
    );
}

/// What it drops without waiting, the group around it waits for.
#[test]
fn a_dropped_run_leaves_its_jobs_to_the_group_around_it() {
    on_threads(async {
        let probes = Probes::new();
        let given = probes.clone();
        TaskGroup::<()>::run(async |_| {
            let jobs = (0..8).map(|_| {
                let probe = given.probe(());
                job_that("one", 1, async move {
                    let _probe = probe;
                    pending().await
                })
            });
            let run = DeadlineScheduler::timeout(HOUR).workers(4).run(jobs);
            let mut run = std::pin::pin!(run);
            assert!(support::poll_once(run.as_mut()).await.is_pending());
            Ok(())
        })
        .await
        .unwrap();
        probes.assert_all_dropped();
    });
}

#[test]
fn a_runtime_that_shuts_down() {
    let probes = Probes::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (began, begun) = std::sync::mpsc::channel();
    let probe = probes.probe(());
    runtime.spawn(
        DeadlineScheduler::timeout(HOUR).run([job_that("hangs", 1, async move {
            let _probe = probe;
            began.send(()).unwrap();
            pending().await
        })]),
    );
    begun.recv().unwrap();
    drop(runtime);
    probes.assert_all_dropped();
}

#[tokio::test]
async fn it_can_be_dropped_at_every_poll() {
    let report = cancel_at_every_poll(
        "RunJobs",
        async || {
            let probes = Probes::new();
            let jobs: Vec<_> = (0..5u64)
                .map(|i| {
                    let probe = probes.probe(i);
                    Job::new("job", Duration::ZERO, async move {
                        for _ in 0..i {
                            yield_now().await;
                        }
                        if i == 2 { Err(probe) } else { Ok(probe) }
                    })
                })
                .collect();
            let run = DeadlineScheduler::timeout(HOUR).workers(2).run(jobs);
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(report) = ending {
                let values = report.done.into_iter().map(|done| done.value.deliver());
                assert_eq!(values.collect::<Vec<_>>().len(), 4);
                drop(report.failed);
                probes.assert_all_dropped();
            }
            while probes.alive() > 0 {
                yield_now().await;
            }
        },
    )
    .await;
    assert!(report.polls >= 3, "{report:?}");
}
