//! A group that lives long: memory follows the tasks that live, and the time per task does not grow.
//!
//! In a test binary of its own, since it looks at the memory of the process.
#![cfg(not(shibuya_loom))]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use shibuya_taskgroup::{OnError, TaskGroup};
use tokio::task::yield_now;

const BATCH: usize = 1000;

/// A hundred times what it takes, and far less than what takes quadratic time.
const LONG: Duration = Duration::from_secs(60);

/// The tests look at what they share.
static ALONE: Mutex<()> = Mutex::new(());

/// Spawns so many tasks, a batch at a time, one of which outlives all the others.
async fn churn(g: &TaskGroup<usize>, tasks: usize) {
    for _ in 0..tasks / BATCH {
        for i in 0..BATCH {
            g.task("churn").spawn(async move { Ok(i) });
        }
        while g.len() > 1 {
            yield_now().await;
        }
    }
}

/// In bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4096
}

#[cfg(not(target_os = "linux"))]
fn resident() -> usize {
    0
}

#[test]
fn a_million_tasks_in_one_group() {
    let _alone = ALONE.lock();
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let group = TaskGroup::run(async |g| {
        let rest = g.spawn(std::future::pending::<Result<(), _>>());
        churn(&g, 100_000).await;
        let before = resident();
        churn(&g, 900_000).await;
        let grown = resident().saturating_sub(before);
        assert!(
            grown <= 1 << 20,
            "{grown} bytes are kept for tasks that are gone"
        );
        rest.abort();
        Ok(())
    });
    runtime.block_on(group).unwrap();
    assert!(started.elapsed() < LONG);
}

/// Each failure was looked up in the list of all, and what followed it was moved.
#[test]
fn many_failures_are_collected_in_linear_time() {
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for ask in [true, false] {
        let started = Instant::now();
        let group = TaskGroup::builder()
            .on_error(OnError::Collect)
            .run(async |g| {
                let fail = |i: usize| g.spawn(async move { Err::<(), _>(i) });
                let mut tasks: Vec<_> = (0..100_000).map(fail).collect();
                while !g.is_empty() {
                    yield_now().await;
                }
                for task in tasks.iter_mut().filter(|_| ask) {
                    assert!(task.outcome().await.is_err());
                }
                Ok(())
            });
        assert_eq!(runtime.block_on(group).is_ok(), ask);
        assert!(started.elapsed() < LONG);
    }
}
