//! # Deadline scheduler: do what fits, and know what did not
//!
//! A page has 400 ms to be put together from parts of different worth. What can't be ready in time is never begun and comes back to
//! be done later; what takes longer than it said is cut; the rest is delivered.
//!
//! `cargo run -p patterns --example deadline_scheduler` prints:
//!
//! ```text
//! done: text
//! done: prices
//! done: map
//! failed: weather: no answer
//! cut: advertising
//! skipped: video: it needs 1s
//! later: video
//! ```

use std::pin::Pin;
use std::time::Duration;

use shibuya_taskgroup::deadline_scheduler::SkipReason;
use shibuya_taskgroup::{DeadlineScheduler, Job, timeout};
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A part of the page, in a box, since each is a future of a type of its own.
type Part = Pin<Box<dyn Future<Output = Result<&'static str, &'static str>> + Send>>;

fn part(name: &'static str, estimate: Duration, takes: Duration) -> Job<Part> {
    let render = async move {
        sleep(takes).await;
        Ok(name)
    };
    Job::new(name, estimate, Box::pin(render))
}

fn parts() -> [Job<Part>; 6] {
    [
        part("advertising", ms(5), ms(10_000)).priority(-1), // it says so
        part("map", ms(40), ms(40)),
        part("video", ms(1000), ms(10)), // in truth it is quick
        part("prices", ms(20), ms(20)).priority(1),
        part("text", ms(10), ms(10)).priority(9),
        Job::new("weather", ms(5), Box::pin(async { Err("no answer") })),
    ]
}

#[tokio::main]
async fn main() {
    // The deadline of whoever asked for the page. The last 100 ms are for delivering it.
    let page = timeout(ms(400), async {
        let scheduler = DeadlineScheduler::timeout(ms(10_000)).reserve(ms(100));
        scheduler.run(parts()).await
    });
    let page = page.await.expect("the report comes in time");

    for part in &page.done {
        println!("done: {}", part.value);
    }
    for part in &page.failed {
        println!(
            "failed: {}: {}",
            part.name(),
            part.error().expect("no panic")
        );
    }
    for part in &page.cut {
        println!("cut: {}", part.name);
    }
    for part in page.skipped {
        if let SkipReason::Hopeless { needs, .. } = part.why {
            println!("skipped: {}: it needs {needs:?}", part.job.name());
        }
        // Nothing of it has run, so it is as good as new.
        let name = part.job.into_inner().await.expect("this one works");
        println!("later: {name}");
    }
}
