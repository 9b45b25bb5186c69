//! What a throttled stream promises.
#![cfg(not(shibuya_loom))]

mod common;

use std::future::ready;
use std::time::Duration;

use common::{MS, panics_here, seen, with_gaps};
use futures_util::stream::{self, StreamExt};
use proptest::prelude::*;
use shibuya_sync::{Edge, throttle};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_eq, task};

/// The source ends at 13, after the last of its items.
fn given(edge: Edge) -> Vec<(u32, char)> {
    let items = [(0, 'a'), (1, 'b'), (2, 'c'), (10, 'd'), (12, 'e')];
    let items = items.map(|(at, item)| (at, Some(item)));
    let items = items.into_iter().chain([(13, None)]).collect();
    seen(items, |items| {
        let items = items.take_while(|item| ready(item.is_some()));
        throttle(items.filter_map(ready), 4 * MS).edge(edge)
    })
}

#[test]
fn it_does_what_its_time_line_shows() {
    assert_eq!(
        given(Edge::default()),
        [(0, 'a'), (4, 'c'), (10, 'd'), (13, 'e')]
    );
    assert_eq!(given(Edge::Leading), [(0, 'a'), (10, 'd')]);
    assert_eq!(given(Edge::Trailing), [(4, 'c'), (13, 'e')]);
}

#[tokio::test(start_paused = true)]
async fn it_looks_at_no_source_unless_it_is_polled() {
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    let rx = stream::unfold(rx, async |mut rx| rx.recv().await.map(|item| (item, rx)));
    let mut thin = task::spawn(throttle(Box::pin(rx), 4 * MS));
    tx.try_send('a').unwrap();
    advance(10 * MS).await;
    assert_eq!(tx.capacity(), 0);
    assert_ready_eq!(thin.poll_next(), Some('a'));
    tx.try_send('b').unwrap();
    assert_pending!(thin.poll_next());
    // Late: the latest goes, and the next period begins here.
    advance(3 * MS).await;
    tx.try_send('c').unwrap();
    advance(3 * MS).await;
    assert!(thin.is_woken());
    assert_ready_eq!(thin.poll_next(), Some('c'));
    tx.try_send('d').unwrap();
    assert_pending!(thin.poll_next());
    advance(3 * MS).await;
    assert_pending!(thin.poll_next());
    // The end comes before the end of the period.
    drop(tx);
    assert_ready_eq!(thin.poll_next(), Some('d'));
    assert_ready_eq!(thin.poll_next(), None);
    assert_ready_eq!(thin.poll_next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_leaves_others_their_turn() {
    let mut thin = task::spawn(throttle(stream::repeat(1), MS));
    assert_ready_eq!(thin.poll_next(), Some(1));
    assert_pending!(thin.poll_next());
    assert!(thin.is_woken());
    advance(MS).await;
    assert_ready_eq!(thin.poll_next(), Some(1));
}

#[test]
fn an_endless_period_gives_one() {
    let items = with_gaps(vec![1; 5]);
    let leading = |items| throttle(items, Duration::MAX).edge(Edge::Leading);
    assert_eq!(seen(items, leading), [(1, 0)]);
}

#[test]
fn a_period_of_no_time_panics_at_the_caller() {
    panics_here(|| throttle(stream::empty::<u8>(), Duration::ZERO));
}

#[test]
fn repr() {
    let text = format!("{:?}", throttle(stream::empty::<u8>(), MS));
    assert_eq!(text, "Throttle { period: 1ms, edge: Both, .. }");
}

/// Millisecond by millisecond: first what comes, then what is due.
fn model(items: &[(u32, u32)], period: u32, edge: Edge) -> Vec<(u32, u32)> {
    let mut given = Vec::new();
    let (mut free_at, mut waits) = (0, None);
    let end = items.last().map_or(0, |last| last.0);
    for now in 0..=end {
        for &(_, item) in items.iter().filter(|(at, _)| *at == now) {
            let is_free = free_at <= now && waits.is_none();
            if is_free {
                free_at = now + period;
            }
            match edge {
                Edge::Both | Edge::Leading if is_free => given.push((now, item)),
                Edge::Both | Edge::Trailing => waits = Some(item),
                Edge::Leading => {}
            }
        }
        let is_over = free_at <= now || now == end;
        if let Some(item) = waits.take_if(|_| is_over) {
            given.push((now, item));
            if edge == Edge::Both {
                free_at = now + period;
            }
        }
    }
    given
}

proptest! {
    #[test]
    fn it_does_what_its_model_does(
        gaps in proptest::collection::vec(0..10_u32, 0..30),
        period in 1..15_u32,
        edge in prop_oneof![Just(Edge::Both), Just(Edge::Leading), Just(Edge::Trailing)],
    ) {
        let items = with_gaps(gaps);
        let expected = model(&items, period, edge);
        let given = seen(items, |items| throttle(items, period * MS).edge(edge));
        let before_the_end = &given[..given.len().saturating_sub(1)];
        for pair in before_the_end.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= period, "two in a period");
        }
        prop_assert_eq!(given, expected);
    }
}
