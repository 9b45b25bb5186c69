//! Shared limits, by a store that does what the test wants, in time that the test makes pass.
#![cfg(not(shibuya_loom))]

#[path = "support/store.rs"]
mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shibuya_cancel::{CancelScope, timeout};
use shibuya_ratelimit::distributed::{
    Distributed, Fail, Grant, InvalidDistributed, Lease, Memory, Origin,
};
use shibuya_ratelimit::{Denied, Outage, Quota};
use static_assertions::assert_impl_all;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep};

use store::{Mode, Store};

const MS: Duration = Duration::from_millis(1);

/// One in 10 ms.
const QUOTA: Quota = Quota::per_second(100).burst(4);

assert_impl_all!(Distributed<Memory>: Send, Sync);
assert_impl_all!(Grant: Send, Sync);

fn is_send<T: Send>(it: T) -> T {
    it
}

fn limit(mode: Mode) -> (Arc<Store>, Arc<Distributed<Arc<Store>>>) {
    let store = Arc::new(Store::new(mode));
    (store.clone(), Arc::new(Distributed::new(store, QUOTA)))
}

fn out(outage: Outage) -> Mode {
    Mode::Out(outage, Duration::ZERO)
}

// ---- Waiting ----

#[tokio::test(start_paused = true)]
async fn those_who_wait_come_in_turn_each_in_its_time() {
    let (store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let (began, came) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let (limit, came) = (limit.clone(), came.clone());
        tasks.spawn(is_send(async move {
            limit.acquire("key").await.unwrap();
            let after = began.elapsed().as_millis();
            came.lock().unwrap().push((number, after));
        }));
        yield_now().await;
    }
    yield_now().await;
    assert_eq!(
        limit.snapshot().waiting,
        19,
        "but for the first, who sleeps"
    );
    tasks.join_all().await;
    let came = came.lock().unwrap();
    let expected: Vec<_> = (0..20).map(|number| (number, 10 * (number + 1))).collect();
    assert_eq!(*came, expected);
    // Each was refused once and then granted; none was asked for in vain.
    assert!(store.asked() <= 42, "{}", store.asked());
}

#[tokio::test(start_paused = true)]
async fn when_one_leaves_those_behind_move_up() {
    let (_store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let began = Instant::now();
    let wait = |n| {
        let limit = limit.clone();
        tokio::spawn(async move {
            limit.acquire_n("key", n).await.unwrap();
            began.elapsed()
        })
    };
    let (first, second, third) = (wait(4), wait(3), wait(1));
    sleep(5 * MS).await;
    first.abort();
    second.abort();
    assert!(third.await.unwrap() <= 11 * MS);
}

#[tokio::test(start_paused = true)]
async fn one_round_trip_serves_all_who_wait() {
    let quota = Quota::per_second(10_000).burst(100);
    let store = Arc::new(Store::new(Mode::Slow(4 * MS)));
    let limit = Arc::new(Distributed::new(store.clone(), quota));
    limit.acquire_n("key", 100).await.unwrap();
    let (began, before) = (Instant::now(), store.asked());
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let limit = limit.clone();
        tasks.spawn(async move { limit.acquire("key").await.unwrap() });
    }
    tasks.join_all().await;
    assert!(began.elapsed() <= 40 * MS, "{:?}", began.elapsed());
    // All ask as they come, before the first refusal; then each trip brings what four milliseconds have earned.
    let asked = store.asked() - before;
    assert!(asked <= 200 + 20, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn who_tries_does_not_pass_those_who_wait() {
    let (_store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let waiter = tokio::spawn({
        let limit = limit.clone();
        async move { limit.acquire_n("key", 2).await }
    });
    sleep(15 * MS).await;
    let refused = limit.try_acquire("key").await.unwrap_err();
    assert_eq!(
        refused,
        Denied::RetryAfter(15 * MS),
        "5 for two, 10 for one more"
    );
    waiter.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_after_the_deadline_is_not_waited_for() {
    let (_store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let began = Instant::now();
    let hopeless = |needs, remaining| Denied::Hopeless {
        needs: needs * MS,
        remaining: remaining * MS,
    };

    let refused = limit.acquire_within("key", 3, 29 * MS).await.unwrap_err();
    assert_eq!(refused, hopeless(30, 29));
    let refused = timeout(29 * MS, limit.acquire_n("key", 3)).await.unwrap();
    assert_eq!(refused.unwrap_err(), hopeless(30, 29));
    let scope = CancelScope::builder().timeout(9 * MS).build();
    let refused = scope.run(limit.acquire("key")).await.unwrap();
    assert_eq!(refused.unwrap_err(), hopeless(10, 9));
    assert_eq!(began.elapsed(), Duration::ZERO);

    let waiter = tokio::spawn({
        let limit = limit.clone();
        async move { limit.acquire_n("key", 3).await }
    });
    yield_now().await;
    let refused = limit.acquire_within("key", 2, 49 * MS).await.unwrap_err();
    assert_eq!(refused, hopeless(50, 49), "behind three others");
    assert_eq!(began.elapsed(), Duration::ZERO);
    limit.acquire_within("key", 2, 51 * MS).await.unwrap();
    waiter.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), 50 * MS);
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_does_not_pass_those_who_wait_for_more() {
    let (_store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let began = Instant::now();
    let wait = |n| {
        let limit = limit.clone();
        tokio::spawn(async move {
            limit.acquire_n("key", n).await.unwrap();
            began.elapsed()
        })
    };
    let first = wait(3);
    sleep(15 * MS).await;
    let second = wait(1);
    assert_eq!(first.await.unwrap(), 30 * MS);
    assert_eq!(second.await.unwrap(), 40 * MS);
}

/// Somebody else, who may have more at once, takes what those who wait had hoped for.
#[tokio::test(start_paused = true)]
async fn hope_may_be_lost_later() {
    let (store, limit) = limit(Mode::Quick);
    let thief = Distributed::new(store, Quota::per_second(100).burst(100));
    limit.acquire_n("key", 4).await.unwrap();
    let began = Instant::now();
    let wait = |within| {
        let limit = limit.clone();
        tokio::spawn(async move {
            let refused = limit.acquire_within("key", 1, within * MS).await;
            (refused.unwrap_err(), began.elapsed())
        })
    };
    let hopeless = |needs, remaining| Denied::Hopeless {
        needs: needs * MS,
        remaining: remaining * MS,
    };
    let first = wait(25);
    sleep(5 * MS).await;
    thief.try_acquire_n("key", 3).await.unwrap();
    // At its turn it learns that it will not have one in time.
    assert_eq!(first.await.unwrap(), (hopeless(30, 15), 10 * MS));

    let patient = tokio::spawn({
        let limit = limit.clone();
        async move { limit.acquire("key").await }
    });
    yield_now().await;
    let behind = wait(45);
    yield_now().await;
    thief.try_acquire_n("key", 20).await.unwrap();
    // Those before it wait for longer than it can.
    assert_eq!(behind.await.unwrap(), (hopeless(10, 0), 55 * MS));
    patient.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_does_not_hold_up_who_has_little_time() {
    let (_store, limit) = limit(Mode::Slow(100 * MS));
    let began = Instant::now();
    let refused = limit.acquire_within("key", 1, 20 * MS).await.unwrap_err();
    assert!(matches!(refused, Denied::Hopeless { .. }), "{refused}");
    assert_eq!(began.elapsed(), 20 * MS);
    assert_eq!(limit.snapshot().outages, 0, "it still had time");
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_all_who_wait() {
    let (_store, limit) = limit(Mode::Quick);
    limit.acquire_n("key", 4).await.unwrap();
    let waiters = [1, 2, 1].map(|n| {
        let limit = limit.clone();
        tokio::spawn(async move { limit.acquire_n("key", n).await })
    });
    yield_now().await;
    let began = Instant::now();
    limit.close().await;
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap_err(), Denied::Closed);
    }
    assert_eq!(limit.try_acquire("key").await.unwrap_err(), Denied::Closed);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn what_can_never_be_had_is_an_error() {
    let (store, limit) = limit(Mode::Quick);
    let never = Denied::ExceedsBurst { asked: 5, burst: 4 };
    assert_eq!(limit.try_acquire_n("key", 5).await.unwrap_err(), never);
    assert_eq!(limit.acquire_n("key", 5).await.unwrap_err(), never);
    assert_eq!(limit.acquire_n("key", 0).await.unwrap().n(), 0);
    assert_eq!(store.asked(), 0);

    let in_debt = Distributed::new(store, QUOTA.debt());
    assert_eq!(in_debt.try_acquire_n("debt", 10).await.unwrap().n(), 10);
    assert!(in_debt.try_acquire("debt").await.unwrap_err().retry_after() > Some(60 * MS));
}

#[tokio::test(start_paused = true)]
async fn keys_may_have_quotas_of_their_own() {
    let store = Arc::new(Memory::new());
    let limit = Distributed::new(store, QUOTA).quota_for(|key| {
        key.starts_with(b"vip:")
            .then(|| Quota::per_second(1000).burst(40))
    });
    assert_eq!(limit.quota("vip:1").burst_size(), 40);
    assert_eq!(limit.quota("other"), QUOTA);
    assert!(limit.try_acquire_n("vip:1", 40).await.is_ok());
    assert_eq!(limit.peek("vip:1").await.unwrap().limit, 40);
    assert!(limit.try_acquire_n("other", 4).await.is_ok());
    assert!(limit.try_acquire("other").await.is_err());
}

// ---- Memory of refusals ----

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_asked_for_before_its_time() {
    let (store, limit) = limit(Mode::Quick);
    limit.try_acquire_n("key", 4).await.unwrap();
    for left in [10, 7, 4] {
        for _ in 0..100 {
            let refused = limit.try_acquire("key").await.unwrap_err();
            assert_eq!(refused, Denied::RetryAfter(left * MS));
        }
        advance(3 * MS).await;
    }
    assert_eq!(store.asked(), 2);
    advance(MS).await;
    limit.try_acquire("key").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refund_ends_a_refusal() {
    let (store, limit) = limit(Mode::Quick);
    let four = limit.try_acquire_n("key", 4).await.unwrap();
    assert!(limit.try_acquire("key").await.is_err());
    limit.refund("key", four).await.unwrap();
    assert_eq!(store.remaining("key", QUOTA).await, 4);
    limit.try_acquire_n("key", 4).await.unwrap();
}

// ---- Leases ----

fn leasing(mode: Mode, lease: Lease) -> (Arc<Store>, Arc<Distributed<Arc<Store>>>) {
    let quota = Quota::per_second(1000).burst(1000);
    let store = Arc::new(Store::new(mode));
    let limit = Distributed::new(store.clone(), quota).lease(lease);
    (store, Arc::new(limit))
}

/// A grant each millisecond, so that a lease is twenty.
async fn accustom(limit: &Distributed<Arc<Store>>) {
    for _ in 0..1000 {
        limit.try_acquire("key").await.unwrap();
        advance(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_as_large_as_what_20_ms_need() {
    let (store, limit) = leasing(Mode::Quick, Lease::auto());
    accustom(&limit).await;
    let before = store.asked();
    for _ in 0..200 {
        limit.try_acquire("key").await.unwrap();
        advance(MS).await;
    }
    let asked = store.asked() - before;
    assert!((9..=12).contains(&asked), "{asked}");
    let snapshot = limit.snapshot();
    assert_eq!(snapshot.granted + snapshot.granted_from_lease, 1200);
    assert_eq!(snapshot.round_trips, u64::from(store.asked()));
}

#[tokio::test(start_paused = true)]
async fn those_who_come_while_a_lease_is_taken_wait_for_it() {
    let (store, limit) = leasing(Mode::Slow(4 * MS), Lease::up_to(10));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let limit = limit.clone();
        tasks.spawn(async move { limit.try_acquire("key").await.unwrap() });
    }
    let grants = tasks.join_all().await;
    assert_eq!(
        store.asked(),
        1 + 1,
        "one for the first, one for all others"
    );
    assert_eq!(began.elapsed(), 8 * MS);
    let from_lease = grants
        .iter()
        .filter(|grant| grant.origin() == Origin::Lease);
    assert_eq!(from_lease.count(), 98);
    assert_eq!(limit.snapshot().leased, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_leased_goes_back_on_close_and_on_drop() {
    for is_closed in [true, false] {
        let (store, limit) = leasing(Mode::Quick, Lease::auto());
        let quota = limit.quota("key");
        accustom(&limit).await;
        while limit.snapshot().leased < 15 {
            limit.try_acquire("key").await.unwrap();
        }
        let leased = limit.snapshot().leased as u32;
        let before = store.remaining("key", quota).await;
        match is_closed {
            true => limit.close().await,
            false => drop(limit),
        }
        while store.remaining("key", quota).await == before {
            yield_now().await;
        }
        assert_eq!(store.remaining("key", quota).await, before + leased);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_lease_is_not_spent() {
    let (store, limit) = leasing(Mode::Quick, Lease::auto());
    accustom(&limit).await;
    while limit.snapshot().leased > 0 {
        limit.try_acquire("key").await.unwrap();
    }
    limit.try_acquire("key").await.unwrap();
    advance(99 * MS).await;
    let before = store.asked();
    let grant = limit.try_acquire("key").await.unwrap();
    assert_eq!((grant.origin(), store.asked()), (Origin::Lease, before));
    advance(MS).await;
    let grant = limit.try_acquire("key").await.unwrap();
    assert_eq!((grant.origin(), store.asked()), (Origin::Store, before + 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gave_all_is_asked_again_when_there_is_a_lease() {
    let (store, limit) = leasing(Mode::Quick, Lease::up_to(10));
    accustom(&limit).await;
    while limit.snapshot().leased > 0 {
        limit.try_acquire("key").await.unwrap();
    }
    let quota = limit.quota("key");
    let thief = Distributed::new(store.clone(), quota);
    let all_but_three = store.remaining("key", quota).await - 3;
    thief.try_acquire_n("key", all_but_three).await.unwrap();

    let before = store.asked();
    for _ in 0..3 {
        limit.try_acquire("key").await.unwrap();
    }
    for _ in 0..100 {
        let refused = limit.try_acquire("key").await.unwrap_err();
        assert_eq!(refused, Denied::RetryAfter(10 * MS));
    }
    assert_eq!(store.asked(), before + 1);
    // Who has no time for that gets what there is.
    let began = Instant::now();
    limit.acquire_within("key", 1, 5 * MS).await.unwrap();
    assert_eq!(began.elapsed(), MS);
}

#[tokio::test(start_paused = true)]
async fn a_refund_from_a_lease_goes_to_the_lease_while_it_lasts() {
    let (store, limit) = leasing(Mode::Quick, Lease::auto());
    let quota = limit.quota("key");
    accustom(&limit).await;
    while limit.snapshot().leased < 15 {
        limit.try_acquire("key").await.unwrap();
    }
    let leased = limit.snapshot().leased;
    let [early, late] = [
        limit.try_acquire("key").await.unwrap(),
        limit.try_acquire("key").await.unwrap(),
    ];
    let before = store.asked();
    limit.refund("key", early).await.unwrap();
    assert_eq!(limit.snapshot().leased, leased - 1);
    assert_eq!(store.asked(), before);
    advance(100 * MS).await;
    let remaining = store.remaining("key", quota).await;
    limit.refund("key", late).await.unwrap();
    assert_eq!(store.asked(), before + 1);
    assert!(store.remaining("key", quota).await >= remaining);
}

/// Whatever is dropped, timed out or leased: grants are charges.
#[tokio::test(start_paused = true)]
async fn no_grant_is_without_a_charge() {
    let quota = Quota::per_second(1000).burst(100);
    let store = Arc::new(Store::new(Mode::Slow(2 * MS)));
    let began = Instant::now();
    let granted = Arc::new(Mutex::new(0_u64));
    let mut tasks = JoinSet::new();
    for client in 0..3_u64 {
        let limit = Distributed::new(store.clone(), quota)
            .lease(Lease::up_to(20))
            .timeout(3 * MS);
        let limit = Arc::new(limit);
        for task in 0..5 {
            let (limit, granted) = (limit.clone(), granted.clone());
            tasks.spawn(async move {
                for round in 0..100 {
                    let patience = Duration::from_micros((client * 7 + task * 5 + round) % 9 * 500);
                    let took = tokio::time::timeout(patience, limit.acquire("key")).await;
                    *granted.lock().unwrap() += u64::from(matches!(took, Ok(Ok(_))));
                    sleep(Duration::from_micros((round % 5) * 300)).await;
                }
            });
        }
    }
    tasks.join_all().await;
    let granted = *granted.lock().unwrap();
    let most = 100 + began.elapsed().as_millis() as u64;
    assert!(granted <= most, "{granted} of {most}");
    assert!(granted >= 100, "{granted}");
}

// ---- Outages ----

#[tokio::test(start_paused = true)]
async fn only_one_in_a_while_finds_out_that_the_store_is_silent() {
    let (store, limit) = limit(Mode::Slow(1000 * MS));
    let began = Instant::now();
    for _ in 0..1000 {
        let refused = limit.try_acquire("key").await.unwrap_err();
        assert_eq!(refused, Denied::Unavailable(Outage::TimedOut));
        advance(MS).await;
    }
    let (asked, took) = (store.asked(), began.elapsed());
    assert!((9..=11).contains(&asked), "{asked}");
    assert!(took <= 1000 * MS + asked * 250 * MS, "{took:?}");
    assert_eq!(limit.snapshot().outage, Some(Outage::TimedOut));
    store.set(Mode::Quick);
    advance(100 * MS).await;
    limit.try_acquire("key").await.unwrap();
    let snapshot = limit.snapshot();
    assert_eq!(
        (snapshot.outage, snapshot.outages),
        (None, u64::from(asked))
    );
}

#[tokio::test(start_paused = true)]
async fn a_share_is_a_limit_that_can_be_waited_for() {
    let store = Arc::new(Store::new(out(Outage::Unreachable)));
    let quota = Quota::per_second(100).burst(10);
    let limit = Distributed::new(store.clone(), quota).on_error(Fail::LocalShare(0.2));
    let grants = [
        limit.try_acquire("key").await.unwrap(),
        limit.try_acquire("key").await.unwrap(),
    ];
    let refused = limit.try_acquire("key").await.unwrap_err();
    assert_eq!(refused, Denied::RetryAfter(50 * MS), "a fifth of the rate");
    let began = Instant::now();
    let grant = limit.acquire("key").await.unwrap();
    assert_eq!(
        (grant.origin(), began.elapsed()),
        (Origin::LocalShare, 50 * MS)
    );

    for grant in grants {
        limit.refund("key", grant).await.unwrap();
    }
    limit.try_acquire("key").await.unwrap();
    let refused = limit.try_acquire_n("key", 3).await.unwrap_err();
    assert_eq!(
        refused,
        Denied::Unavailable(Outage::Unreachable),
        "more than it may ever have"
    );
    let snapshot = limit.snapshot();
    assert_eq!(
        (snapshot.granted_from_share, snapshot.failed_closed),
        (4, 1)
    );
    assert!(store.asked() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_share_needs_memory_for_its_keys() {
    let store = Arc::new(Store::new(out(Outage::Unreachable)));
    let limit = Distributed::new(store, QUOTA)
        .on_error(Fail::LocalShare(1.0))
        .max_keys(10);
    for key in 0..10_u8 {
        assert!(limit.try_acquire([key]).await.is_ok());
    }
    let refused = limit.try_acquire([10]).await.unwrap_err();
    assert_eq!(refused, Denied::Unavailable(Outage::Unreachable));
    assert_eq!(limit.snapshot().keys, 10);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_decided_when_the_store_goes_out() {
    for fail in [Fail::Open, Fail::Closed] {
        let store = Arc::new(Store::default());
        let limit = Distributed::new(store.clone(), QUOTA).on_error(fail);
        let limit = Arc::new(limit);
        limit.acquire_n("key", 4).await.unwrap();
        let waiters = [(), (), ()].map(|()| {
            let limit = limit.clone();
            tokio::spawn(async move { limit.acquire("key").await })
        });
        yield_now().await;
        store.set(out(Outage::Unreachable));
        for waiter in waiters {
            match (fail, waiter.await.unwrap()) {
                (Fail::Open, Ok(grant)) => assert_eq!(grant.origin(), Origin::Unlimited),
                (_, answer) => assert_eq!(
                    answer.unwrap_err(),
                    Denied::Unavailable(Outage::Unreachable)
                ),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_is_no_outage_for_the_others() {
    let (store, limit) = limit(out(Outage::WrongType));
    for asked in 1..=10 {
        let refused = limit.try_acquire("key").await.unwrap_err();
        assert_eq!(refused, Denied::Unavailable(Outage::WrongType));
        assert_eq!(store.asked(), asked);
    }
    assert_eq!(limit.snapshot().outage, None);
}

// ---- Settings ----

#[test]
fn a_wrong_setting_says_what_would_be_right() {
    let limit = || Distributed::new(Memory::new(), QUOTA);
    for share in [0.0, -0.1, 1.1, f32::NAN, f32::INFINITY] {
        let wrong = limit().try_on_error(Fail::LocalShare(share)).unwrap_err();
        assert!(
            wrong
                .to_string()
                .ends_with("it must be above 0 and at most 1")
        );
    }
    let wrong = limit().try_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(wrong, InvalidDistributed::ZeroTimeout);
    assert_eq!(
        limit().try_max_keys(0).unwrap_err(),
        InvalidDistributed::NoKeys
    );
    assert_eq!(
        Lease::try_up_to(0).unwrap_err(),
        InvalidDistributed::EmptyLease
    );
    assert!(limit().try_on_error(Fail::LocalShare(1.0)).is_ok());
}

#[test]
fn panics_point_at_the_caller() {
    let place = Arc::new(Mutex::new(None));
    let hook = std::panic::take_hook();
    let seen = place.clone();
    std::panic::set_hook(Box::new(move |info| {
        *seen.lock().unwrap() = info.location().map(|at| at.file().to_owned());
    }));
    let wrong: [fn(); 5] = [
        || drop(Distributed::new(Memory::new(), QUOTA).on_error(Fail::LocalShare(0.0))),
        || drop(Distributed::new(Memory::new(), QUOTA).timeout(Duration::ZERO)),
        || drop(Distributed::new(Memory::new(), QUOTA).max_keys(0)),
        || _ = Lease::up_to(0),
        || _ = Lease::auto().processes(0),
    ];
    let places = wrong.map(|wrong| {
        *place.lock().unwrap() = None;
        std::panic::catch_unwind(wrong).unwrap_err();
        place.lock().unwrap().take()
    });
    std::panic::set_hook(hook);
    for at in places {
        assert_eq!(at.as_deref(), Some(file!()));
    }
}
