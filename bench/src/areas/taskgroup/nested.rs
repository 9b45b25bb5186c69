//! Groups inside groups: does a task, or a group, cost more the deeper it is?

use std::future::Future;
use std::io;
use std::pin::Pin;

use shibuya_taskgroup::TaskGroup;
use tokio::task::JoinSet;

use super::work::{RAN, yields};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const TASKS: usize = 100_000;
/// A multiple of each depth.
const GROUPS: usize = 64_000;

const WITHIN: &str = "Spawn 100,000 tasks that yield once into the innermost of 1 to 64 groups, and leave the groups; per task.";
const CHAIN: &str = "64,000 groups of one task that yields once, in chains of 1 to 64, in which each task opens the next group; per group.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("nested/tasks/mt2", Threads::Two, WITHIN)
            .laps(1)
            .max_rounds(7)
            .contender("depth 1", TASKS, |n| within(n, 1))
            .contender("depth 8", TASKS, |n| within(n, 8))
            .contender("depth 64", TASKS, |n| within(n, 64)),
        Case::new("nested/groups/mt2", Threads::Two, CHAIN)
            .laps(1)
            .max_rounds(7)
            .contender("JoinSet, depth 1", GROUPS, |n| chains(n, 1, join_set))
            .contender("JoinSet, depth 64", GROUPS, |n| chains(n, 64, join_set))
            .contender("TaskGroup, depth 1", GROUPS, |n| chains(n, 1, task_group))
            .contender("TaskGroup, depth 8", GROUPS, |n| chains(n, 8, task_group))
            .contender("TaskGroup, depth 64", GROUPS, |n| chains(n, 64, task_group)),
    ]
}

/// Boxed, as what nests must be.
type Tasks = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

async fn within(n: usize, depth: usize) -> Lap {
    let clock = Clock::start();
    let left = innermost(n, depth).await;
    clock.stop(if left.is_ok() { RAN.take() } else { 0 })
}

fn innermost(n: usize, depth: usize) -> Tasks {
    Box::pin(async move {
        let left = TaskGroup::run(async |g| {
            if depth > 1 {
                return innermost(n, depth - 1).await;
            }
            for i in 0..n as u64 {
                g.task("job").spawn(yields(i));
            }
            Ok(())
        });
        left.await.map_err(io::Error::other)
    })
}

async fn chains(n: usize, depth: usize, chain: fn(usize) -> Tasks) -> Lap {
    let clock = Clock::start();
    for _ in 0..n / depth {
        if chain(depth).await.is_err() {
            break;
        }
    }
    clock.stop(RAN.take())
}

fn join_set(depth: usize) -> Tasks {
    Box::pin(async move {
        let mut set = JoinSet::new();
        set.spawn(async move {
            yields(depth as u64).await?;
            match depth {
                1 => Ok(()),
                _ => join_set(depth - 1).await,
            }
        });
        while let Some(result) = set.join_next().await {
            result??;
        }
        Ok(())
    })
}

fn task_group(depth: usize) -> Tasks {
    Box::pin(async move {
        let left = TaskGroup::run(async |g| {
            g.task("level").spawn(async move {
                yields(depth as u64).await?;
                match depth {
                    1 => Ok(()),
                    _ => task_group(depth - 1).await,
                }
            });
            Ok(())
        });
        left.await.map_err(io::Error::other)
    })
}
