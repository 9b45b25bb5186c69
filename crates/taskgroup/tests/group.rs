//! What a group promises, line by line.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shibuya_cancel::{cancelled, timeout};
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
