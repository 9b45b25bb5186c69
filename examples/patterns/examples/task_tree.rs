//! # Task tree: see what a program waits for when it stands still
//!
//! A service stops answering: its requests hold a connection each and wait for a second one. The tasks, one of them, and the tree
//! of groups, tasks and steps say so from within; nothing needs to be built or started in another way.
//!
//! `cargo run -p patterns --example task_tree` prints:
//!
//! ```text
//! it stands still, with 10 tasks: request 1, user, orders, open, shipped, request 2, user, orders, open, shipped
//! one of them: shipped #…: idle for …, … old, … (…task_tree.rs:…)
//! it is in the group rows, and does this: wait for a connection
//! the tree:
//! service: group of 2 tasks, body done (…task_tree.rs:…)
//! ├─ request 1: idle (…)
//! │  └─ page: group of 2 tasks, body done (…)
//! │     ├─ user: idle (…)
//! │     │  └─ step wait for a connection (…)
//! │     └─ orders: idle (…)
//! │        └─ rows: group of 2 tasks, body done (…)
//! │           ├─ open: idle (…)
//! │           │  └─ step wait for a connection (…)
//! │           └─ shipped: idle (…)
//! │              └─ step wait for a connection (…)
//! └─ request 2: idle (…)
//!    └─ page: group of 2 tasks, body done (…)
//!       ├─ user: idle (…)
//!       │  └─ step wait for a connection (…)
//!       └─ orders: idle (…)
//!          └─ rows: group of 2 tasks, body done (…)
//!             ├─ open: idle (…)
//!             │  └─ step wait for a connection (…)
//!             └─ shipped: idle (…)
//!                └─ step wait for a connection (…)
//! with one connection more all was answered; tasks left: 0
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use shibuya_taskgroup::{TaskGroup, TreeSnapshot, dump, step};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Between two looks at what goes on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

type Result = std::result::Result<(), Box<dyn Error + Send + Sync>>;

/// Connections to a database.
struct Pool(Semaphore);

impl Pool {
    /// This is where the program waits, so it is what gets a name.
    async fn connection(&self) -> SemaphorePermit<'_> {
        let connection = step("wait for a connection", self.0.acquire()).await;
        connection.expect("the pool is never closed")
    }

    async fn query(&self) -> Result {
        let _connection = self.connection().await;
        Ok(())
    }
}

/// Keeps a connection for the whole page, while the page's parts need some of their own: that is the mistake.
async fn request(pool: Arc<Pool>) -> Result {
    let _connection = pool.connection().await;
    let page = TaskGroup::builder().name("page").run(async |g| {
        let (user, orders) = (pool.clone(), pool.clone());
        g.task("user").spawn(async move { user.query().await });
        g.task("orders").spawn(rows(orders));
        Ok(())
    });
    Ok(page.await?)
}

async fn rows(pool: Arc<Pool>) -> Result {
    let rows = TaskGroup::builder().name("rows").run(async |g| {
        for name in ["open", "shipped"] {
            let pool = pool.clone();
            g.task(name).spawn(async move { pool.query().await });
        }
        Ok(())
    });
    Ok(rows.await?)
}

async fn service(pool: &Arc<Pool>) -> Result {
    let service = TaskGroup::builder().name("service").run(async |g| {
        for name in ["request 1", "request 2"] {
            g.task(name).spawn(request(pool.clone()));
        }
        Ok(())
    });
    Ok(service.await?)
}

/// The tree, once no task was polled between two looks at it.
async fn standing_still() -> TreeSnapshot {
    let polls = |tree: &TreeSnapshot| tree.tasks().map(|task| task.polls).sum::<u32>();
    let mut before = dump();
    loop {
        sleep(LOOK_EVERY).await;
        let now = dump();
        if polls(&now) == polls(&before) {
            return now;
        }
        before = now;
    }
}

/// What someone asks who finds it so. A service would do the same at a signal, or where it is asked over HTTP.
fn explain(tree: &TreeSnapshot) {
    // `asyncio.all_tasks()`
    let names: Vec<String> = tree.tasks().map(|task| task.name.to_string()).collect();
    let (count, names) = (names.len(), names.join(", "));
    println!("it stands still, with {count} tasks: {names}");

    // `task.get_stack()`: where one of them waits. `{:#}` is the long form.
    let task = tree.find("shipped").expect("it has not ended");
    println!("one of them: {task:#}");
    let mut entries = tree.entries.iter();
    let group = entries.clone().find(|entry| Some(entry.id) == task.parent);
    let step = entries.find(|entry| entry.parent == Some(task.id));
    if let (Some(group), Some(step)) = (group, step) {
        let (group, step) = (&group.name, &step.name);
        println!("it is in the group {group}, and does this: {step}");
    }

    // `asyncio.print_call_graph()`, or `python -m asyncio pstree PID` from outside, both since Python 3.14.
    print!("the tree:\n{tree}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let pool = Arc::new(Pool(Semaphore::new(2)));
    let debug = async {
        explain(&standing_still().await);
        pool.0.add_permits(1);
        Ok(())
    };
    tokio::try_join!(service(&pool), debug)?;
    let left = dump().tasks().count();
    println!("with one connection more all was answered; tasks left: {left}");
    Ok(())
}
