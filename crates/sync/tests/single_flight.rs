//! What a single flight promises.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shibuya_sync::{Event, SingleFlight};
use tokio::task::yield_now;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};

#[tokio::test]
async fn those_who_ask_at_once_share_one_call() {
    let (flights, calls) = (SingleFlight::new(), Cell::new(0));
    let call = || async {
        calls.set(calls.get() + 1);
        yield_now().await;
        calls.get()
    };
    let (a, b, other) = tokio::join!(
        flights.run("k", call),
        flights.run("k", call),
        flights.run("another", || async { 7 }),
    );
    assert_eq!((a, b, other), (1, 1, 7));
    assert_eq!(flights.run("k", call).await, 2, "it is no cache");
    assert!(flights.is_empty());
}

#[test]
fn a_leader_that_is_dropped_hands_over() {
    let flights = SingleFlight::new();
    let mut leader = task::spawn(flights.run(1, pending::<&str>));
    assert_pending!(leader.poll());
    let mut next = task::spawn(flights.run(1, || async { "by the second" }));
    let mut last = task::spawn(flights.run(1, || async { "by the third" }));
    assert_pending!(next.poll());
    assert_pending!(last.poll());
    drop(leader);
    assert!(next.is_woken() && !last.is_woken());
    assert_ready_eq!(next.poll(), "by the second");
    assert_ready_eq!(last.poll(), "by the second");
    drop((next, last));
    assert_eq!(format!("{flights:?}"), "SingleFlight { calls: 0 }");
}

#[test]
fn one_that_is_handed_the_lead_and_never_looks_hands_it_on() {
    let flights = SingleFlight::new();
    let mut leader = task::spawn(flights.run(1, pending::<u8>));
    assert_pending!(leader.poll());
    let mut second = task::spawn(flights.run(1, || async { 2 }));
    let mut third = task::spawn(flights.run(1, || async { 3 }));
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    drop(leader);
    drop(second);
    assert_ready_eq!(third.poll(), 3);
}

#[tokio::test]
async fn a_leader_that_panics_hands_over_and_harms_nobody_else() {
    let (flights, begun) = (Arc::new(SingleFlight::new()), Arc::new(Event::new()));
    let (flights_2, begun_2) = (flights.clone(), begun.clone());
    let leader = tokio::spawn(async move {
        let call = || async {
            begun_2.set();
            yield_now().await;
            panic!("no such page")
        };
        flights_2.run("k", call).await
    });
    begun.wait().await;
    assert_eq!(flights.run("k", || async { 5 }).await, 5);
    assert!(leader.await.unwrap_err().is_panic());
    assert!(flights.is_empty());
}

#[test]
fn who_comes_after_the_end_begins_anew_while_others_still_look() {
    let flights = SingleFlight::new();
    let land = Event::new();
    let first = || async {
        land.wait().await;
        1
    };
    let mut leader = task::spawn(flights.run("k", first));
    assert_pending!(leader.poll());
    let mut shares = task::spawn(flights.run("k", first));
    assert_pending!(shares.poll());
    land.set();
    assert_ready_eq!(leader.poll(), 1);
    land.clear();
    let mut anew = task::spawn(flights.run("k", first));
    assert_pending!(anew.poll());
    assert_ready_eq!(shares.poll(), 1);
    assert_eq!(flights.len(), 1);
    land.set();
    assert_ready!(anew.poll());
    assert!(flights.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_two_calls_of_a_key_at_a_time() {
    /// Counts the calls under way, also when one is dropped.
    struct Call<'a>(&'a AtomicUsize);

    impl Drop for Call<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }

    let (flights, under_way) = (Arc::new(SingleFlight::new()), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (flights, under_way) = (flights.clone(), under_way.clone());
            tokio::spawn(async move {
                for round in 0..300 {
                    let call = || async {
                        assert_eq!(under_way.fetch_add(1, SeqCst), 0);
                        let _call = Call(&under_way);
                        yield_now().await;
                    };
                    if (n + round) % 5 == 0 {
                        // Gives up, perhaps in the middle of its call.
                        let _ = task::spawn(flights.run("k", call)).poll();
                    } else {
                        flights.run("k", call).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(flights.is_empty());
}
