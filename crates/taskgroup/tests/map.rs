//! The bounded concurrent map.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::StreamExt;
use shibuya_taskgroup::{Cause, map_concurrent};
use tokio::task::yield_now;
use tokio::time::sleep;

async fn double(n: usize) -> Result<usize, ()> {
    yield_now().await;
    Ok(n * 2)
}

#[tokio::test]
async fn collected_in_the_order_of_the_input() {
    let values = map_concurrent(0..1000, 8, |n| async move {
        for _ in 0..n % 7 {
            yield_now().await;
        }
        Ok::<_, ()>(n * 2)
    });
    assert_eq!(
        values.await.unwrap(),
        (0..1000).map(|n| n * 2).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unordered_gives_each_value_once() {
    let mut values = map_concurrent(0..1000, 70, double).unordered();
    let mut got = Vec::new();
    while let Some(value) = values.next().await {
        got.push(value.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
    assert!(values.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_gives_them_in_order() {
    let values = map_concurrent(0..1000, 8, double).ordered();
    let got: Vec<_> = values.map(Result::unwrap).collect().await;
    assert_eq!(got, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn never_more_than_the_limit_at_once() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    map_concurrent(0..100, 5, move |_| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, SeqCst);
            Ok::<_, ()>(())
        }
    })
    .await
    .unwrap();
    assert_eq!(seen.load(SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_or_consumer_pauses_the_map() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let items = (0..).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let mut ordered = map_concurrent(items, 4, |n: usize| async move {
        if n == 0 {
            sleep(Duration::from_secs(60)).await;
        }
        Ok::<_, ()>(n)
    })
    .ordered();
    assert_eq!(ordered.next().await.unwrap().unwrap(), 0);
    assert!(taken.load(SeqCst) <= 12, "three limits at most: {taken:?}");
}

#[tokio::test]
async fn a_failure_is_called_after_its_item_and_ends_the_stream() {
    let fail = |n: usize| async move { if n == 17 { Err("odd") } else { Ok(n) } };
    let error = map_concurrent(0..100, 4, fail).await.unwrap_err();
    assert_eq!(*error.first().name(), "item 17");

    let mut values = map_concurrent(0..100, 1, fail).ordered();
    let mut got = Vec::new();
    let error = loop {
        match values.next().await.unwrap() {
            Ok(value) => got.push(value),
            Err(error) => break error,
        }
    };
    assert_eq!(got, (0..17).collect::<Vec<_>>());
    assert_eq!(*error.first().name(), "item 17");
    assert!(values.next().await.is_none());
}

#[tokio::test]
async fn panics_of_items_and_of_the_iterator_are_failures_of_an_item() {
    let error = map_concurrent(0..10, 2, |n| async move {
        assert_ne!(n, 3);
        Ok::<_, ()>(())
    })
    .await
    .unwrap_err();
    assert!(matches!(error.first().cause(), Cause::Panic(_)));
    assert_eq!(*error.first().name(), "item 3");

    let items = (0..10).inspect(|n| assert_ne!(*n, 5, "no five"));
    let error = map_concurrent(items, 1, |n| async move { Ok::<_, ()>(n) })
        .await
        .unwrap_err();
    assert_eq!(*error.first().name(), "item 5");
}

#[tokio::test]
async fn nothing_to_do_is_done_at_once() {
    assert!(
        map_concurrent(std::iter::empty(), 4, double)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        map_concurrent(std::iter::empty(), 4, double)
            .unordered()
            .next()
            .await
            .is_none()
    );
    assert!(
        map_concurrent(std::iter::empty(), 4, double)
            .ordered()
            .next()
            .await
            .is_none()
    );
}
