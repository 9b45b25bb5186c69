//! # Wait: for the first of several tasks, for the first failure, for all of them, or for so long
//!
//! `wait` with each of its conditions and with a timeout, results as they come, the first that ends, the first that succeeds, and a
//! limit for one future: asyncio's `wait`, `as_completed` and `wait_for`.
//!
//! `cargo run -p patterns --example wait` prints:
//!
//! ```text
//! first: done: ["near"], pending: ["moon", "mars"]
//! and 2 were stopped
//! first failure: done: ["near", "closed"], pending: ["moon"]
//! closed: connection refused
//! in 300 ms: done: ["near", "far"], pending: ["moon"]
//! as completed: near: Ok("here it is")
//! as completed: closed: Err("connection refused")
//! as completed: far: Ok("here it is, too")
//! race: closed: Err("connection refused")
//! first success: far: here it is, too
//! first success: none of 2 succeeded: future 0: connection refused; future 1: connection refused
//! wait_for: deadline elapsed
//! ```

use std::time::Duration;

use shibuya_taskgroup::{
    Done, OnError, Outcome, Reason, Task, TaskGroup, Until, as_completed, race, select_first,
    timeout, wait,
};
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

type Text = &'static str;

/// Stands for asking one of several mirrors for a file.
async fn ask(mirror: Text) -> Result<Text, Text> {
    let (time, answer) = match mirror {
        "near" => (5, Ok("here it is")),
        "far" => (50, Ok("here it is, too")),
        "closed" => (20, Err("connection refused")),
        _ => (60_000, Ok("here it is, at last")),
    };
    sleep(ms(time)).await;
    answer
}

fn ask_all<const N: usize>(g: &TaskGroup<Text>, mirrors: [Text; N]) -> Vec<Task<Text, Text>> {
    mirrors
        .map(|mirror| g.task(mirror).spawn(ask(mirror)))
        .into()
}

/// What `wait` gave, in the order in which it was done, and what it left in the vector.
fn report(what: &str, done: &[Done<Text, Text>], pending: &[Task<Text, Text>]) {
    let done: Vec<_> = done.iter().map(|task| task.name.to_string()).collect();
    let pending: Vec<_> = pending.iter().map(|task| task.name().to_string()).collect();
    println!("{what}: done: {done:?}, pending: {pending:?}");
}

/// `done, pending = await asyncio.wait(tasks, return_when=FIRST_COMPLETED)`. Those that are done leave the vector; the others go on.
async fn the_first() {
    let group = TaskGroup::run(async |g| {
        let mut tasks = ask_all(&g, ["moon", "near", "mars"]);
        let done = wait(&mut tasks, Until::First).await;
        report("first", &done, &tasks);
        for task in &tasks {
            task.abort(); // for task in pending: task.cancel()
        }
        let done = wait(&mut tasks, Until::All).await;
        let stopped = done.iter().filter(|task| task.outcome.is_cancelled());
        Ok(println!("and {} were stopped", stopped.count()))
    });
    group.await.unwrap();
}

/// `return_when=FIRST_EXCEPTION`. It is for groups that collect: in all others the first failure ends the group by itself.
async fn the_first_failure() {
    let group = TaskGroup::builder().on_error(OnError::Collect);
    let ended = group.run(async |g| {
        let mut tasks = ask_all(&g, ["moon", "closed", "near"]);
        let done = wait(&mut tasks, Until::FirstError).await;
        report("first failure", &done, &tasks);
        for task in done {
            if let Outcome::Err(error) = task.outcome {
                println!("{}: {error}", task.name);
            }
        }
        Ok(g.cancel(Reason::from("one mirror is enough")))
    });
    ended.await.unwrap();
}

/// `asyncio.wait(tasks, timeout=0.3)`. When the time is over there is no error, and nothing is stopped: it gives what is done by then.
async fn for_so_long() {
    let group = TaskGroup::run(async |g| {
        let mut tasks = ask_all(&g, ["near", "moon", "far"]);
        let done = wait(&mut tasks, Until::All).timeout(ms(300)).await;
        report("in 300 ms", &done, &tasks);
        Ok(g.cancel(Reason::Requested))
    });
    group.await.unwrap();
}

/// `for task in asyncio.as_completed(..)`: each as soon as it is there, failed or not, and it says which one it is.
async fn as_they_come() {
    let mirrors = ["far", "closed", "near"];
    let mut answers = as_completed(mirrors.map(ask));
    while let Some((place, outcome)) = answers.next().await {
        println!(
            "as completed: {}: {:?}",
            mirrors[place],
            outcome.into_result()
        );
    }
}

/// The first that ends, and the first that succeeds. In asyncio: `wait` in a loop, and a `cancel` and an `await` for each that lost.
/// Here those are gone when the winner is there.
async fn whoever_wins() {
    let mirrors = ["moon", "far", "closed"];
    if let Some((place, outcome)) = race(mirrors.map(ask)).await {
        println!("race: {}: {:?}", mirrors[place], outcome.into_result());
    }
    match select_first(mirrors.map(ask)).await {
        Ok((place, answer)) => println!("first success: {}: {answer}", mirrors[place]),
        Err(none) => println!("first success: {none}"),
    }
    if let Err(none) = select_first(["closed", "closed"].map(ask)).await {
        println!("first success: {none}");
    }
}

/// `await asyncio.wait_for(ask("moon"), 0.02)`. One future needs no task for that; when the time is over it is dropped.
async fn one() {
    match timeout(ms(20), ask("moon")).await {
        Ok(answer) => println!("wait_for: {answer:?}"),
        Err(elapsed) => println!("wait_for: {elapsed}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    the_first().await;
    the_first_failure().await;
    for_so_long().await;
    as_they_come().await;
    whoever_wins().await;
    one().await;
}
