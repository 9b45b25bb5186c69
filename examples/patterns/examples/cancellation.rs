//! # Cancellation: be asked to stop, finish what has to be finished, leave nothing behind
//!
//! A task that ends in its own way when it is asked to, one that will not hear and is dropped, a `finally` that may await, clean-ups
//! of which one hangs, a commit that never ends half-way, and work that gives what it has after a while; each beside asyncio's.
//!
//! `cargo run -p patterns --example cancellation` prints:
//!
//! ```text
//! asked: wrote 3 orders, no longer needed
//! ignored: task group `retries` was cancelled
//! ├─ `body` (…cancellation.rs:…) after …: cancelled: on request
//! └─ aborted after the grace: `wrong` (…cancellation.rs:…)
//! finally: rolled back, since it was Cancelled(Requested)
//! outcome: Cancelled(Requested)
//! clean-up: files removed
//! clean-up: database closed
//! clean-up: task group `import`: 1 failure
//! └─ `cleanup lock` (…cancellation.rs:…) after …: cut: its budget of 20ms was used up
//! commit: who waited was stopped: true, and 2 of 2 halves were booked
//! cancel_after: looked … moves ahead
//! ```

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use shibuya_cancel::cancel_after;
use shibuya_taskgroup::{Cancelled, Reason, TaskGroup, cancelled, check, run_with_cleanup, shield};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `try: … except CancelledError: …`. A task that is asked gets a signal, ends in its own way, and what it gives counts. asyncio
/// throws `CancelledError` at whatever `await` the task is at; here it says itself where it listens.
async fn asked() {
    let group = TaskGroup::<Infallible>::run(async |g| {
        let (orders, mut queue) = mpsc::channel(8);
        let worker = g.task("worker").spawn(async move {
            let mut batch = Vec::new();
            let why = loop {
                tokio::select! {
                    biased; // what has come is taken first
                    Some(order) = queue.recv() => batch.push(order),
                    why = cancelled() => break why,
                }
            };
            Ok(format!("wrote {} orders, {why}", batch.len()))
        });
        for order in 1..=3 {
            orders.send(order).await.expect("the worker listens");
        }
        worker.cancel(Reason::from("no longer needed")); // task.cancel("no longer needed")
        Ok(worker.await)
    });
    println!("asked: {}", group.await.unwrap());
}

/// Cancel, grace, abort: a group asks all its tasks, and later drops those that are left. `except CancelledError: pass` makes a task
/// that can't be stopped, as asyncio throws it once. Here a cancellation stays, so nobody can swallow it; a task that goes on
/// regardless wastes its grace, and then is dropped wherever it waits, and named.
async fn ignored() {
    /// A request that is given up when the caller is cancelled, with an error like any other.
    async fn request() -> Result<(), String> {
        check().map_err(|cancelled| cancelled.to_string())?;
        sleep(ms(1)).await;
        Err("no answer".to_owned())
    }

    let group = TaskGroup::builder().name("retries").grace(ms(300));
    let ended = group.run(async |g| {
        g.task("right").spawn(async {
            while request().await.is_err() {
                check()?; // `raise`: the error `Cancelled` of a task that was cancelled is no failure
                sleep(ms(1)).await;
            }
            Ok::<_, Cancelled>(())
        });
        g.task("wrong").spawn(async {
            while request().await.is_err() {
                sleep(ms(1)).await; // being cancelled is one more failure to it
            }
            Ok(())
        });
        sleep(ms(10)).await;
        g.cancel(Reason::Requested);
        pending::<Result<(), _>>().await
    });
    println!("ignored: {}", ended.await.unwrap_err());
}

/// `finally: await connection.rollback()`. A future that is dropped runs its destructors, which can't await; this can, and is told
/// how it ended. Nothing cancels it, while a second `task.cancel()` of asyncio's cuts the `await` in a `finally`.
async fn finally() {
    let group = TaskGroup::<io::Error>::run(async |g| {
        let transaction = run_with_cleanup(pending::<io::Result<()>>(), |ending| async move {
            sleep(ms(5)).await;
            println!("finally: rolled back, since it was {ending:?}");
        });
        let mut task = g.task("transaction").spawn(transaction);
        task.abort(); // stops it without asking, as a group does after its grace
        Ok(task.outcome().await)
    });
    let outcome = group.await.unwrap(); // it has waited for the roll-back
    println!("outcome: {outcome:?}"); // `task.cancelled()`
}

/// `contextlib.AsyncExitStack`, for a whole group: when all tasks have ended, and the last registered first. Each has a budget, by
/// default of 5 seconds. One that hangs is cut and reported, and the others still run.
async fn clean_ups() {
    let group = TaskGroup::<io::Error>::builder().name("import");
    let ended = group.run(async |g| {
        g.on_cleanup("database", async {
            Ok(println!("clean-up: database closed"))
        });
        g.on_cleanup("lock", pending()).budget(ms(20)); // whoever keeps the lock does not answer
        g.on_cleanup("files", async { Ok(println!("clean-up: files removed")) });
        g.cancel(Reason::Shutdown);
        pending::<io::Result<()>>().await
    });
    println!("clean-up: {}", ended.await.unwrap_err());
}

/// `await asyncio.shield(transfer())`: who waits can be stopped, the step can't. asyncio waits for it no longer then, and cancels it
/// half-way if `main` ends before; here the group waits for it.
async fn commit() {
    static BOOKED: AtomicUsize = AtomicUsize::new(0);

    async fn transfer(begun: oneshot::Sender<()>, answer: oneshot::Receiver<()>) {
        BOOKED.fetch_add(1, SeqCst); // taken from one account
        let _ = begun.send(());
        let _ = answer.await; // of the other bank
        BOOKED.fetch_add(1, SeqCst); // given to the other account
    }

    let group = TaskGroup::<Infallible>::run(async |g| {
        let (begun, has_begun) = oneshot::channel();
        let (answers, answer) = oneshot::channel();
        let mut task = g.spawn(async { Ok(shield(transfer(begun, answer)).await) });
        let _ = has_begun.await;
        task.abort();
        let stopped = task.outcome().await.is_cancelled();
        let _ = answers.send(());
        Ok(stopped)
    });
    let stopped = group.await.unwrap();
    let booked = BOOKED.load(SeqCst);
    println!("commit: who waited was stopped: {stopped}, and {booked} of 2 halves were booked");
}

/// Asks after a while and never forces, so what was found is there. `asyncio.timeout` throws, and it is lost.
async fn as_far_as_it_gets() {
    let search = cancel_after(ms(20), async {
        let mut depth = 0;
        while check().is_ok() {
            sleep(ms(1)).await; // looks one move further
            depth += 1;
        }
        depth
    });
    println!("cancel_after: looked {} moves ahead", search.await);
}

#[tokio::main]
async fn main() {
    asked().await;
    ignored().await;
    finally().await;
    clean_ups().await;
    commit().await;
    as_far_as_it_gets().await;
}
