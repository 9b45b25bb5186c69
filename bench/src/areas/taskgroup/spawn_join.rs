//! Spawn many tasks from one place and join them all.

use std::future::Future;
use std::io;

use std::hint::black_box;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shibuya_taskgroup::TaskGroup;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::{JoinQueue, TaskTracker};

use super::work::{RAN, ready, yields};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const TASKS: usize = 100_000;
/// Quadratic, so it gets fewer.
const TASKS_OF_FUTURES_UNORDERED: usize = 20_000;

const READY: &str =
    "Spawn 100,000 tasks that are ready at once (futures of 16 bytes) and join them; per task.";
const YIELDS: &str = "Spawn 100,000 tasks that yield once and join them; per task.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("spawn_join/ready/mt2", Threads::Two, READY, ready),
        case("spawn_join/ready/ct", Threads::One, READY, ready),
        case("spawn_join/yields/mt2", Threads::Two, YIELDS, yields),
        case("spawn_join/yields/ct", Threads::One, YIELDS, yields),
    ]
}

fn case<Fut: Work>(
    name: &'static str,
    threads: Threads,
    about: &'static str,
    task: fn(u64) -> Fut,
) -> Case {
    Case::new(name, threads, about)
        .contender("Vec<JoinHandle>", TASKS, move |n| vec(n, task))
        .contender("JoinSet", TASKS, move |n| join_set(n, task))
        .contender("JoinQueue", TASKS, move |n| join_queue(n, task))
        .contender("TaskTracker", TASKS, move |n| task_tracker(n, task))
        .contender(
            "FuturesUnordered<JoinHandle>",
            TASKS_OF_FUTURES_UNORDERED,
            move |n| futures_unordered(n, task),
        )
        .contender("TaskGroup", TASKS, move |n| task_group(n, task))
        .contender("TaskGroup, values awaited", TASKS, move |n| {
            task_group_values(n, task)
        })
}

/// What the tasks of this file are.
trait Work: Future<Output = io::Result<u64>> + Send + 'static {}
impl<F: Future<Output = io::Result<u64>> + Send + 'static> Work for F {}

/// Tasks that both ran and were joined.
fn ran(joined: usize) -> usize {
    joined.min(RAN.take())
}

async fn vec<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let handles: Vec<JoinHandle<_>> = (0..n as u64).map(|i| tokio::spawn(task(i))).collect();
    let mut joined = 0;
    for handle in handles {
        joined += usize::from(matches!(handle.await, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

async fn join_set<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let mut set = JoinSet::new();
    for i in 0..n as u64 {
        set.spawn(task(i));
    }
    let mut joined = 0;
    while let Some(result) = set.join_next().await {
        joined += usize::from(matches!(result, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

async fn join_queue<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let mut queue = JoinQueue::new();
    for i in 0..n as u64 {
        queue.spawn(task(i));
    }
    let mut joined = 0;
    while let Some(result) = queue.join_next().await {
        joined += usize::from(matches!(result, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

/// Waits for the tasks, but has no results.
async fn task_tracker<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let tracker = TaskTracker::new();
    for i in 0..n as u64 {
        tracker.spawn(task(i));
    }
    tracker.close();
    tracker.wait().await;
    clock.stop(RAN.take())
}

async fn futures_unordered<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let mut handles: FuturesUnordered<JoinHandle<_>> =
        (0..n as u64).map(|i| tokio::spawn(task(i))).collect();
    let mut joined = 0;
    while let Some(result) = handles.next().await {
        joined += usize::from(matches!(result, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

/// Ours: named tasks; leaving the group joins them.
async fn task_group<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let left = TaskGroup::run(async |g| {
        for i in 0..n as u64 {
            g.task("job").spawn(task(i));
        }
        Ok(())
    })
    .await;
    clock.stop(if left.is_ok() { RAN.take() } else { 0 })
}

/// Ours, where the body wants each task's value.
async fn task_group_values<Fut: Work>(n: usize, task: fn(u64) -> Fut) -> Lap {
    let clock = Clock::start();
    let joined = TaskGroup::run(async |g| {
        let spawned = (0..n as u64).map(|i| g.task("job").spawn(task(i)));
        let tasks: Vec<_> = spawned.collect();
        let mut joined = 0;
        for task in tasks {
            black_box(task.await);
            joined += 1;
        }
        Ok(joined)
    })
    .await;
    clock.stop(ran(joined.unwrap_or(0)))
}
