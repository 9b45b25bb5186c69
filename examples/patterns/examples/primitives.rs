//! # Primitives: a lock, a semaphore, an event, a condition, a barrier, a read-write lock
//!
//! Each in the smallest program that needs it, with asyncio's word beside it. Which one to take when is in the book's chapter on
//! [locks and signals](../docs/src/en/locks-and-signals.md).
//!
//! `cargo run -p patterns --example primitives` prints:
//!
//! ```text
//! lock: 100 of 100 counted
//! semaphore: 6 downloads, at most 2 at a time
//! event: 3 waited for the cache, 1 came later
//! condition: the baker sold [1, 2, 3, 4, 5] from a shelf for 2
//! barrier: all 3 loaded before the first began
//! barrier: broken, as one could not load
//! read-write lock: read together: ["old", "old", "old"], then "new"
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shibuya_sync::{Barrier, Broken, Condvar, Event, Mutex, RwLock, Semaphore};
use shibuya_taskgroup::{GroupError, TaskGroup};
use tokio::task::yield_now;

type Done = Result<(), GroupError<Broken>>;

/// `async with lock:`. One at a time, over an await: without the lock, most counts would be lost.
async fn lock() -> Done {
    let count = Arc::new(Mutex::new(0));
    let all = count.clone();
    TaskGroup::run(async move |g| {
        for _ in 0..100 {
            let count = all.clone();
            g.spawn(async move {
                let mut count = count.lock().await;
                let before = *count;
                yield_now().await; // read it here, write it there
                *count = before + 1;
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    println!("lock: {} of 100 counted", count.lock().await);
    Ok(())
}

/// `async with semaphore:`. At most two at a time.
async fn semaphore() -> Done {
    let slots = Arc::new(Semaphore::new(2));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = most.clone();
    TaskGroup::run(async move |g| {
        for _ in 0..6 {
            let (slots, now, peak) = (slots.clone(), now.clone(), peak.clone());
            g.spawn(async move {
                let _slot = slots.acquire().await.expect("nobody closes it");
                peak.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                yield_now().await; // the download
                now.fetch_sub(1, Relaxed);
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    println!(
        "semaphore: 6 downloads, at most {} at a time",
        most.load(Relaxed)
    );
    Ok(())
}

/// `await event.wait()`. It stays set, for those who come later, too.
async fn event() -> Done {
    let warm = Arc::new(Event::new());
    TaskGroup::run(async move |g| {
        let early: Vec<_> = (0..3)
            .map(|_| {
                let warm = warm.clone();
                g.spawn(async move {
                    warm.wait().await;
                    Ok(1)
                })
            })
            .collect();
        while warm.waiting() < 3 {
            yield_now().await; // fill the cache
        }
        warm.set();
        let mut waited = 0;
        for task in early {
            waited += task.await;
        }
        warm.wait().await;
        println!("event: {waited} waited for the cache, 1 came later");
        Ok(())
    })
    .await
}

/// A shelf with room for two, and the two things that may happen to it.
#[derive(Default)]
struct Shelf {
    bread: Mutex<VecDeque<u32>>,
    changed: Condvar,
}

/// `await condition.wait_for(predicate)`: here it is `wait_while`, with the opposite.
async fn condition() -> Done {
    const ROOM: usize = 2;
    let shelf = Arc::new(Shelf::default());
    TaskGroup::run(async move |g| {
        let baker = shelf.clone();
        g.spawn(async move {
            for loaf in 1..=5 {
                let bread = baker.bread.lock().await;
                let full = |bread: &mut VecDeque<_>| bread.len() == ROOM;
                let mut bread = baker.changed.wait_while(bread, full).await;
                bread.push_back(loaf);
                // Whoever waits for one thing must not miss it because another was told.
                baker.changed.notify_all();
            }
            Ok(())
        });
        let mut sold = Vec::new();
        while sold.len() < 5 {
            let bread = shelf.bread.lock().await;
            let mut bread = shelf
                .changed
                .wait_while(bread, |bread| bread.is_empty())
                .await;
            sold.extend(bread.pop_front());
            shelf.changed.notify_all();
        }
        println!("condition: the baker sold {sold:?} from a shelf for {ROOM}");
        Ok(())
    })
    .await
}

/// `await barrier.wait()`. Nobody begins before all have loaded.
async fn barrier() -> Done {
    let (barrier, loaded) = (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)));
    TaskGroup::run(async move |g| {
        for _ in 0..3 {
            let (barrier, loaded) = (barrier.clone(), loaded.clone());
            g.spawn(async move {
                loaded.fetch_add(1, Relaxed);
                if barrier.wait().await?.is_last() {
                    let loaded = loaded.load(Relaxed);
                    println!("barrier: all {loaded} loaded before the first began");
                }
                Ok(())
            });
        }
        Ok(())
    })
    .await?;

    // One that gives up breaks it, and nobody waits in vain.
    let barrier = Barrier::new(2);
    let party = barrier.party();
    drop(party); // "no such file"
    if barrier.wait().await == Err(Broken) {
        println!("barrier: broken, as one could not load");
    }
    Ok(())
}

/// asyncio has none. Many read together, or one writes.
async fn read_write_lock() -> Done {
    let config = Arc::new(RwLock::new("old"));
    let inside = Arc::new(Barrier::new(4)); // three who read, and the one who will write
    TaskGroup::run(async move |g| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (config, inside) = (config.clone(), inside.clone());
                g.spawn(async move {
                    let value = config.read().await;
                    inside.wait().await?;
                    yield_now().await;
                    Ok(*value)
                })
            })
            .collect();
        inside.wait().await?;
        *config.write().await = "new"; // when the last reader has let go
        let mut read = Vec::new();
        for reader in readers {
            read.push(reader.await);
        }
        println!(
            "read-write lock: read together: {read:?}, then {:?}",
            config.read().await
        );
        Ok(())
    })
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    lock().await?;
    semaphore().await?;
    event().await?;
    condition().await?;
    barrier().await?;
    read_write_lock().await
}
