//! # Pipeline: stages with workers of their own, and back-pressure between them
//!
//! A function over many items at once (`map_concurrent`), three stages in a row of which the slowest sets the pace, work fanned out
//! to several and merged again, and what a failure in the middle of it is called.
//!
//! `cargo run -p patterns --example pipeline` prints:
//!
//! ```text
//! lengths: [1, 6, 8, 5]
//! while the store is held up:
//!   fetch: 4 of 4 workers busy, 4 of 4 places taken, 7 went on
//!   parse: 2 of 2 workers busy, 2 of 2 places taken, 3 went on
//!   store: 1 of 1 workers busy, 2 of 2 places taken, 0 went on
//!   15 of 100 pages were asked for
//! all 100 pages were stored, 50 of them with a link
//! squares, as they were ready: 8 of them, the sum is 204
//! task group `pipeline`: 1 failure
//! └─ `parse, item 17` (…pipeline.rs:…) after …: page 17 is no text
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use shibuya_taskgroup::{
    GroupError, PipelineMonitor, StageStats, fan_out_fan_in, map_concurrent, pipeline,
};
use tokio::sync::Semaphore;
use tokio::time::sleep;

type Result<T, E = GroupError<String>> = std::result::Result<T, E>;

/// Stands for a request.
async fn fetch(page: usize) -> Result<String, String> {
    sleep(Duration::from_millis(1)).await;
    Ok(format!("page {page}"))
}

/// Every second page has a link.
fn has_link(text: &str) -> bool {
    text.ends_with(['0', '2', '4', '6', '8'])
}

/// At most two at a time, and the values in the order of the input. asyncio has no call for it: it would be a semaphore around each
/// and a `gather` of all, so a task for each item, of however many.
async fn map() -> Result<()> {
    let lengths = map_concurrent(["/", "/about", "/contact", "/news"], 2, async |path| {
        sleep(Duration::from_millis(1)).await;
        Ok(path.len())
    });
    println!("lengths: {:?}", lengths.await?);
    Ok(())
}

/// Waiting for answers wants many workers, parsing as many as there are cores, and the store takes one at a time. In asyncio each
/// stage is a `Queue(maxsize)` with tasks that get and put, and the end of the input is passed on by hand.
async fn stages() -> Result<()> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let pages = (0..100).inspect(move |_| _ = count.fetch_add(1, Relaxed));

    let store_opens = Arc::new(Semaphore::new(0));
    let store = store_opens.clone();
    let line = pipeline(pages)
        .stage("fetch", 4, 4, fetch)
        .stage("parse", 2, 2, async |text| Ok(has_link(&text)))
        .stage("store", 1, 2, move |link| {
            let store = store.clone();
            async move {
                let _open = store.acquire().await.map_err(|closed| closed.to_string())?;
                Ok(link)
            }
        });
    let monitor = line.monitor();
    let look = async {
        let held_up = filled(&monitor).await;
        println!("while the store is held up:\n{held_up}");
        println!("  {} of 100 pages were asked for", asked.load(Relaxed));
        store_opens.add_permits(1);
        Ok(())
    };
    let (links, ()) = tokio::try_join!(line.run(), look)?;

    let with_link = links.iter().filter(|link| **link).count();
    println!(
        "all {} pages were stored, {with_link} of them with a link",
        links.len()
    );
    Ok(())
}

/// Waits until no stage has room; gives what is where then. A full buffer before a stage says that the stage is too slow.
async fn filled(monitor: &PipelineMonitor) -> String {
    loop {
        let stats = monitor.stats();
        let is_full = |s: &StageStats| (s.in_flight, s.buffered) == (s.workers, s.capacity);
        if stats.iter().all(is_full) {
            let lines = stats.iter().map(|s| {
                format!(
                    "  {}: {} of {} workers busy, {} of {} places taken, {} went on",
                    s.name, s.in_flight, s.workers, s.buffered, s.capacity, s.left
                )
            });
            return lines.collect::<Vec<_>>().join("\n");
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Three workers, one stream of what they give: in the order in which it is ready, as from `asyncio.as_completed`.
async fn fan() -> Result<()> {
    let mut squares = fan_out_fan_in(1..=8u64, 3, async |n| {
        sleep(Duration::from_millis(n % 3)).await;
        Ok::<_, String>(n * n)
    });
    let (mut count, mut sum) = (0, 0);
    while let Some(square) = squares.next().await {
        count += 1;
        sum += square?;
    }
    println!("squares, as they were ready: {count} of them, the sum is {sum}");
    Ok(())
}

/// The first failure stops all stages, and says where it was and with which item.
async fn failure() {
    let line =
        pipeline(0..100)
            .stage("fetch", 4, 4, fetch)
            .stage("parse", 2, 2, async |text: String| match text.as_str() {
                "page 17" => Err(format!("{text} is no text")),
                _ => Ok(has_link(&text)),
            });
    if let Err(error) = line.run().await {
        println!("{error}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    map().await?;
    stages().await?;
    fan().await?;
    failure().await;
    Ok(())
}
