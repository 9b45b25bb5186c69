//! A group that lives long and sees many tasks come and go must not grow with their number.

use std::sync::Arc;

use shibuya_taskgroup::TaskGroup;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::work::{RAN, yields};
use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};
use crate::rss::{growth_kib, resident_kib};

const TASKS: usize = 10_000_000;
/// Grows by gigabytes otherwise.
const TASKS_THAT_NOBODY_JOINS: usize = 500_000;
const ALIVE: usize = 1_000;

const ABOUT: &str = "10,000,000 tasks that yield once, at most 1,000 alive at a time, in one group; per task. \
     Growth of the resident set is from a tenth of the tasks to all of them.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("churn/mt2", Threads::Two, ABOUT)
            .cold()
            .max_rounds(3)
            .contender("JoinSet, joined", TASKS, join_set)
            .contender(
                "JoinSet nobody joins",
                TASKS_THAT_NOBODY_JOINS,
                join_set_unjoined,
            )
            .contender("TaskTracker + Semaphore", TASKS, task_tracker)
            .contender("TaskGroup, limit", TASKS, task_group),
    ]
}

/// Reads the resident set when a tenth of the tasks has been spawned, and again when all have.
struct Gauge {
    tenth: u64,
    then: Option<f64>,
}

impl Gauge {
    fn new(n: usize) -> Self {
        Self {
            tenth: n as u64 / 10,
            then: None,
        }
    }

    fn at(&mut self, task: u64) {
        if task == self.tenth {
            self.then = resident_kib();
        }
    }

    fn growth(&self) -> Option<f64> {
        growth_kib(self.then)
    }
}

async fn join_set(n: usize) -> Lap {
    let clock = Clock::start();
    let mut gauge = Gauge::new(n);
    let mut set = JoinSet::new();
    for i in 0..n as u64 {
        gauge.at(i);
        if set.len() == ALIVE {
            set.join_next().await;
        }
        set.spawn(yields(i));
    }
    let growth = gauge.growth();
    while set.join_next().await.is_some() {}
    clock.stop(RAN.take()).with(Extra::GrowthKib, growth)
}

/// Bounds the tasks that run, as one does, and forgets that a `JoinSet` keeps what has ended.
async fn join_set_unjoined(n: usize) -> Lap {
    let clock = Clock::start();
    let mut gauge = Gauge::new(n);
    let semaphore = Arc::new(Semaphore::new(ALIVE));
    let mut set = JoinSet::new();
    for i in 0..n as u64 {
        gauge.at(i);
        set.spawn(with_permit(&semaphore, i).await);
    }
    let growth = gauge.growth();
    while set.join_next().await.is_some() {}
    clock.stop(RAN.take()).with(Extra::GrowthKib, growth)
}

async fn task_tracker(n: usize) -> Lap {
    let clock = Clock::start();
    let mut gauge = Gauge::new(n);
    let semaphore = Arc::new(Semaphore::new(ALIVE));
    let tracker = TaskTracker::new();
    for i in 0..n as u64 {
        gauge.at(i);
        tracker.spawn(with_permit(&semaphore, i).await);
    }
    let growth = gauge.growth();
    tracker.close();
    tracker.wait().await;
    clock.stop(RAN.take()).with(Extra::GrowthKib, growth)
}

/// Ours: the limit is the group's own.
async fn task_group(n: usize) -> Lap {
    let clock = Clock::start();
    let mut gauge = Gauge::new(n);
    let grown = TaskGroup::builder()
        .limit(ALIVE)
        .run(async |g| {
            for i in 0..n as u64 {
                gauge.at(i);
                g.task("job").spawn_ready(yields(i)).await;
            }
            Ok(gauge.growth())
        })
        .await;
    let lap = clock.stop(RAN.take());
    lap.with(Extra::GrowthKib, grown.ok().flatten())
}

/// Waits for room, then makes the task that takes it.
async fn with_permit(semaphore: &Arc<Semaphore>, i: u64) -> impl Future<Output = ()> + use<> {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    let permit = permit.expect("nobody closes the semaphore");
    async move {
        let _ = yields(i).await;
        drop(permit);
    }
}
