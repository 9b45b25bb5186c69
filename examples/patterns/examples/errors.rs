//! # Errors: each way to handle a task that fails
//!
//! Stop at the first failure, collect all, take one task's outcome, try again, fall back on another value, and what becomes of a
//! panic; each with what asyncio does there.
//!
//! `cargo run -p patterns --example errors` prints:
//!
//! ```text
//! fail fast: task group: 1 failure
//! └─ `teapot` (…errors.rs:…) after …: 418 I'm a teapot
//! and the slow one was stopped
//! collect: task group `all`: 2 failures
//! ├─ `teapot` (…errors.rs:…) after …: 418 I'm a teapot
//! └─ `missing` (…errors.rs:…) after …: 404 Not Found
//! outcome: 418 I'm a teapot, so 5 bytes instead
//! try again: 503 Service Unavailable
//! try again: 503 Service Unavailable
//! try again: 5 bytes
//! fallback: 0 bytes
//! panic: task group: 1 failure
//! └─ `broken` (…errors.rs:…) after …: panicked: not a page
//! panic, resumed: not a page
//! ```

use std::fmt;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

use shibuya_taskgroup::{OnError, OnPanic, Outcome, TaskGroup};
use tokio::time::sleep;

/// An HTTP status that is no success.
#[derive(Debug)]
struct Status(&'static str);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Stands for a request that gives the size of the page.
async fn fetch(page: &'static str) -> Result<usize, Status> {
    let (time, answer) = match page {
        "/slow" => (500, Ok(page.len())),
        "/teapot" => (5, Err(Status("418 I'm a teapot"))),
        "/missing" => (20, Err(Status("404 Not Found"))),
        "/broken" => panic!("not a page"),
        _ => (5, Ok(page.len())),
    };
    sleep(Duration::from_millis(time)).await;
    answer
}

/// The first failure stops the others, and comes out when they have stopped. `asyncio.TaskGroup` does the same and raises an
/// `ExceptionGroup`; `asyncio.gather` raises at once and leaves the others running.
async fn fail_fast() {
    let (alive, stopped) = channel::<()>();
    let sizes = TaskGroup::run(async |g| {
        let slow = g.spawn(async move {
            let _until_it_drops = alive;
            fetch("/slow").await
        });
        g.task("teapot").spawn(fetch("/teapot"));
        Ok(slow.await)
    });
    println!("fail fast: {}", sizes.await.unwrap_err());
    assert_eq!(stopped.try_recv(), Err(TryRecvError::Disconnected));
    println!("and the slow one was stopped");
}

/// Every task runs to its end, and the error has all failures. In asyncio: `gather(…, return_exceptions=True)`, and a loop that
/// tells the exceptions from the values.
async fn collect() {
    let group = TaskGroup::builder().name("all").on_error(OnError::Collect);
    let ended = group.run(async |g| {
        g.task("teapot").spawn(fetch("/teapot"));
        g.task("missing").spawn(fetch("/missing"));
        Ok(g.spawn(fetch("/home")).await)
    });
    println!("collect: {}", ended.await.unwrap_err());
}

/// Whoever takes a task's outcome has dealt with it, and the group has no failure. In asyncio a failed task ends its `TaskGroup`,
/// so the `try` has to be inside the task.
async fn outcome() {
    let group = TaskGroup::<Status>::builder().on_error(OnError::Collect);
    let ended = group.run(async |g| {
        let (mut first, second) = (g.spawn(fetch("/teapot")), g.spawn(fetch("/home")));
        match first.outcome().await {
            Outcome::Ok(size) => println!("outcome: {size} bytes"),
            Outcome::Err(status) => {
                println!("outcome: {status}, so {} bytes instead", second.await)
            }
            other => println!("outcome: {other:?}"), // a panic, or cancelled
        }
        Ok(())
    });
    ended.await.unwrap();
}

/// A loop inside the task, which fails when the tries are used up. In asyncio the same, with `except`; where that is a bare one, it
/// swallows the cancellation too, which here is no error at all.
async fn try_again() {
    let mut busy = [true, true, false].into_iter();
    let mut fetch_if_free = async || match busy.next() {
        Some(true) => Err(Status("503 Service Unavailable")),
        _ => fetch("/home").await,
    };
    for tries in 1.. {
        match fetch_if_free().await {
            Ok(size) => return println!("try again: {size} bytes"),
            Err(status) if tries == 5 => return println!("gave up: {status}"),
            Err(status) => println!("try again: {status}"),
        }
        sleep(Duration::from_millis(1 << tries)).await; // longer each time
    }
}

/// Where another value will do, the task gives that, and nobody hears of the error. In asyncio: `try` and `except` in the coroutine.
async fn fall_back() {
    let size = TaskGroup::<Status>::run(async |g| {
        let task = g.spawn(async { Ok(fetch("/missing").await.unwrap_or(0)) });
        Ok(task.await)
    });
    println!("fallback: {} bytes", size.await.unwrap());
}

/// A panic is a bug, not an error: it is reported as a failure, with the task's name, or goes on where the group is awaited.
/// asyncio has exceptions for both, and where nobody awaits a task its bug is a line in the log.
async fn panics() {
    let broken = async |g: TaskGroup<Status>| Ok(g.task("broken").spawn(fetch("/broken")).await);
    println!("panic: {}", TaskGroup::run(broken).await.unwrap_err());

    let resumed = TaskGroup::builder().on_panic(OnPanic::Resume);
    let whoever_awaits = tokio::spawn(resumed.run(broken));
    let payload = whoever_awaits.await.unwrap_err().into_panic();
    let message = payload.downcast_ref::<&str>().unwrap();
    println!("panic, resumed: {message}");
}

#[tokio::main]
async fn main() {
    fail_fast().await;
    collect().await;
    outcome().await;
    try_again().await;
    fall_back().await;
    panics().await;
}
