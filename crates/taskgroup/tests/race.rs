//! The first that ends, and the first that succeeds.
#![cfg(not(shibuya_loom))]

mod support;

use std::error::Error;
use std::future::{Ready, pending, ready};
use std::pin::pin;

use shibuya_taskgroup::{Cause, Outcome, race, select_first};
use shibuya_testkit::Probes;
use support::{block_on, ms, on_threads, panic_message, poll_once};
use tokio::task::yield_now;
use tokio::time::sleep;

async fn after(time: u64) -> Result<u64, &'static str> {
    sleep(ms(time)).await;
    Ok(time)
}

async fn failing(time: u64) -> Result<u64, &'static str> {
    sleep(ms(time)).await;
    Err("failed")
}

#[tokio::test(start_paused = true)]
async fn the_first_that_ends_wins_whichever_way() {
    let first = race([20, 10, 30].map(after)).await;
    assert!(matches!(first, Some((1, Outcome::Ok(10)))));
    let first = race((after(20), failing(10), after(30))).await;
    assert!(matches!(first, Some((1, Outcome::Err("failed")))));
    let first = race((after(20), async { panic!("boo") })).await;
    assert!(matches!(first, Some((1, Outcome::Panicked(_)))));
}

#[tokio::test(start_paused = true)]
async fn the_first_that_succeeds_is_selected() {
    let first = select_first((failing(10), after(30), after(20), async { panic!("boo") }));
    assert_eq!(first.await.unwrap(), (2, 20));
}

#[tokio::test(start_paused = true)]
async fn if_none_succeeds_all_failures_are_told_in_their_order() {
    let error = select_first((failing(20), async { panic!("boo") }, failing(10)))
        .await
        .unwrap_err();
    let places = error.failures().iter().map(|&(place, _)| place);
    assert_eq!(places.collect::<Vec<_>>(), [1, 2, 0]);
    assert!(matches!(error.failures()[0].1, Cause::Panic(_)));
    assert_eq!(
        error.to_string(),
        "none of 3 succeeded: future 1: panicked: boo; future 2: failed; future 0: failed"
    );
    assert!(error.source().is_none() && !error.is_empty());
    assert_eq!(error.into_failures().len(), 3);
}

#[tokio::test]
async fn of_none_there_is_no_first() {
    let none = Vec::<Ready<Result<(), String>>>::new;
    assert!(race(none()).await.is_none());
    let error = select_first(none()).await.unwrap_err();
    assert!(error.is_empty() && error.failures().is_empty());
    assert_eq!(error.to_string(), "none succeeded: there are no futures");
}

#[test]
fn those_that_lose_are_gone_when_it_is_ready() {
    on_threads(async {
        for winner in 0..200_usize {
            let probes = Probes::new();
            let runners = || {
                (0..8).map(|n| {
                    let probe = probes.probe(n);
                    async move {
                        let probe = probe;
                        for _ in 0..(*probe + winner) % 8 {
                            yield_now().await;
                        }
                        if *probe == winner % 8 {
                            return Ok::<_, ()>(*probe);
                        }
                        pending().await
                    }
                })
            };
            let (place, outcome) = race(runners()).await.unwrap();
            probes.assert_all_dropped();
            assert_eq!((place, outcome.ok()), (winner % 8, Some(winner % 8)));
            let selected = select_first(runners()).await.unwrap();
            probes.assert_all_dropped();
            assert_eq!(selected, (winner % 8, winner % 8));
        }
    });
}

/// Who ends at the same time has lost.
#[test]
fn one_of_many_that_end_at_once_wins() {
    on_threads(async {
        for _ in 0..500 {
            let (place, outcome) = race((0..4).map(|n| ready(Ok::<_, ()>(n)))).await.unwrap();
            assert_eq!(outcome.ok(), Some(place));
            let (place, n) = select_first((0..4).map(|n| ready(Ok::<_, ()>(n))))
                .await
                .unwrap();
            assert_eq!(place, n);
        }
    });
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor's");
    }
}

#[tokio::test]
async fn the_destructors_of_those_that_lose_are_ignored() {
    let bomb = || async {
        let _bomb = Bomb;
        pending::<Result<u8, ()>>().await
    };
    let won = || async {
        yield_now().await;
        Ok(1)
    };
    let (place, outcome) = race((bomb(), won())).await.unwrap();
    assert_eq!((place, outcome.ok()), (1, Some(1)));
    assert_eq!(select_first((bomb(), won())).await.unwrap(), (1, 1));
}

#[test]
fn a_runtime_that_shuts_down_ends_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (probes, given) = (Probes::new(), Probes::new());
    let hang = |probes: &Probes| {
        let probe = probes.probe(());
        async move {
            let _probe = probe;
            pending::<Result<(), ()>>().await
        }
    };
    let mut first = Box::pin(race((hang(&probes), hang(&probes))));
    let mut selected = Box::pin(select_first((hang(&given), hang(&given))));
    runtime.block_on(async {
        assert!(poll_once(first.as_mut()).await.is_pending());
        assert!(poll_once(selected.as_mut()).await.is_pending());
    });
    drop(runtime);
    assert!(block_on(first).unwrap().1.is_cancelled());
    probes.assert_all_dropped();
    let error = block_on(selected).unwrap_err();
    let cancelled = |cause: &Cause<()>| matches!(cause, Cause::Cancelled(_));
    assert!(error.failures().iter().all(|(_, cause)| cancelled(cause)));
    assert_eq!(error.failures().len(), 2);
    given.assert_all_dropped();
}

#[test]
fn outside_of_a_runtime_it_says_where_it_was_made() {
    let message = panic_message(|| block_on(race([ready(Ok::<(), ()>(()))])));
    assert!(message.contains(file!()), "{message}");
    let message = panic_message(|| block_on(select_first([ready(Ok::<(), ()>(()))])));
    assert!(message.contains(file!()), "{message}");
}

#[tokio::test]
async fn a_dropped_race_drops_those_that_run() {
    let probes = Probes::new();
    let hang = || {
        let probe = probes.probe(());
        async move {
            let _probe = probe;
            pending::<Result<(), ()>>().await
        }
    };
    assert!(poll_once(pin!(race([hang(), hang()]))).await.is_pending());
    while probes.alive() > 0 {
        yield_now().await;
    }
}
