//! What batches of a stream promise.
#![cfg(not(shibuya_loom))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use proptest::prelude::*;
use shibuya_sync::batches;
use tokio::runtime::Builder;
use tokio::time::{Instant, advance, sleep_until};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};

const MS: Duration = Duration::from_millis(1);

/// Items, each at its time after now; the end comes with the last.
fn timed(items: Vec<(u32, u32)>) -> impl Stream<Item = u32> + Unpin {
    let start = Instant::now();
    let items = stream::iter(items).then(move |(at, item)| async move {
        sleep_until(start + at * MS).await;
        item
    });
    Box::pin(items)
}

#[tokio::test(start_paused = true)]
async fn a_batch_comes_when_it_is_full_when_its_time_is_over_and_at_the_end() {
    let start = Instant::now();
    let items = vec![
        (0, 1),
        (1, 2),
        (2, 3),
        (7, 4),
        (16, 5),
        (17, 6),
        (30, 7),
        (31, 8),
    ];
    let batches = batches(timed(items), 3, 10 * MS);
    let seen: Vec<_> = batches
        .map(|batch| (start.elapsed().as_millis(), batch))
        .collect()
        .await;
    let expected = [
        (2, vec![1, 2, 3]),
        (17, vec![4, 5, 6]), // full and over at once
        (31, vec![7, 8]),    // the end
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn it_looks_at_no_source_unless_it_is_polled() {
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    let rx = stream::unfold(rx, async |mut rx| rx.recv().await.map(|item| (item, rx)));
    let mut batches = task::spawn(batches(Box::pin(rx), 2, 10 * MS));
    tx.try_send(1).unwrap();
    advance(20 * MS).await;
    assert_eq!(tx.capacity(), 0);
    assert_pending!(batches.poll_next(), "the time counts from here");
    advance(10 * MS).await;
    assert!(batches.is_woken());
    assert_ready_eq!(batches.poll_next(), Some(vec![1]));
    assert_pending!(batches.poll_next());
    advance(100 * MS).await;
    assert!(
        !batches.is_woken(),
        "no timer runs while nothing is gathered"
    );
    drop(tx);
    assert_ready_eq!(batches.poll_next(), None);
    assert_ready_eq!(batches.poll_next(), None);
}

/// tokio-stream 0.1.19's `chunks_timeout` looks at its timer only when the source is pending.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_keeps_the_time() {
    let steps = stream::iter(0..).map(|n| {
        // Each item takes a while to make, without waiting.
        futures_util::FutureExt::now_or_never(advance(MS));
        n
    });
    let mut batches = task::spawn(batches(steps, 1000, 10 * MS));
    let batch = assert_ready!(batches.poll_next()).unwrap();
    assert_eq!(batch, (0..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_leaves_others_their_turn() {
    let mut batches = task::spawn(batches(stream::repeat(1), usize::MAX, 10 * MS));
    assert_pending!(batches.poll_next());
    assert!(batches.is_woken());
}

#[test]
fn what_was_gathered_can_be_had() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let source = stream::iter([1, 2]).chain(stream::pending());
    let mut batches = batches(source, 3, 10 * MS);
    {
        let mut batches = task::spawn(&mut batches);
        assert_pending!(batches.poll_next());
    }
    assert_eq!(format!("{batches:?}"), "Batches { gathered: 2, .. }");
    assert_eq!(batches.into_rest(), [1, 2]);
}

#[test]
fn impossible_constants_panic_at_the_caller() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = places.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|at| (at.file().to_owned(), at.line()));
        seen.lock().unwrap().extend(place);
    }));
    let items = stream::empty::<u8>;
    let line = line!();
    let none = std::panic::catch_unwind(|| drop(batches(items(), 0, MS)));
    let never = std::panic::catch_unwind(|| drop(batches(items(), 1, Duration::ZERO)));
    std::panic::set_hook(hook);
    assert!(none.is_err() && never.is_err());
    let here = |line| (file!().to_owned(), line);
    let places = places.lock().unwrap();
    assert!(
        places.contains(&here(line + 1)) && places.contains(&here(line + 2)),
        "{places:?}"
    );
}

/// The batches that should come, with their times: a plain loop over the items.
fn model(items: &[(u32, u32)], max: usize, within: u32) -> Vec<(u32, Vec<u32>)> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut due = 0;
    for &(at, item) in items {
        // A batch whose time is over when an item comes takes it along, if it is polled only then.
        if !batch.is_empty() && due < at {
            batches.push((due, std::mem::take(&mut batch)));
        }
        if batch.is_empty() {
            due = at + within;
        }
        batch.push(item);
        if batch.len() == max || due <= at {
            batches.push((at, std::mem::take(&mut batch)));
        }
    }
    if let (Some((end, _)), false) = (items.last(), batch.is_empty()) {
        batches.push((*end, batch));
    }
    batches
}

proptest! {
    #[test]
    fn it_does_what_a_plain_loop_does(
        gaps in proptest::collection::vec(0..15_u32, 0..30),
        max in 1..5_usize,
        within in 1..20_u32,
    ) {
        let mut at = 0;
        let items: Vec<_> = (0..).zip(gaps).map(|(item, gap)| {
            at += gap;
            (at, item)
        }).collect();
        let expected = model(&items, max, within);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let seen: Vec<_> = runtime.block_on(async {
            let start = Instant::now();
            let batches = batches(timed(items), max, within * MS);
            batches.map(|batch| (start.elapsed().as_millis() as u32, batch)).collect().await
        });
        prop_assert_eq!(seen, expected);
    }
}
