//! What runs, seen from outside: the tree, its states, what ended lately, and how it prints.
#![cfg(not(shibuya_loom))]

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Duration;

use shibuya_cancel::InScope;
use shibuya_taskgroup::{
    CancelScope, EndedAs, Kind, OnError, State, TaskGroup, TaskInfo, TreeSnapshot, cancelled, dump,
    step,
};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

type Result<T, E = io::Error> = std::result::Result<T, E>;

/// What is in the entry of that name, and the entry itself: other tests have trees in the same process.
fn below(tree: &TreeSnapshot, name: &str) -> Vec<TaskInfo> {
    let mut entries = tree.entries.iter().skip_while(|entry| entry.name != *name);
    let Some(top) = entries.next() else {
        return Vec::new();
    };
    let inside = entries.take_while(|entry| entry.depth > top.depth);
    std::iter::once(top).chain(inside).cloned().collect()
}

/// As it prints, without the places in the code.
fn text(name: &str) -> String {
    let tree = dump();
    let entries = below(&tree, name);
    let depth = entries[0].depth;
    let mut part = tree.clone();
    part.entries = entries;
    for entry in &mut part.entries {
        entry.depth -= depth;
    }
    let text = part.to_string();
    let cut = |line: &str| {
        line.rsplit_once(" (")
            .map_or(line.to_owned(), |(line, _)| line.to_owned())
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

fn state(name: &str) -> State {
    dump()
        .find(name)
        .unwrap_or_else(|| panic!("{name} lives"))
        .state
}

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

#[tokio::test]
async fn three_nested_groups_print_as_a_tree() {
    let all = TaskGroup::builder().name("shop").run(async |g| {
        g.task("orders").spawn(async {
            TaskGroup::builder()
                .name("order 17")
                .run(async |g| {
                    g.task("payment").spawn(async {
                        step("ask the bank", pending::<()>()).await;
                        Ok(())
                    });
                    g.task("stock").spawn(async {
                        TaskGroup::builder()
                            .name("shelves")
                            .run(async |g| {
                                g.task("shelf 3").spawn(pending::<Result<()>>());
                                pending::<Result<()>>().await
                            })
                            .await
                            .map_err(|error| io::Error::other(error.to_string()))
                    });
                    step("wait for both", pending::<()>()).await;
                    Ok::<_, io::Error>(())
                })
                .await
                .map_err(|error| io::Error::other(error.to_string()))
        });
        until(|| dump().find("shelf 3").is_some_and(|task| task.polls > 0)).await;
        let text = text("shop");
        g.cancel("seen".into());
        Ok::<_, io::Error>(text)
    });
    assert_eq!(
        all.await.unwrap(),
        "\
shop: group of 1 task, running
└─ orders: idle
   └─ order 17: group of 2 tasks, idle
      ├─ payment: idle
      │  └─ step ask the bank
      ├─ stock: idle
      │  └─ shelves: group of 1 task, idle
      │     └─ shelf 3: idle
      └─ step wait for both"
    );
    assert!(dump().find("shop").is_none(), "what is over is gone");
}

#[tokio::test]
async fn each_state_is_told() {
    let done = TaskGroup::builder()
        .name("states")
        .limit(3)
        .grace(Duration::from_secs(3600))
        .run(async |g| {
            let (stop, stopped) = channel::<()>();
            g.task("s blocking").spawn_blocking(move |_| {
                let _ = stopped.recv();
                Ok(())
            });
            g.task("s idle").spawn(pending::<Result<()>>());
            g.task("s running").spawn(async {
                assert_eq!(state("s running"), State::Running);
                cancelled().await;
                pending::<Result<()>>().await
            });
            g.task("s queued").spawn(pending::<Result<()>>());
            assert_eq!(state("s idle"), State::Created, "nobody polled it yet");
            until(|| state("s queued") == State::Queued).await;
            until(|| state("s blocking") == State::Blocking).await;
            assert_eq!(state("s idle"), State::Idle);
            assert_eq!(state("states"), State::Running);
            let mut running = dump();
            running.entries.retain(|entry| entry.name == *"s running");
            assert_eq!(running.entries[0].state, State::Idle);
            g.cancel("enough".into());
            let idle = dump().find("s idle").unwrap().clone();
            assert_eq!(idle.state, State::Cancelling);
            assert_eq!(idle.reason.unwrap().to_string(), "enough");
            assert_eq!(state("s blocking"), State::Blocking);
            drop(stop);
            g.scope().cancelled().await;
            Err::<(), _>(io::Error::other("the end"))
        });
    let done = tokio::time::timeout(Duration::from_millis(50), done).await;
    assert!(done.is_err(), "the grace holds it until it is dropped");
}

#[tokio::test]
async fn a_body_that_is_done_says_so() {
    let open = Arc::new(Semaphore::new(0));
    let gate = open.clone();
    let all = TaskGroup::builder().name("waiting").run(async |g| {
        g.task("last").spawn(async move {
            let _permit = gate.acquire().await;
            Ok::<_, io::Error>(())
        });
        Ok(())
    });
    let look = async {
        until(|| state("waiting") == State::Waiting && state("last") == State::Idle).await;
        assert_eq!(
            text("waiting"),
            "waiting: group of 1 task, body done\n└─ last: idle"
        );
        open.add_permits(1);
    };
    let (all, ()) = tokio::join!(all, look);
    all.unwrap();
}

#[tokio::test]
async fn a_group_counts_its_tasks_and_failures() {
    let all = TaskGroup::builder()
        .name("counted")
        .on_error(OnError::Collect)
        .run(async |g| {
            for n in 0..5 {
                g.spawn(async move {
                    match n {
                        0 => Err(io::Error::other("no")),
                        1 => panic!("never"),
                        2 => pending().await,
                        _ => Ok(()),
                    }
                });
            }
            until(|| g.len() == 1).await;
            let counts = dump().find("counted").unwrap().counts.unwrap();
            assert_eq!((counts.spawned, counts.living, counts.failed), (5, 1, 2));
            assert!(text("counted").starts_with("counted: group of 1 task, 2 failed, running"));
            g.cancel("seen".into());
            Ok(())
        });
    assert_eq!(all.await.unwrap_err().len(), 2);
}

#[tokio::test]
async fn many_alike_are_summed_up() {
    let all = TaskGroup::builder().name("crowd").run(async |g| {
        for _ in 0..25 {
            g.spawn(async {
                step("wait", pending::<()>()).await;
                Ok::<_, io::Error>(())
            });
        }
        until(|| below(&dump(), "crowd").len() == 51).await;
        let seen = text("crowd");
        g.cancel("seen".into());
        Ok(seen)
    });
    let text = all.await.unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 2 * 10 + 1);
    assert_eq!(lines[0], "crowd: group of 25 tasks, running");
    assert_eq!(lines[1..3], ["├─ task: idle", "│  └─ step wait"]);
    assert_eq!(lines[21], "└─ 15 more: 15 idle");
}

#[tokio::test]
async fn what_ended_lately_is_remembered() {
    let all = TaskGroup::builder()
        .on_error(OnError::Collect)
        .run(async |g| {
            g.task("e done").spawn(async { Ok(()) });
            g.task("e failed")
                .spawn(async { Err::<(), _>(io::Error::other("no")) });
            g.task("e panicked")
                .spawn(async { panic!("never") as Result<()> });
            g.task("e late")
                .timeout(Duration::from_millis(1))
                .spawn(pending::<Result<()>>());
            let aborted = g.task("e cancelled").spawn(pending::<Result<()>>());
            yield_now().await;
            aborted.abort();
            Ok(())
        });
    assert_eq!(all.await.unwrap_err().len(), 3);
    let endings: Vec<_> = dump()
        .ended
        .into_iter()
        .filter(|ended| ended.name.to_string().starts_with("e "))
        .map(|ended| (ended.name.to_string(), ended.ending))
        .collect();
    let expected = [
        ("e done", EndedAs::Done),
        ("e failed", EndedAs::Failed),
        ("e panicked", EndedAs::Panicked),
        ("e cancelled", EndedAs::Cancelled),
        ("e late", EndedAs::TimedOut),
    ];
    assert_eq!(endings.len(), expected.len());
    for (name, ending) in expected {
        assert!(endings.contains(&(name.to_owned(), ending)), "{endings:?}");
    }
}

#[tokio::test]
async fn only_the_last_are_remembered() {
    TaskGroup::run(async |g| {
        for n in 0..1000 {
            g.task(format!("many {n}"))
                .spawn(async { Ok::<_, io::Error>(()) });
        }
        Ok(())
    })
    .await
    .unwrap();
    let names: Vec<_> = dump()
        .ended
        .into_iter()
        .map(|ended| ended.name.to_string())
        .filter(|name| name.starts_with("many "))
        .collect();
    let expected: Vec<_> = (1000 - 64..1000).map(|n| format!("many {n}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn scopes_are_looked_through() {
    let all = CancelScope::root().run(CancelScope::root().run(async {
        TaskGroup::builder()
            .name("within scopes")
            .run(async |g| {
                g.task("inner").spawn(async {
                    let waits = step("deep", pending::<()>());
                    let _ = CancelScope::new().run(waits).await;
                    Ok(())
                });
                until(|| below(&dump(), "within scopes").len() == 3).await;
                let seen = text("within scopes");
                g.cancel("seen".into());
                Ok::<_, io::Error>(seen)
            })
            .await
    }));
    assert_eq!(
        all.await.unwrap().unwrap().unwrap(),
        "within scopes: group of 1 task, running\n└─ inner: idle\n   └─ step deep"
    );
}

/// Blocking tasks go on after their group was dropped: they are the ones to be looked for then.
#[tokio::test]
async fn what_a_dropped_group_left_is_still_seen() {
    let (stop, stopped) = channel::<()>();
    {
        let run = TaskGroup::builder().name("left").run(async |g| {
            g.task("left blocking").spawn_blocking(move |_| {
                let _ = stopped.recv();
                Ok::<_, io::Error>(())
            });
            pending::<Result<()>>().await
        });
        let mut run = std::pin::pin!(run);
        poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_pending())).await;
        until(|| state("left blocking") == State::Blocking).await;
    }
    let entries = below(&dump(), "left");
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[0].kind, entries[1].kind),
        (Kind::Group, Kind::Task)
    );
    assert_eq!(
        entries[0].reason.as_ref().unwrap().to_string(),
        "its owner was dropped"
    );
    assert_eq!(entries[1].parent, Some(entries[0].id));
    drop(stop);
    until(|| dump().find("left").is_none()).await;
}

/// What a task leaves running elsewhere in its scope may outlive it, and its group.
#[tokio::test]
async fn what_outlives_its_task_is_still_seen() {
    fn stray(name: &'static str) -> JoinHandle<()> {
        let group = TaskGroup::<io::Error>::builder()
            .name(name)
            .run(async |_| pending::<Result<()>>().await);
        tokio::spawn(async { drop(group.await) }.in_scope())
    }
    let strays = TaskGroup::run(async |g| {
        let task = g.spawn(async { Ok::<_, io::Error>(stray("stray")) });
        let stray = task.await;
        until(|| dump().find("stray").is_some()).await;
        // Enough for the group to forget the tasks that have ended.
        for _ in 0..100 {
            g.spawn(async { Ok(()) }).await;
        }
        assert!(dump().find("stray").is_some(), "its task is over");
        Ok(stray)
    });
    let stray = strays.await.unwrap();
    assert!(dump().find("stray").is_some(), "its group is over");
    stray.abort();
    until(|| dump().find("stray").is_none()).await;
}

/// Taken again and again while others spawn and end: nothing that lives throughout is ever missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lives_throughout_is_in_every_dump() {
    let all = TaskGroup::builder().name("busy").run(async |g| {
        for _ in 0..1000 {
            g.task("steady").spawn(pending::<Result<()>>());
        }
        let churn = g.clone();
        let spawner = g.spawn(async move {
            for _ in 0..200 {
                for _ in 0..100 {
                    churn.spawn(async { Ok(()) });
                }
                yield_now().await;
            }
            Ok(())
        });
        let mut dumps = 0;
        while !spawner.is_finished() || dumps < 10 {
            let tree = dump();
            let steady = below(&tree, "busy")
                .into_iter()
                .filter(|task| task.name == *"steady");
            assert_eq!(steady.count(), 1000);
            dumps += 1;
            yield_now().await;
        }
        g.cancel("seen".into());
        Ok(())
    });
    all.await.unwrap();
}

/// Neither the walk nor what it made may take the stack: groups nest as deep as somebody likes.
#[tokio::test]
async fn groups_in_each_other_are_walked_to_any_depth() {
    const DEPTH: usize = 2_000;
    fn nest(depth: usize) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        Box::pin(async move {
            if depth == 0 {
                let tree = dump();
                assert_eq!(below(&tree, "nest").len(), 2 * DEPTH);
                assert!(tree.to_string().contains("(4000 deep) "));
                return Ok(());
            }
            let name = if depth == DEPTH { "nest" } else { "deeper" };
            let run = TaskGroup::builder().name(name).run(async move |g| {
                g.spawn(nest(depth - 1));
                Ok(())
            });
            run.await.map_err(|_| io::Error::other("one inside failed"))
        })
    }
    nest(DEPTH).await.unwrap();
}

#[tokio::test]
async fn with_times_it_prints_all() {
    let all = TaskGroup::builder().name("timed").run(async |g| {
        g.task("timed task").spawn(pending::<Result<()>>());
        until(|| state("timed task") == State::Idle).await;
        let text = format!("{:#}", dump());
        g.cancel("seen".into());
        Ok(text)
    });
    let text = all.await.unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("timed task"))
        .unwrap();
    assert!(
        line.contains(" old, 1 polls (") && line.contains(": idle for "),
        "{line}"
    );
}
