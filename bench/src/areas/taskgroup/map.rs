//! Apply an async function to many items, a bounded number at a time.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use futures_buffered::BufferedStreamExt;
use futures_concurrency::prelude::*;
use futures_util::{Stream, StreamExt, stream};
use shibuya_taskgroup::map_concurrent;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::work::yields;
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const ITEMS: usize = 100_000;
const LIMIT: usize = 64;

const ABOUT: &str = "Map 100,000 items, 64 at a time, by a function that yields once; per item.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("map/mt2", Threads::Two, ABOUT)
            .contender("64 workers, shared index", ITEMS, workers_over_index)
            .contender("64 workers, shared iterator", ITEMS, workers_over_iterator)
            .contender("futures-buffered, unordered", ITEMS, buffered_unordered)
            .contender("futures-buffered, ordered", ITEMS, buffered_ordered)
            .contender("futures-concurrency", ITEMS, concurrency)
            .contender("buffer_unordered, one task", ITEMS, buffer_unordered)
            .contender("buffer_unordered over spawn", ITEMS, buffer_unordered_spawn)
            .contender("JoinSet + Semaphore", ITEMS, join_set_semaphore)
            .contender("map_concurrent", ITEMS, collected)
            .contender("map_concurrent, unordered", ITEMS, unordered)
            .contender("map_concurrent, ordered", ITEMS, ordered),
    ]
}

fn is_ok<E>(result: &Result<io::Result<u64>, E>) -> bool {
    matches!(result, Ok(Ok(_)))
}

async fn count<E>(results: impl Stream<Item = Result<u64, E>>) -> usize {
    let mut done = 0;
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        done += usize::from(result.is_ok());
    }
    done
}

/// Starts 64 workers, each of which takes the next item when it has finished one.
async fn workers<Next>(next: Next) -> usize
where
    Next: Fn() -> Option<u64> + Clone + Send + 'static,
{
    let worker = |next: Next| async move {
        let mut done = 0;
        while let Some(item) = next() {
            done += usize::from(yields(item).await.is_ok());
        }
        done
    };
    let workers: Vec<_> = (0..LIMIT)
        .map(|_| tokio::spawn(worker(next.clone())))
        .collect();
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap_or(0);
    }
    done
}

async fn workers_over_index(n: usize) -> Lap {
    let clock = Clock::start();
    let index = Arc::new(AtomicU64::new(0));
    let next = move || {
        let item = index.fetch_add(1, Relaxed);
        (item < n as u64).then_some(item)
    };
    let done = workers(next).await;
    clock.stop(done)
}

async fn workers_over_iterator(n: usize) -> Lap {
    let clock = Clock::start();
    let items = Arc::new(Mutex::new(0..n as u64));
    let next = move || {
        let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
        items.next()
    };
    let done = workers(next).await;
    clock.stop(done)
}

async fn buffered_unordered(n: usize) -> Lap {
    let clock = Clock::start();
    let items = stream::iter(0..n as u64).map(yields);
    let done = count(BufferedStreamExt::buffered_unordered(items, LIMIT)).await;
    clock.stop(done)
}

async fn buffered_ordered(n: usize) -> Lap {
    let clock = Clock::start();
    let items = stream::iter(0..n as u64).map(yields);
    let done = count(items.buffered_ordered(LIMIT)).await;
    clock.stop(done)
}

async fn concurrency(n: usize) -> Lap {
    let clock = Clock::start();
    let done = Arc::new(AtomicUsize::new(0));
    stream::iter(0..n as u64)
        .co()
        .limit(NonZeroUsize::new(LIMIT))
        .map(yields)
        .for_each(|result| {
            let done = Arc::clone(&done);
            async move {
                done.fetch_add(usize::from(result.is_ok()), Relaxed);
            }
        })
        .await;
    clock.stop(done.load(Relaxed))
}

async fn buffer_unordered(n: usize) -> Lap {
    let clock = Clock::start();
    let items = stream::iter(0..n as u64).map(yields);
    let done = count(items.buffer_unordered(LIMIT)).await;
    clock.stop(done)
}

async fn buffer_unordered_spawn(n: usize) -> Lap {
    let clock = Clock::start();
    let items = stream::iter(0..n as u64).map(|item| tokio::spawn(yields(item)));
    let mut results = items.buffer_unordered(LIMIT);
    let mut done = 0;
    while let Some(result) = results.next().await {
        done += usize::from(is_ok(&result));
    }
    clock.stop(done)
}

async fn join_set_semaphore(n: usize) -> Lap {
    let clock = Clock::start();
    let semaphore = Arc::new(Semaphore::new(LIMIT));
    let mut set = JoinSet::new();
    for item in 0..n as u64 {
        let permit = Arc::clone(&semaphore).acquire_owned().await;
        let permit = permit.expect("nobody closes the semaphore");
        set.spawn(async move {
            let result = yields(item).await;
            drop(permit);
            result
        });
    }
    let mut done = 0;
    while let Some(result) = set.join_next().await {
        done += usize::from(is_ok(&result));
    }
    clock.stop(done)
}

/// Ours: everything in input order, once all are done.
async fn collected(n: usize) -> Lap {
    let clock = Clock::start();
    let values = map_concurrent(0..n as u64, LIMIT, yields).await;
    clock.stop(values.map_or(0, |values| values.len()))
}

/// Ours: a stream of whatever is done.
async fn unordered(n: usize) -> Lap {
    let clock = Clock::start();
    let done = count(map_concurrent(0..n as u64, LIMIT, yields).unordered()).await;
    clock.stop(done)
}

/// Ours: a stream in input order.
async fn ordered(n: usize) -> Lap {
    let clock = Clock::start();
    let done = count(map_concurrent(0..n as u64, LIMIT, yields).ordered()).await;
    clock.stop(done)
}
