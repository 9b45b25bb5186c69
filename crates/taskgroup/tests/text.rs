//! What people read when a group fails.
#![cfg(not(shibuya_loom))]

mod support;

use std::error::Error;
use std::future::pending;
use std::panic::Location;

use shibuya_taskgroup::{GroupError, OnError, Reason, TaskGroup, try_gather};
use support::ms;
use tokio::time::sleep;

/// The text, with every place in this file as `<here>`.
fn without_places(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut parts = text.split(concat!(file!(), ":"));
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        text + "<here>" + rest
    })
}

#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

#[tokio::test(start_paused = true)]
async fn one_failure() {
    let mut spawned = 0;
    let error = TaskGroup::<&str>::builder()
        .name("fetch")
        .run(async |g| {
            spawned = here() + 1;
            g.task("news").spawn(async {
                sleep(ms(1500)).await;
                Err::<(), _>("no route to host")
            });
            Ok(())
        })
        .await
        .unwrap_err();
    let text = "task group `fetch`: 1 failure\n└─ `news` (<here>) after 1.5s: no route to host";
    assert_eq!(without_places(&error), text);
    assert_eq!(error.first().location().line(), spawned);
}

#[tokio::test(start_paused = true)]
async fn three_failures_of_several_kinds_and_an_unnamed_one() {
    let run = async |g: TaskGroup<&'static str>| {
        g.spawn(async { Err::<(), _>("bad checksum") });
        g.task("parse")
            .spawn(async { panic!("index out of bounds") as Result<(), _> });
        g.task("slow")
            .timeout(ms(250))
            .spawn(pending::<Result<(), _>>());
        sleep(ms(300)).await;
        Err::<(), _>("and the body")
    };
    let error = TaskGroup::builder()
        .on_error(OnError::Collect)
        .run(run)
        .await
        .unwrap_err();
    let text = "task group: 4 failures\n\
        ├─ task at <here> after 0.0ns: bad checksum\n\
        ├─ `parse` (<here>) after 0.0ns: panicked: index out of bounds\n\
        ├─ `slow` (<here>) after 250.0ms: deadline passed\n\
        └─ `body` (<here>) after 300.0ms: and the body";
    assert_eq!(without_places(&error), text);
}

#[tokio::test(start_paused = true)]
async fn seventy_failures() {
    let error = TaskGroup::<usize>::builder()
        .name("many")
        .on_error(OnError::Collect)
        .run(async |g| {
            for i in 0..70 {
                g.task(format!("t{i}"))
                    .spawn(async move { Err::<(), _>(i) });
            }
            Ok(())
        })
        .await
        .unwrap_err();
    let text = error.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 64 + 1);
    assert_eq!(lines[0], "task group `many`: 70 failures");
    assert!(lines[1].starts_with("├─ `t0` (") && lines[64].starts_with("├─ `t63` ("));
    assert_eq!(lines[65], "└─ and 6 more");
}

#[tokio::test(start_paused = true)]
async fn a_tree_of_groups_is_a_tree_of_lines() {
    let error = TaskGroup::<GroupError<&str>>::builder()
        .name("outer")
        .on_error(OnError::Collect)
        .run(async |g| {
            g.task("shard").spawn(async {
                TaskGroup::<&str>::builder()
                    .name("inner")
                    .on_error(OnError::Collect)
                    .run(async |g| {
                        for name in ["a", "b"] {
                            g.task(name).spawn(async { Err::<(), _>("two\nlines") });
                        }
                        Ok(())
                    })
                    .await
            });
            sleep(ms(1)).await;
            g.task("last")
                .spawn(async { panic!("at last") as Result<(), _> });
            Ok(())
        })
        .await
        .unwrap_err();
    let text = "task group `outer`: 2 failures\n\
        ├─ `shard` (<here>) after 0.0ns: task group `inner`: 2 failures\n\
        │  ├─ `a` (<here>) after 0.0ns: two\n\
        │  │  lines\n\
        │  └─ `b` (<here>) after 0.0ns: two\n\
        │     lines\n\
        └─ `last` (<here>) after 0.0ns: panicked: at last";
    assert_eq!(without_places(&error), text);
}

#[tokio::test(start_paused = true)]
async fn stragglers_are_listed_and_a_deadline_is_called_after_its_group() {
    let error = TaskGroup::<&str>::builder()
        .name("server")
        .timeout(ms(100))
        .grace(ms(20))
        .run(async |g| {
            g.task("deaf").spawn(pending::<Result<(), _>>());
            Ok(())
        })
        .await
        .unwrap_err();
    let text = "task group `server`: 1 failure\n\
        ├─ `server` (<here>) after 100.0ms: deadline passed\n\
        └─ aborted after the grace: `deaf` (<here>)";
    assert_eq!(without_places(&error), text);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_group() {
    let run = async |g: TaskGroup<&str>| {
        g.cancel(Reason::other("the user pressed stop"));
        pending::<Result<(), _>>().await
    };
    let error = TaskGroup::<&str>::run(run).await.unwrap_err();
    let text = "task group was cancelled\n└─ `body` (<here>) after 0.0ns: cancelled: the user pressed stop";
    assert_eq!(without_places(&error), text);
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_gather_name_the_place_of_the_caller() {
    let error =
        try_gather([1, 2].map(|n| async move { if n == 2 { Err("two") } else { Ok(n) } })).await;
    let text = "task group `try_gather`: 1 failure\n└─ `future 1` (<here>) after 0.0ns: two";
    assert_eq!(without_places(&error.unwrap_err()), text);
}

#[tokio::test(start_paused = true)]
async fn it_travels_as_a_boxed_error_and_prints_its_errors_once() {
    async fn program() -> Result<(), Box<dyn Error + Send + Sync>> {
        TaskGroup::run(async |g: TaskGroup<std::num::ParseIntError>| {
            g.spawn(async { "x".parse::<i32>() });
            Ok(())
        })
        .await?;
        Ok(())
    }
    let error = program().await.unwrap_err();
    assert!(error.source().is_none(), "the text says it all already");
    assert_eq!(error.to_string().matches("invalid digit").count(), 1);
    assert!(
        error
            .downcast::<GroupError<std::num::ParseIntError>>()
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn debug_output_is_of_use() {
    let error = TaskGroup::<&str>::builder()
        .name("g")
        .run(async |g| {
            let task = g.task("t").spawn(async { Err::<(), _>("e") });
            assert!(format!("{task:?}").contains("name: \"t\", finished: false"));
            assert_eq!(
                format!("{g:?}"),
                "TaskGroup { name: \"g\", tasks: 1, cancelled: None }"
            );
            Ok(task.await)
        })
        .await
        .unwrap_err();
    // What `unwrap` prints is for people.
    let text = format!("{error:?}");
    assert!(
        text.starts_with("task group `g`: 1 failure\n└─ `t` ("),
        "{text}"
    );
    assert!(text.ends_with(": \"e\""), "{text}");
    let all = format!("{error:#?}");
    assert!(
        all.contains("name: \"g\"") && all.contains("Error("),
        "{all}"
    );
}
