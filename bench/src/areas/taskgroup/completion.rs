//! Many tasks, and each outcome as it comes: does a task cost the same, however many there are?

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shibuya_taskgroup::{TaskGroup, Until, as_completed, wait};
use tokio::task::{JoinHandle, JoinSet};

use super::work::{RAN, yields};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const FEW: usize = 10_000;
const MANY: usize = 100_000;
/// Quadratic: with many it takes minutes.
const MANY_FOR_FUTURES_UNORDERED: usize = 30_000;

pub(super) fn cases() -> Vec<Case> {
    let case = Case::new(
        "completion/mt2",
        Threads::Two,
        "Spawn 10,000 or 100,000 tasks that yield once, and take the outcome of each as it comes, or of all together \
         (`wait`); per task.",
    );
    vec![
        case.laps(1)
            .max_rounds(7)
            .contender("JoinSet", MANY, join_set)
            .contender("JoinSet, 10,000", FEW, join_set)
            .contender(
                "FuturesUnordered<JoinHandle>, 30,000",
                MANY_FOR_FUTURES_UNORDERED,
                futures_unordered,
            )
            .contender(
                "FuturesUnordered<JoinHandle>, 10,000",
                FEW,
                futures_unordered,
            )
            .contender("as_completed", MANY, completed)
            .contender("as_completed, 10,000", FEW, completed)
            .contender("wait", MANY, wait_all)
            .contender("wait, 10,000", FEW, wait_all),
    ]
}

/// Tasks that both ran and were joined.
fn ran(joined: usize) -> usize {
    joined.min(RAN.take())
}

async fn join_set(n: usize) -> Lap {
    let clock = Clock::start();
    let mut set = JoinSet::new();
    for i in 0..n as u64 {
        set.spawn(yields(i));
    }
    let mut joined = 0;
    while let Some(result) = set.join_next().await {
        joined += usize::from(matches!(result, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

async fn futures_unordered(n: usize) -> Lap {
    let clock = Clock::start();
    let mut handles: FuturesUnordered<JoinHandle<_>> =
        (0..n as u64).map(|i| tokio::spawn(yields(i))).collect();
    let mut joined = 0;
    while let Some(result) = handles.next().await {
        joined += usize::from(matches!(result, Ok(Ok(_))));
    }
    clock.stop(ran(joined))
}

async fn completed(n: usize) -> Lap {
    let clock = Clock::start();
    let mut all = as_completed((0..n as u64).map(yields));
    let mut joined = 0;
    while let Some((_, outcome)) = all.next().await {
        joined += usize::from(outcome.is_ok());
    }
    clock.stop(ran(joined))
}

async fn wait_all(n: usize) -> Lap {
    let clock = Clock::start();
    let joined = TaskGroup::run(async |g| {
        let mut tasks: Vec<_> = (0..n as u64).map(|i| g.spawn(yields(i))).collect();
        let done = wait(&mut tasks, Until::All).await;
        Ok(done.iter().filter(|done| done.outcome.is_ok()).count())
    })
    .await;
    clock.stop(ran(joined.unwrap_or(0)))
}
