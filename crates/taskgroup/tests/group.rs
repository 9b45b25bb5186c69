//! What a group promises, line by line.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use shibuya_taskgroup::*;
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(3600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn values_come_back() {
    let sum = TaskGroup::<()>::run(async |g| {
        let tasks: Vec<_> = (0..10).map(|i| g.spawn(async move { Ok(i) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        Ok(sum)
    });
    assert_eq!(sum.await.unwrap(), 45);
}

#[tokio::test(start_paused = true)]
async fn the_group_waits_for_tasks_that_nobody_awaits() {
    let done = Arc::new(AtomicUsize::new(0));
    TaskGroup::<()>::run(async |g| {
        for i in 0..10 {
            let done = done.clone();
            g.spawn(async move {
                sleep(ms(i * 10)).await;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_the_body_and_the_siblings() {
    let started = Instant::now();
    let error = TaskGroup::<&str>::builder()
        .name("fetch")
        .run(async |g| {
            g.task("slow").spawn(async {
                sleep(HOUR).await;
                Ok(())
            });
            let bad = g.task("bad").spawn(async {
                sleep(ms(10)).await;
                Err::<(), _>("no route")
            });
            bad.await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), ms(10));
    assert_eq!(error.len(), 1);
    assert_eq!(*error.first().name(), "bad");
    assert_eq!(error.first().elapsed(), ms(10));
    assert_eq!(error.into_first_error().unwrap(), "no route");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_and_a_grace() {
    let error = TaskGroup::<()>::builder()
        .name("g")
        .timeout(ms(100))
        .grace(ms(50))
        .run(async |g| {
            g.task("deaf").spawn(async {
                sleep(HOUR).await;
                Ok(())
            });
            g.task("polite").spawn(async {
                cancelled().await;
                sleep(ms(20)).await;
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.aborted().len(), 1);
    assert_eq!(*error.aborted()[0].name(), "deaf");
}

#[tokio::test(start_paused = true)]
async fn cancel_is_a_clean_exit() {
    TaskGroup::<()>::run(async |g| {
        g.spawn(std::future::pending::<Result<(), ()>>());
        g.cancel(Reason::Requested);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_body_borrows_keeps_its_own_timers() {
    let mut waiting = FuturesUnordered::new();
    waiting.push(timeout(ms(200), std::future::pending::<()>()));
    let group = TaskGroup::<()>::builder().timeout(ms(100)).run(async |_| {
        waiting.next().await;
        Ok(())
    });
    assert!(group.await.unwrap_err().is_timeout());
    // The group's deadline covered the later one in its body, and is gone now.
    let answer = tokio::time::timeout(HOUR, waiting.next()).await;
    assert!(matches!(answer, Ok(Some(Err(_)))));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_only_passes_the_cancellation_on_is_no_failure() {
    let poll_and_check = || async {
        loop {
            check()?;
            sleep(ms(1)).await;
        }
    };
    // One task is asked to stop: its group goes on.
    let mut ends = Vec::new();
    TaskGroup::<Cancelled>::run(async |g| {
        let mut task = g.spawn::<(), _>(poll_and_check());
        sleep(ms(5)).await;
        task.cancel(Reason::Requested);
        ends.push(task.outcome().await);
        Ok(())
    })
    .await
    .unwrap();
    assert!(matches!(ends[..], [Outcome::Cancelled(Reason::Requested)]));

    // The group is: a clean exit, within the grace.
    TaskGroup::<Cancelled>::builder()
        .grace(HOUR)
        .run(async |g| {
            g.spawn::<(), _>(poll_and_check());
            sleep(ms(5)).await;
            g.cancel(Reason::Requested);
            Ok(())
        })
        .await
        .unwrap();

    // Where nothing was cancelled, it is an error like others.
    let foreign = CancelScope::root();
    foreign.cancel(Reason::Shutdown);
    let error = TaskGroup::<Cancelled>::run(async |g| {
        g.spawn::<(), _>(async move { foreign.check() });
        Ok(())
    });
    assert_eq!(error.await.unwrap_err().errors().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ends_well_within_the_grace_of_a_deadline_counts() {
    let late = |task_needs| async move {
        let builder = TaskGroup::<()>::builder().timeout(ms(10)).grace(ms(10));
        let run = builder.run(async |g| {
            g.task("late").spawn(async move {
                sleep(task_needs).await;
                Ok(())
            });
            cancelled().await;
            Ok("late, and well")
        });
        run.await
    };
    assert_eq!(late(ms(15)).await.unwrap(), "late, and well");
    let error = late(ms(25)).await.unwrap_err();
    assert!(error.is_timeout() && error.aborted().len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_comes_too_late_is_told_so() {
    let mut kept = None;
    TaskGroup::<()>::run(async |g| {
        kept = Some(g);
        Ok(())
    })
    .await
    .unwrap();
    let outcome = kept.unwrap().spawn(async { Ok(()) }).outcome().await;
    let Outcome::Cancelled(reason) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reason.to_string(), "the group is over");
}

#[tokio::test(start_paused = true)]
async fn time_limits_take_what_can_be_awaited_and_give_what_io_understands() {
    async fn read() -> std::io::Result<Vec<usize>> {
        let map = map_concurrent(0..3, 2, |n| async move { Ok::<_, std::io::Error>(n) });
        let numbers = timeout(ms(10), map).await?;
        timeout(ms(10), std::future::pending::<()>()).await?;
        Ok(numbers.unwrap())
    }
    assert_eq!(
        read().await.unwrap_err().kind(),
        std::io::ErrorKind::TimedOut
    );
}
