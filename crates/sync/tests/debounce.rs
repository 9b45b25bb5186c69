//! What a debounced stream promises.
#![cfg(not(shibuya_loom))]

mod common;

use std::time::Duration;

use common::{MS, panics_here, seen, with_gaps};
use futures_util::stream;
use proptest::prelude::*;
use shibuya_sync::debounce;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_eq, task};

#[test]
fn it_does_what_its_time_line_shows() {
    let items = vec![(0, 'a'), (1, 'b'), (3, 'c'), (9, 'd'), (10, 'e')];
    let given = seen(items, |items| debounce(items, 3 * MS));
    assert_eq!(given, [(6, 'c'), (10, 'e')]);
}

#[test]
fn an_empty_stream_ends() {
    assert_eq!(
        seen(Vec::<(u32, u8)>::new(), |items| debounce(items, MS)),
        []
    );
}

#[tokio::test(start_paused = true)]
async fn it_looks_at_no_source_unless_it_is_polled() {
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    let rx = stream::unfold(rx, async |mut rx| rx.recv().await.map(|item| (item, rx)));
    let mut quiet = task::spawn(debounce(Box::pin(rx), 3 * MS));
    tx.try_send('a').unwrap();
    advance(10 * MS).await;
    assert_eq!(tx.capacity(), 0);
    assert_pending!(quiet.poll_next(), "the time counts from here");
    assert_eq!(tx.capacity(), 1);
    // Late: what came meanwhile counts before what is due.
    advance(2 * MS).await;
    tx.try_send('b').unwrap();
    advance(2 * MS).await;
    assert_pending!(quiet.poll_next());
    advance(3 * MS).await;
    assert!(quiet.is_woken());
    assert_ready_eq!(quiet.poll_next(), Some('b'));
    assert_pending!(quiet.poll_next());
    drop(tx);
    assert_ready_eq!(quiet.poll_next(), None);
    assert_ready_eq!(quiet.poll_next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_leaves_others_their_turn() {
    let mut quiet = task::spawn(debounce(stream::repeat(1), MS));
    assert_pending!(quiet.poll_next());
    assert!(quiet.is_woken());
}

#[test]
fn no_time_panics_at_the_caller() {
    panics_here(|| debounce(stream::empty::<u8>(), Duration::ZERO));
}

#[test]
fn repr() {
    let text = format!("{:?}", debounce(stream::empty::<u8>(), MS));
    assert_eq!(text, "Debounce { quiet: 1ms, .. }");
}

/// An item is given if the next comes later than `quiet` after it; the last in any case, at the end.
fn model(items: &[(u32, u32)], quiet: u32) -> Vec<(u32, u32)> {
    let followed = items.windows(2).filter_map(|pair| {
        let ((at, item), (next, _)) = (pair[0], pair[1]);
        (at + quiet < next).then_some((at + quiet, item))
    });
    followed.chain(items.last().copied()).collect()
}

proptest! {
    #[test]
    fn it_does_what_its_model_does(
        gaps in proptest::collection::vec(0..10_u32, 0..30),
        quiet in 1..10_u32,
    ) {
        let items = with_gaps(gaps);
        let expected = model(&items, quiet);
        prop_assert_eq!(seen(items, |items| debounce(items, quiet * MS)), expected);
    }
}
