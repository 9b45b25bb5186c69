//! Random trees of tasks and groups that fail, panic, cancel, abort and drop each other, on a paused clock. A ledger is kept
//! of what they really did, and what the groups say is compared with it.
#![cfg(not(shibuya_loom))]

mod support;

#[path = "tree/ledger.rs"]
mod ledger;
#[path = "tree/plan.rs"]
mod plan;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use ledger::{Ledger, Life};
use plan::{End, Plan, Settings, Step};
use proptest::prelude::*;
use shibuya_taskgroup::{GroupError, OnError, Outcome, Reason, Task, TaskGroup};
use support::{HOUR, ms, poll_once};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

type Playing<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Ending = Result<(), usize>;

/// Does what the plan says, as the task or body that `life` stands for.
fn play(plan: Plan, group: TaskGroup<usize>, life: Life) -> Playing<Ending> {
    Box::pin(async move {
        life.begin();
        let mut tasks: Vec<(usize, Task<(), usize>)> = Vec::new();
        let mut end = plan.end;
        for step in plan.steps {
            match step {
                Step::Yield => yield_now().await,
                Step::Sleep(millis) => sleep(ms(millis)).await,
                Step::Spawn(child) => {
                    let (id, child) = child_of(&life, &group, child);
                    tasks.push((id, group.task(id.to_string()).spawn(child)));
                }
                Step::SpawnReady(child) => {
                    let (id, child) = child_of(&life, &group, child);
                    // Until there is a slot it goes with who waits for that.
                    life.ledger().set_free(id, true);
                    let task = group.task(id.to_string()).spawn_ready(child).await;
                    life.ledger().set_free(id, false);
                    tasks.push((id, task));
                }
                Step::TrySpawn(child) => {
                    let (id, child) = child_of(&life, &group, child);
                    match group.task(id.to_string()).try_spawn(child) {
                        Ok(task) => tasks.push((id, task)),
                        Err(refused) => {
                            life.ledger().set_free(id, true);
                            drop(refused);
                        }
                    }
                }
                Step::Cancel => {
                    life.ledger().cancel(life.group());
                    group.cancel(Reason::Requested);
                }
                Step::Abort => {
                    if let Some((id, task)) = tasks.last() {
                        life.ledger().set_free(*id, true);
                        task.abort();
                    }
                }
                Step::Outcome => {
                    if let Some((id, mut task)) = tasks.pop() {
                        if let Outcome::Err(_) | Outcome::Panicked(_) = task.outcome().await {
                            life.ledger().take(life.group(), id);
                        }
                    }
                }
                Step::Forget => tasks.clear(),
                Step::Nest(settings, body) => {
                    let (inner, run) = nest(&life, settings, body);
                    let result = run.await;
                    let failed = result.is_err();
                    life.ledger().conclude(inner, result);
                    if failed && settings.passes_on {
                        end = End::Err;
                        break;
                    }
                }
                Step::Drop(settings, body, polls) => {
                    let (inner, mut run) = nest(&life, settings, body);
                    for _ in 0..polls {
                        if let std::task::Poll::Ready(result) = poll_once(run.as_mut()).await {
                            life.ledger().conclude(inner, result);
                            break;
                        }
                        yield_now().await;
                    }
                    life.ledger().drop_group(inner);
                    drop(run);
                }
            }
        }
        match end {
            End::Never => pending().await,
            End::Ok => life.succeed(),
            End::Err => Err(life.fail()),
            // Without the hook's noise.
            End::Panic => std::panic::resume_unwind(Box::new(life.fail())),
        }
    })
}

fn child_of(life: &Life, group: &TaskGroup<usize>, plan: Plan) -> (usize, Playing<Ending>) {
    let child = life.ledger().enlist(life.group());
    let id = child.id();
    (id, play(plan, group.clone(), child))
}

/// A group, run by `life`.
fn nest(
    life: &Life,
    settings: Settings,
    body: Plan,
) -> (usize, Playing<Result<(), GroupError<usize>>>) {
    let ledger = life.ledger().clone();
    let inner = ledger.open(Some(life), settings);
    (inner, run(ledger, inner, settings, body))
}

fn run(
    ledger: Arc<Ledger>,
    group: usize,
    settings: Settings,
    body: Plan,
) -> Playing<Result<(), GroupError<usize>>> {
    let mut builder = TaskGroup::builder().grace(ms(settings.grace));
    if let Some(limit) = settings.limit {
        builder = builder.limit(limit);
    }
    if let Some(millis) = settings.timeout {
        builder = builder.timeout(ms(millis));
    }
    if settings.collects {
        builder = builder.on_error(OnError::Collect);
    }
    let life = ledger.enlist_body(group);
    Box::pin(builder.run(move |g| play(body, g, life)))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

fn check(settings: Settings, body: Plan) {
    let ledger = runtime().block_on(async {
        let ledger = Arc::new(Ledger::default());
        // What never ends ends with the outermost group.
        let settings = Settings {
            timeout: Some(settings.timeout.unwrap_or(40)),
            ..settings
        };
        let group = ledger.open(None, settings);
        let running = run(ledger.clone(), group, settings, body);
        let result = timeout(HOUR, running).await.expect("the tree hangs");
        ledger.conclude(group, result);
        ledger
    });
    ledger.complain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_tell_what_happened(settings in plan::settings(), body in plan::plan()) {
        check(settings, body);
    }
}

/// The ledger must be able to complain at all.
#[test]
fn a_group_that_lies_is_found_out() {
    let complaint = support::panic_message(|| {
        let ledger = runtime().block_on(async {
            let ledger = Arc::new(Ledger::default());
            let settings = Settings::default();
            let group = ledger.open(None, settings);
            let silent = ledger.open(None, settings);
            let life = ledger.enlist_body(silent);
            life.begin();
            let result = run(ledger.clone(), group, settings, Plan::ok()).await;
            ledger.conclude(silent, result);
            ledger
        });
        ledger.complain();
    });
    assert!(
        complaint.contains("lives on") && complaint.contains("gave a value"),
        "{complaint}"
    );
}
