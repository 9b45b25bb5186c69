//! # Task monitor: a task that tells what the others do
//!
//! A monitor reports what is active, done and failed, by name, each time a task ends and once more at the end. Nobody tells it
//! anything: it looks at the tree of what runs, and at what ended lately.
//!
//! `cargo run -p patterns --example task_monitor` prints:
//!
//! ```text
//! 4 of 4 active: customers (read), orders (read), prices (read), stock (read)
//! 3 of 4 active: customers (write), prices (write), stock (write); failed: orders
//! 2 of 4 active: prices (write), stock (write); done: customers; failed: orders
//! 1 of 4 active: prices (write); done: customers; failed: orders, stock
//! at the end: done: customers, prices; failed: orders, stock
//! task group `import`: 2 failures
//! ├─ `orders` (…task_monitor.rs:…) after …: no such file
//! └─ `stock` (…task_monitor.rs:…) after …: the disk is full
//! ```

use std::convert::Infallible;
use std::time::Duration;

use shibuya_taskgroup::{
    Counts, EndedAs, GroupError, OnError, TaskGroup, TaskId, TaskInfo, TreeSnapshot, dump, step,
};
use tokio::sync::watch;
use tokio::time::sleep;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

// ---- The monitor ----

/// The tasks of one group, in a line. A group that is over has left the tree, but those of its tasks that ended last are
/// remembered: 64 on each thread. So of a group of thousands the counts are exact, and the names are examples.
fn status(group: TaskId, counts: Option<Counts>, tree: &TreeSnapshot) -> String {
    let mut parts = Vec::new();
    if let Some(counts) = counts {
        let active = tree.tasks().filter(|task| task.parent == Some(group));
        let names: Vec<_> = active.map(|task| with_step(task, tree)).collect();
        let (living, all) = (counts.living, counts.spawned);
        parts.push(format!("{living} of {all} active: {}", names.join(", ")));
    }
    let failed = [EndedAs::Failed, EndedAs::Panicked, EndedAs::TimedOut];
    for (what, how) in [("done", &[EndedAs::Done][..]), ("failed", &failed)] {
        let its_own = tree.ended.iter().filter(|ended| ended.group == group);
        let such = its_own.filter(|ended| how.contains(&ended.ending));
        let names: Vec<_> = such.map(|ended| ended.name.to_string()).collect();
        if !names.is_empty() {
            parts.push(format!("{what}: {}", names.join(", ")));
        }
    }
    parts.join("; ")
}

/// Its name, and what it is at: the step directly in it.
fn with_step(task: &TaskInfo, tree: &TreeSnapshot) -> String {
    let mut entries = tree.entries.iter();
    match entries.find(|entry| entry.parent == Some(task.id)) {
        Some(step) => format!("{} ({})", task.name, step.name),
        None => task.name.to_string(),
    }
}

/// Reports on the group of that name until it is over, and counts its reports. In asyncio it would compare `asyncio.all_tasks()`
/// with what it saw before, and learn how a task ended from a callback that was added to each.
async fn monitor(group: &'static str, reports: watch::Sender<usize>) -> Result<(), Infallible> {
    let (mut id, mut reported) = (None, None);
    loop {
        sleep(LOOK_EVERY).await;
        let tree = dump();
        let entry = tree.find(group);
        id = id.or(entry.map(|group| group.id));
        let Some(id) = id else { continue }; // it has not begun
        let counts = entry.and_then(|group| group.counts);
        if counts.is_none() {
            println!("at the end: {}", status(id, counts, &tree));
            return Ok(());
        }
        if counts != reported {
            println!("{}", status(id, counts, &tree));
            reported = counts;
            reports.send_modify(|count| *count += 1);
        }
    }
}

// ---- What it looks at ----

/// How long something takes: until so many reports were made, so that this program prints the same each time.
async fn work(what: &'static str, until: usize, mut reports: watch::Receiver<usize>) {
    let work = reports.wait_for(|count| *count >= until);
    let _ = step(what, work).await; // that nobody reports any more is an end, too
}

async fn import(reports: &watch::Receiver<usize>) -> Result<(), GroupError<&'static str>> {
    let group = TaskGroup::builder()
        .name("import")
        .on_error(OnError::Collect);
    let files = [
        ("customers", 2, Ok(())),
        ("orders", 0, Err("no such file")),
        ("prices", 4, Ok(())),
        ("stock", 3, Err("the disk is full")),
    ];
    group
        .run(async |g| {
            for (name, until, ended) in files {
                let reports = reports.clone();
                g.task(name).spawn(async move {
                    work("read", 1, reports.clone()).await;
                    work("write", until, reports).await;
                    ended
                });
            }
            Ok(())
        })
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), GroupError<Infallible>> {
    let (reports, reported) = watch::channel(0);
    let program = TaskGroup::run(async |g| {
        let monitor = g.task("monitor").spawn(monitor("import", reports));
        let imported = import(&reported).await;
        monitor.await; // it has the last word on the tasks
        Ok(imported)
    });
    if let Err(error) = program.await? {
        println!("{error}");
    }
    Ok(())
}
