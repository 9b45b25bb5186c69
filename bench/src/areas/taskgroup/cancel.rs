//! Get rid of many tasks that sleep: from the decision to the moment when the last one has ended.

use std::convert::Infallible;
use std::time::Duration;

use shibuya_cancel::Reason;
use shibuya_taskgroup::TaskGroup;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::work::Tally;
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const SLEEPERS: usize = 100_000;
const HOUR: Duration = Duration::from_secs(3600);

const ABOUT: &str = "Cancel 100,000 tasks that sleep and join them; per task.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("cancel/mt2", Threads::Two),
        case("cancel/ct", Threads::One),
    ]
}

fn case(name: &'static str, threads: Threads) -> Case {
    Case::new(name, threads, ABOUT)
        .laps(1)
        .max_rounds(9)
        .contender("JoinHandle::abort", SLEEPERS, abort)
        .contender("JoinSet::shutdown", SLEEPERS, join_set)
        .contender("TaskTracker + token", SLEEPERS, tracker_and_token)
        .contender("TaskGroup::cancel", SLEEPERS, task_group)
}

static ASLEEP: Tally = Tally::new();
static GONE: Tally = Tally::new();

/// Is counted when it falls asleep and when it is dropped.
async fn sleeper() {
    struct Probe;
    impl Drop for Probe {
        fn drop(&mut self) {
            GONE.hit();
        }
    }
    let _probe = Probe;
    ASLEEP.hit();
    tokio::time::sleep(HOUR).await;
}

/// So that a task that was never polled is not what gets cancelled.
async fn all_asleep(n: usize) {
    while ASLEEP.sum() < n {
        tokio::task::yield_now().await;
    }
    ASLEEP.take();
}

async fn abort(n: usize) -> Lap {
    let handles: Vec<JoinHandle<()>> = (0..n).map(|_| tokio::spawn(sleeper())).collect();
    all_asleep(n).await;
    let clock = Clock::start();
    for handle in &handles {
        handle.abort();
    }
    let mut cancelled = 0;
    for handle in handles {
        cancelled += usize::from(handle.await.is_err_and(|error| error.is_cancelled()));
    }
    clock.stop(cancelled.min(GONE.take()))
}

async fn join_set(n: usize) -> Lap {
    let mut set = JoinSet::new();
    for _ in 0..n {
        set.spawn(sleeper());
    }
    all_asleep(n).await;
    let clock = Clock::start();
    set.shutdown().await;
    clock.stop(GONE.take())
}

async fn tracker_and_token(n: usize) -> Lap {
    let tracker = TaskTracker::new();
    let token = CancellationToken::new();
    for _ in 0..n {
        tracker.spawn(token.clone().run_until_cancelled_owned(sleeper()));
    }
    tracker.close();
    all_asleep(n).await;
    let clock = Clock::start();
    token.cancel();
    tracker.wait().await;
    clock.stop(GONE.take())
}

/// Ours, from `cancel` to the end of the group.
async fn task_group(n: usize) -> Lap {
    let mut clock = None;
    let _ = TaskGroup::run(async |g| {
        for _ in 0..n {
            g.task("sleeper").spawn(async {
                sleeper().await;
                Ok::<_, Infallible>(())
            });
        }
        all_asleep(n).await;
        clock = Some(Clock::start());
        g.cancel(Reason::Requested);
        Ok(())
    })
    .await;
    let clock = clock.expect("the body got that far");
    clock.stop(GONE.take())
}
