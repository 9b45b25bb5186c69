//! # Gather: run futures at once, take their results in order
//!
//! All or nothing (`try_gather`), every result whatever happened (`gather`, asyncio's `return_exceptions=True`), and named groups
//! that run one after another.
//!
//! `cargo run -p patterns --example gather` prints:
//!
//! ```text
//! all: [1, 6, 9]
//! task group `try_gather`: 1 failure
//! └─ `future 1` (…gather.rs:…) after …: 404 Not Found
//! / has 1 byte(s)
//! /missing: 404 Not Found
//! /broken panicked: not a page
//! 1 of 3 pages fetched
//! images: 9 bytes
//! texts: 15 bytes
//! ```

use std::fmt;
use std::time::Duration;

use shibuya_taskgroup::{GroupError, Outcome, TaskGroup, gather, try_gather};

#[derive(Debug)]
struct NotFound;

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("404 Not Found")
    }
}

/// Stands for a request: takes a while, then gives the size of the page.
async fn fetch(page: &'static str) -> Result<usize, NotFound> {
    tokio::time::sleep(Duration::from_millis(10)).await;
    match page {
        "/missing" => Err(NotFound),
        "/broken" => panic!("not a page"),
        _ => Ok(page.len()),
    }
}

/// `await asyncio.gather(*fetches)`: the values, in the order of the futures, whichever is ready first.
async fn all_or_nothing() {
    match try_gather(["/", "/about", "/contacts"].map(fetch)).await {
        Ok(sizes) => println!("all: {sizes:?}"),
        Err(error) => println!("{error}"),
    }

    // One failure stops the others; asyncio would let them run on.
    match try_gather(["/", "/missing", "/about"].map(fetch)).await {
        Ok(sizes) => println!("all: {sizes:?}"),
        Err(error) => println!("{error}"),
    }
}

/// `await asyncio.gather(*fetches, return_exceptions=True)`: nothing stops the others, each future has its outcome.
async fn every_result() {
    let pages = ["/", "/missing", "/broken"];
    let outcomes = gather(pages.map(fetch)).await;

    for (page, outcome) in pages.iter().zip(&outcomes) {
        match outcome {
            Outcome::Ok(size) => println!("{page} has {size} byte(s)"),
            Outcome::Err(error) => println!("{page}: {error}"),
            Outcome::Panicked(panic) => println!("{page} {panic}"),
            Outcome::Cancelled(reason) => println!("{page} was cancelled: {reason}"),
        }
    }
    let fetched = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    println!("{fetched} of {} pages fetched", pages.len());
}

/// Each group starts when the one before it has ended, with every task of it.
async fn groups_in_turn() -> Result<(), GroupError<NotFound>> {
    for (name, pages) in [
        ("images", ["/cat", "/bird"]),
        ("texts", ["/haiku", "/limerick"]),
    ] {
        let total = TaskGroup::builder()
            .name(name)
            .run(async |g| {
                let tasks = pages.map(|page| g.task(page).spawn(fetch(page)));
                let mut total = 0;
                for task in tasks {
                    total += task.await;
                }
                Ok(total)
            })
            .await?;
        println!("{name}: {total} bytes");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), GroupError<NotFound>> {
    all_or_nothing().await;
    every_result().await;
    groups_in_turn().await
}
