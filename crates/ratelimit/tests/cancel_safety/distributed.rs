//! Shared limits: no grant is without a charge, and those behind are served.

#[path = "../support/store.rs"]
mod store;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use shibuya_ratelimit::distributed::{
    Answer, Backend, BackendError, Distributed, Grant, Lease, Memory, Take, Verdict,
};
use shibuya_ratelimit::{Denied, Quota};
use shibuya_testkit::{Ending, Harness, Report, cancel_at_every_poll};
use tokio::task::{JoinHandle, yield_now};

use store::{Mode, Store};

const MS: Duration = Duration::from_millis(1);

/// One in 10 ms.
const QUOTA: Quota = Quota::per_second(100).burst(5);

type Limit = Arc<Distributed<Arc<Store>>>;

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

/// A limit with a store that takes 2 ms for an answer.
fn slow(lease: Lease) -> (Arc<Store>, Limit) {
    let store = Arc::new(Store::new(Mode::Slow(2 * MS)));
    let limit = Distributed::new(store.clone(), QUOTA).lease(lease);
    (store, Arc::new(limit))
}

/// Drops what `acquire` makes, of a limit that has `left` at first, with somebody behind it.
async fn those_behind_are_served<F>(
    harness: Harness,
    lease: Lease,
    left: u32,
    acquire: impl Fn(Limit) -> F,
) where
    F: Future<Output = Result<Grant, Denied>>,
{
    let report = harness.run(
        async || {
            let (store, limit) = slow(lease);
            limit.acquire_n("key", 5 - left).await.unwrap();
            let future = acquire(limit.clone());
            // Behind the future, which is polled next.
            let neighbour: JoinHandle<_> = tokio::spawn({
                let limit = limit.clone();
                async move {
                    yield_now().await;
                    limit.acquire("key").await
                }
            });
            ((store, limit, neighbour), future)
        },
        async |(store, limit, neighbour), ending| {
            neighbour.await.unwrap().unwrap();
            let mut granted = 5 - left + 1;
            let mut lost = 2; // at most: what it had asked for
            if let Ending::Completed(grant) = ending {
                granted += grant.unwrap().n();
                lost = 0;
            }
            let leased = limit.snapshot().leased as u32;
            let charged = store.charged();
            assert!(
                (granted + leased..=granted + leased + lost).contains(&charged),
                "{charged} for {granted}, {leased} are leased"
            );
            assert_eq!(limit.snapshot().waiting, 0);
            limit.acquire("key").await.unwrap();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_try_is_charged_or_is_not() {
    for lease in [Lease::NONE, Lease::up_to(2)] {
        let harness = Harness::new("Distributed::try_acquire");
        those_behind_are_served(harness, lease, 3, async |limit: Limit| {
            limit.try_acquire("key").await
        })
        .await;
        let harness = Harness::new("Distributed::try_acquire_n");
        those_behind_are_served(harness, lease, 3, async |limit: Limit| {
            limit.try_acquire_n("key", 2).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_leaves_the_line_to_those_behind() {
    for lease in [Lease::NONE, Lease::up_to(2)] {
        let harness = Harness::new("Distributed::acquire");
        those_behind_are_served(harness, lease, 0, async |limit: Limit| {
            limit.acquire("key").await
        })
        .await;
        let harness = Harness::new("Distributed::acquire_n");
        those_behind_are_served(harness, lease, 1, async |limit: Limit| {
            limit.acquire_n("key", 2).await
        })
        .await;
        let harness = Harness::new("Distributed::acquire_within");
        those_behind_are_served(harness, lease, 0, async |limit: Limit| {
            limit.acquire_within("key", 2, 100 * MS).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peek_changes_nothing() {
    let report = cancel_at_every_poll(
        "Distributed::peek",
        async || {
            let (store, limit) = slow(Lease::NONE);
            limit.acquire_n("key", 2).await.unwrap();
            let future = {
                let limit = limit.clone();
                async move { limit.peek("key").await }
            };
            ((store, limit), future)
        },
        async |(store, limit), _ending| {
            assert_eq!(store.charged(), 2);
            limit.try_acquire_n("key", 3).await.unwrap();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_done_once_or_not_at_all() {
    let report = cancel_at_every_poll(
        "Distributed::refund",
        async || {
            let (store, limit) = slow(Lease::NONE);
            let grant = limit.acquire_n("key", 4).await.unwrap();
            let future = {
                let limit = limit.clone();
                async move { limit.refund("key", grant).await }
            };
            ((store, limit), future)
        },
        async |(store, limit), ending| {
            let remaining = store.remaining("key", QUOTA).await;
            match ending {
                Ending::Completed(done) => {
                    done.unwrap();
                    assert_eq!(remaining, 5);
                }
                Ending::Dropped(_) => assert!([1, 5].contains(&remaining), "{remaining}"),
            }
            limit.acquire_n("key", 5).await.unwrap();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn closing_gives_back_once() {
    let report = cancel_at_every_poll(
        "Distributed::close",
        async || {
            let (store, limit) = slow(Lease::up_to(3));
            // Those who come while the first lease is taken want two more; one of them goes.
            let tasks = [(), (), ()].map(|()| {
                let limit = limit.clone();
                tokio::spawn(async move { limit.try_acquire("key").await })
            });
            tokio::time::sleep(3 * MS).await;
            tasks[2].abort();
            tokio::time::sleep(3 * MS).await;
            assert_eq!((store.charged(), limit.snapshot().leased), (3, 1));
            let future = {
                let limit = limit.clone();
                async move { limit.close().await }
            };
            ((store, limit), future)
        },
        async |(store, limit), ending| {
            let is_closed = limit
                .try_acquire("key")
                .await
                .is_err_and(|e| e == Denied::Closed);
            let remaining = store.remaining("key", QUOTA).await;
            match ending {
                Ending::Completed(()) => assert!(is_closed && remaining == 3),
                Ending::Dropped(_) => assert!(remaining <= 3),
            }
            limit.close().await;
            assert!(limit.try_acquire("key").await.is_err());
        },
    );
    really_waited(report.await);
}

/// Of a store that is asked through `S`.
async fn a_take_is_a_charge<S: Backend + Clone>(harness: Harness, store: impl Fn() -> S) {
    let report = harness.run(
        async || {
            let store = store();
            let asked = store.clone();
            let future = async move { asked.take(b"key", QUOTA, Take::exactly(2)).await };
            (store, future)
        },
        async |store, ending| {
            let left = if ending.is_dropped() { 5 } else { 3 };
            let verdict = store.take(b"key", QUOTA, Take::exactly(left)).await;
            assert!(matches!(verdict.unwrap().answer, Answer::Granted { .. }));
        },
    );
    assert_eq!(report.await.polls, 1);
}

#[derive(Clone)]
struct Borrowed(&'static Memory);

impl Backend for Borrowed {
    fn take(
        &self,
        key: &[u8],
        quota: Quota,
        take: Take,
    ) -> impl Future<Output = Result<Verdict, BackendError>> + Send {
        self.0.take(key, quota, take)
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_answers_at_once() {
    let leaked = || Borrowed(Box::leak(Box::new(Memory::new())));
    a_take_is_a_charge(Harness::new("Memory::take"), leaked).await;
    let shared = || Arc::new(Memory::new());
    a_take_is_a_charge(Harness::new("Backend::take"), shared).await;
}
