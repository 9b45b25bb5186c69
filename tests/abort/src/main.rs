//! Run as `calm` it checks what doesn't depend on unwinding; run as `panic` one of its tasks panics.
//!
//! `tests/abort.rs` builds it with `panic = "abort"`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use shibuya_taskgroup::{
    OnError, OnPanic, OrCancelled, Outcome, Reason, TaskGroup, cancelled, gather, map_concurrent,
    try_gather,
};
use tokio::task::{LocalSet, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// Counts the drops, and says each aloud.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        println!("dropped");
    }
}

/// Keeps what it is given for as long as the future lives.
async fn hold<T>(value: T) -> Result<(), &'static str> {
    let _value = value;
    pending().await
}

async fn values() {
    let sum = TaskGroup::<()>::builder().limit(1).run(async |g| {
        let tasks = [1, 2, 3].map(|n| g.spawn(async move { Ok(n) }));
        let blocking = g.spawn_blocking(|_| Ok(10));
        let mut sum = blocking.await;
        for task in tasks {
            sum += task.await;
        }
        Ok(sum)
    });
    assert_eq!(sum.await.unwrap(), 16);
    let local = TaskGroup::<()>::run(async |g| Ok(g.spawn_local(async { Ok(5) }).await));
    assert_eq!(LocalSet::new().run_until(local).await.unwrap(), 5);
    let doubled = map_concurrent(1..4, 2, async |n| Ok::<_, ()>(2 * n)).await;
    assert_eq!(doubled.unwrap(), [2, 4, 6]);
}

async fn errors() {
    let drops = Arc::new(AtomicUsize::new(0));
    let error = TaskGroup::run(async |g| {
        g.spawn(hold(Held(drops.clone())));
        g.task("bad").spawn(async { Err::<(), _>("no") }).await;
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!((*error.first().name() == *"bad", error.len()), (true, 1));
    assert_eq!(
        drops.load(SeqCst),
        1,
        "the other was dropped before the group ended"
    );

    let collected = TaskGroup::builder()
        .on_error(OnError::Collect)
        .run(async |g| {
            let mut task = g.spawn(async { Err::<(), _>("mine") });
            Ok(task.outcome().await.err())
        });
    assert_eq!(collected.await.unwrap(), Some("mine"));

    assert!(
        try_gather([1, 2].map(async |n| Err::<(), _>(n)))
            .await
            .is_err()
    );
    let outcomes = gather([1, 2].map(async |n| Err::<(), _>(n))).await;
    assert!(outcomes.iter().all(Outcome::is_err));
}

async fn cancellation() {
    let drops = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::builder().grace(HOUR).run(async |g| {
        let held = Held(drops.clone());
        g.spawn(async move {
            let why = cancelled().await;
            drop(held);
            if why == Reason::Shutdown {
                Ok(())
            } else {
                Err("why?")
            }
        });
        yield_now().await;
        g.cancel(Reason::Shutdown);
        cancelled().await;
        Ok(())
    });
    group.await.or_cancelled(()).unwrap();
    assert_eq!(drops.load(SeqCst), 1);

    let late = TaskGroup::builder().timeout(Duration::from_millis(1));
    let late = late.run(async |g| Ok(g.spawn(hold(Held(drops.clone()))).await));
    assert!(late.await.unwrap_err().is_timeout());
    assert_eq!(drops.load(SeqCst), 2);
}

/// Says what a program says that unwinds; one that aborts is dead by then.
async fn panics() {
    let drops = Arc::new(AtomicUsize::new(0));
    println!("before");
    let group = TaskGroup::builder()
        .on_panic(OnPanic::Report)
        .run(async |g| {
            g.spawn(hold(Held(drops.clone())));
            g.task("bad")
                .spawn(async { panic!("boom") as Result<(), _> })
                .await;
            Ok(())
        });
    if let Err(error) = group.await {
        println!("{error}");
    }
}

#[tokio::main]
async fn main() {
    println!(
        "{}",
        if cfg!(panic = "abort") {
            "aborts"
        } else {
            "unwinds"
        }
    );
    match std::env::args().nth(1).as_deref() {
        Some("calm") => {
            values().await;
            errors().await;
            cancellation().await;
            println!("all is as ever");
        }
        Some("panic") => panics().await,
        _ => panic!("say `calm` or `panic`"),
    }
}
