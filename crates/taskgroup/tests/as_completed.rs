//! Outcomes in the order in which they come.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{Future, Ready, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;

use futures_util::StreamExt;
use shibuya_taskgroup::{AsCompleted, Outcome, Reason, TaskGroup, as_completed};
use shibuya_testkit::Probes;
use support::{block_on, ms, on_threads, panic_message, poll_once};
use tokio::task::yield_now;
use tokio::time::sleep;

async fn after(time: u64) -> Result<u64, &'static str> {
    sleep(ms(time)).await;
    Ok(time)
}

async fn places<T, E>(mut all: AsCompleted<T, E>) -> Vec<usize> {
    let mut places = Vec::new();
    while let Some((place, _)) = all.next().await {
        places.push(place);
    }
    places
}

#[tokio::test(start_paused = true)]
async fn in_the_order_in_which_they_end_whichever_way() {
    let mut all = as_completed((
        after(30),
        async {
            sleep(ms(20)).await;
            Err("failed")
        },
        async {
            sleep(ms(10)).await;
            panic!("boo")
        },
        after(40),
    ));
    assert!(matches!(all.next().await, Some((2, Outcome::Panicked(_)))));
    assert!(matches!(
        all.next().await,
        Some((1, Outcome::Err("failed")))
    ));
    assert!(matches!(all.next().await, Some((0, Outcome::Ok(30)))));
    assert!(matches!(all.next().await, Some((3, Outcome::Ok(40)))));
    assert!(all.next().await.is_none());
    assert!(all.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_is_a_stream() {
    let values = as_completed([3, 1, 2].map(after)).map(|(_, outcome)| outcome.ok());
    assert_eq!(
        values.collect::<Vec<_>>().await,
        [Some(1), Some(2), Some(3)]
    );
}

#[tokio::test]
async fn of_nothing_it_is_over_at_once() {
    let mut none = as_completed(Vec::<Ready<Result<(), ()>>>::new());
    assert!(matches!(
        poll_once(pin!(none.next())).await,
        Poll::Ready(None)
    ));
}

#[tokio::test]
async fn when_it_ends_nothing_is_left() {
    let probes = Probes::new();
    let all = as_completed((0..20).map(|n| {
        let probe = probes.probe(());
        async move {
            let _probe = probe;
            for _ in 0..n {
                yield_now().await;
            }
            Ok::<_, ()>(())
        }
    }));
    assert_eq!(places(all).await.len(), 20);
    probes.assert_all_dropped();
}

#[tokio::test]
async fn a_future_is_gone_before_its_outcome_is_there() {
    let probes = Probes::new();
    let probe = probes.probe(());
    let mut all = as_completed((
        async move {
            let _probe = probe;
            Ok::<_, ()>(yield_now().await)
        },
        pending(),
    ));
    assert!(all.next().await.is_some());
    probes.assert_all_dropped();
}

/// A group further out waits for what a consumer leaves behind that stops early.
#[tokio::test]
async fn a_consumer_that_stops_early_aborts_the_rest() {
    let probes = Probes::new();
    let given = probes.clone();
    let outer = TaskGroup::<()>::run(async move |_| {
        let mut all = as_completed((0..10).map(|n| {
            let probe = given.probe(n);
            async move {
                if *probe > 2 {
                    pending::<()>().await;
                }
                Ok::<_, ()>(probe)
            }
        }));
        let (place, first) = all.next().await.unwrap();
        assert_eq!(first.ok().map(|probe| *probe), Some(place));
        Ok(())
    });
    outer.await.unwrap();
    probes.assert_all_dropped();
}

#[test]
fn each_once_on_several_threads() {
    on_threads(async {
        for yields in [0, 1, 3] {
            let all = as_completed((0..5000).map(|n: usize| async move {
                for _ in 0..yields {
                    yield_now().await;
                }
                Ok::<_, ()>(n)
            }));
            let mut got = tokio::spawn(places(all)).await.unwrap();
            got.sort_unstable();
            assert_eq!(got, (0..5000).collect::<Vec<_>>());
        }
    });
}

/// Each poll takes all that is there.
#[tokio::test(start_paused = true)]
async fn a_crowd_is_read_many_at_a_time() {
    let mut all = as_completed((0..10_000).map(|_| after(10)));
    let (mut polls, mut got) = (0, 0);
    poll_fn(|cx| {
        polls += 1;
        loop {
            match pin!(all.next()).poll(cx) {
                Poll::Ready(Some(_)) => got += 1,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    assert_eq!(got, 10_000);
    assert!(polls < 10_000 / 32, "{polls}"); // a root future is polled every 61 turns
}

/// A blocking thread can't be dropped, so what it waits for is told to it.
#[test]
fn on_a_blocking_thread_each_is_told_to_be_cancelled() {
    on_threads(async {
        let ended = TaskGroup::<()>::run(async |g| {
            let handle = tokio::runtime::Handle::current();
            let (began, begun) = tokio::sync::oneshot::channel();
            g.spawn_blocking(move |_| {
                let mut all = as_completed((pending::<Result<u8, ()>>(), pending(), ready(Ok(1))));
                assert!(matches!(
                    handle.block_on(all.next()),
                    Some((2, Outcome::Ok(1)))
                ));
                began.send(()).unwrap();
                let mut ends = Vec::new();
                while let Some((place, outcome)) = handle.block_on(all.next()) {
                    assert!(matches!(outcome, Outcome::Cancelled(Reason::Requested)));
                    ends.push(place);
                }
                ends.sort_unstable();
                assert_eq!(ends, [0, 1]);
                Ok(())
            });
            begun.await.unwrap();
            g.cancel(Reason::Requested);
            Ok(())
        });
        ended.await.unwrap();
    });
}

#[test]
fn a_runtime_that_shuts_down_cancels_each() {
    let probes = Probes::new();
    let mut all = as_completed([0, 1].map(|n| {
        let probe = probes.probe(n);
        async move {
            let _probe = probe;
            pending::<Result<u8, ()>>().await
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async { assert!(poll_once(pin!(all.next())).await.is_pending()) });
    drop(runtime);
    for _ in 0..2 {
        let (_, outcome) = block_on(all.next()).unwrap();
        assert!(outcome.is_cancelled());
    }
    assert!(block_on(all.next()).is_none());
    probes.assert_all_dropped();
}

/// Told, too, where it never began: the group around was cancelled before.
#[test]
fn futures_that_never_began_are_told_to_be_cancelled() {
    on_threads(async {
        let ended = TaskGroup::<()>::run(async |g| {
            let handle = tokio::runtime::Handle::current();
            let waiting = g.clone();
            g.spawn_blocking(move |_| {
                while !waiting.is_cancelled() {
                    std::thread::yield_now();
                }
                let mut all = as_completed([pending::<Result<(), ()>>(), pending()]);
                let mut told = 0;
                while let Some((_, outcome)) = handle.block_on(all.next()) {
                    assert!(outcome.is_cancelled());
                    told += 1;
                }
                assert_eq!(told, 2);
                Ok(())
            });
            g.cancel(Reason::Requested);
            Ok(())
        });
        ended.await.unwrap();
    });
}

#[test]
fn outside_of_a_runtime_it_says_where_it_was_made() {
    let message = panic_message(|| block_on(as_completed([async { Ok::<(), ()>(()) }]).next()));
    assert!(message.contains(file!()), "{message}");
}
