//! Every public future is dropped after each of its polls and after each wake that follows.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shibuya_sync::{
    Arrival, Barrier, BarrierWait, Broken, Event, EventWait, KeyedGuard, KeyedLock, KeyedMutex,
    SingleFlight,
};
use shibuya_testkit::{Ending, Report, cancel_at_every_poll};
use tokio::task::yield_now;

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test]
async fn an_event_lets_the_others_through() {
    let report = cancel_at_every_poll(
        "Event::wait",
        async || {
            let event = Arc::new(Event::new());
            let (sets, through) = (event.clone(), Arc::new(AtomicUsize::new(0)));
            let count = through.clone();
            let neighbour = tokio::spawn({
                let event = event.clone();
                async move {
                    event.wait().await;
                    count.fetch_add(1, SeqCst);
                }
            });
            // Once the future, which is polled next, and the neighbour have been polled.
            tokio::spawn(async move {
                yield_now().await;
                sets.set();
            });
            let future = {
                let event = event.clone();
                async move {
                    let wait: EventWait<'_> = event.wait();
                    wait.await
                }
            };
            ((event, neighbour, through), future)
        },
        async |(event, neighbour, through), _ending| {
            event.set();
            neighbour.await.unwrap();
            assert_eq!((event.waiting(), through.load(SeqCst)), (0, 1));
            event.wait().await;
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn a_barrier_keeps_nobody_waiting() {
    let report = cancel_at_every_poll(
        "Barrier::wait",
        async || {
            let barrier = Arc::new(Barrier::new(2));
            let other = barrier.clone();
            let neighbour = tokio::spawn(async move {
                yield_now().await;
                let wait: BarrierWait<'_> = other.wait();
                wait.await
            });
            let future = {
                let barrier = barrier.clone();
                async move { barrier.wait().await }
            };
            ((barrier, neighbour), future)
        },
        async |(barrier, neighbour), ending: Ending<Result<Arrival, Broken>>| {
            if let Ending::Completed(arrival) = &ending {
                assert!(arrival.is_ok());
            } else if !barrier.is_broken() {
                // It never came, or all had come: whoever waits now waits for one more.
                while barrier.waiting() == 0 && !neighbour.is_finished() {
                    yield_now().await;
                }
                if !neighbour.is_finished() {
                    barrier.wait().await.unwrap();
                }
            }
            let _ = neighbour.await.unwrap();
            assert_eq!(barrier.waiting(), 0);
            barrier.reset();
            let (a, b) = tokio::join!(barrier.wait(), barrier.wait());
            assert!(a.is_ok() && b.is_ok());
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn a_key_goes_to_the_next() {
    let report = cancel_at_every_poll(
        "KeyedMutex::lock",
        async || {
            let locks = Arc::new(KeyedMutex::new());
            let (held, other) = (locks.clone(), locks.clone());
            let ready = Arc::new(Event::new());
            let taken = ready.clone();
            tokio::spawn(async move {
                let _guard: KeyedGuard<'_, u8> = held.lock(1).await;
                taken.set();
                yield_now().await;
            });
            ready.wait().await;
            let future = async move {
                let lock: KeyedLock<'_, u8> = other.lock(1);
                drop(lock.await);
            };
            (locks, future)
        },
        async |locks, _ending| {
            drop(locks.lock(1).await);
            assert!(locks.is_empty());
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn a_call_goes_to_the_next_who_waits() {
    let report = cancel_at_every_poll(
        "SingleFlight::run",
        async || {
            let flights = Arc::new(SingleFlight::new());
            let (leads, follows) = (flights.clone(), flights.clone());
            let future = async move {
                let first = leads.run(1, || async {
                    yield_now().await;
                    "here"
                });
                first.await
            };
            let neighbour = tokio::spawn(async move {
                follows
                    .run(1, || async {
                        yield_now().await;
                        "there"
                    })
                    .await
            });
            ((flights, neighbour), future)
        },
        async |(flights, neighbour), _ending| {
            let result = neighbour.await.unwrap();
            assert!(result == "here" || result == "there");
            assert!(flights.is_empty());
            assert_eq!(flights.run(1, || async { "again" }).await, "again");
        },
    );
    really_waited(report.await);
}
