//! What batches of a stream promise.
#![cfg(not(shibuya_loom))]

mod common;

use std::time::Duration;

use common::{MS, panics_here, seen, with_gaps};
use futures_util::stream::{self, StreamExt};
use proptest::prelude::*;
use shibuya_sync::batches;
use tokio::runtime::Builder;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};

#[test]
fn a_batch_comes_when_it_is_full_when_its_time_is_over_and_at_the_end() {
    let items = vec![
        (0, 'a'),
        (1, 'b'),
        (2, 'c'),
        (7, 'd'),
        (16, 'e'),
        (17, 'f'),
        (30, 'g'),
        (31, 'h'),
    ];
    let batches = seen(items, |items| batches(items, 3, 10 * MS));
    let expected = [
        (2, vec!['a', 'b', 'c']),
        (17, vec!['d', 'e', 'f']), // full and over at once
        (31, vec!['g', 'h']),      // the end
    ];
    assert_eq!(batches, expected);
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
    panics_here(|| batches(stream::empty::<u8>(), 0, MS));
    panics_here(|| batches(stream::empty::<u8>(), 1, Duration::ZERO));
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
        let items = with_gaps(gaps);
        let expected = model(&items, max, within);
        let batches = seen(items, |items| batches(items, max, within * MS));
        prop_assert_eq!(batches, expected);
    }
}
