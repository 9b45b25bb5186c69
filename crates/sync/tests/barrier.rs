//! What a barrier promises, with asyncio's `BarrierTests` (CPython's `test_locks.py`) among it:
//! `barrier`, `filling_one_task`, `filling_tasks`, `wait_more_tasks`, `abort`, `abort_barrier`,
//! `abort_barrier_when_tasks_half_draining_half_blocking`, `reset_barrier`, `reset_barrier_while_waiting`,
//! `cancel_task_blocking` (which breaks it here), `repr`.
#![cfg(not(shibuya_loom))]

use std::sync::{Arc, Mutex};

use shibuya_sync::{Barrier, BarrierWait, Broken};
use tokio_test::task::Spawn;
use tokio_test::{assert_pending, assert_ready, task};

fn waiting(barrier: &Barrier) -> Spawn<BarrierWait<'_>> {
    let mut wait = task::spawn(barrier.wait());
    assert_pending!(wait.poll());
    wait
}

#[test]
fn barrier() {
    let barrier = Barrier::new(3);
    for _ in 0..3 {
        let [mut a, mut b] = [waiting(&barrier), waiting(&barrier)];
        assert_eq!(barrier.waiting(), 2);
        let last = assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
        assert!(a.is_woken() && b.is_woken());
        let [a, b] = [&mut a, &mut b].map(|wait| assert_ready!(wait.poll()).unwrap());
        assert_eq!([a.index(), b.index(), last.index()], [0, 1, 2]);
        assert!(!a.is_last() && !b.is_last() && last.is_last());
        assert_eq!((barrier.waiting(), barrier.parties()), (0, 3));
    }
}

#[test]
fn filling_one_task() {
    let barrier = Barrier::new(1);
    for _ in 0..3 {
        let arrival = assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
        assert!(arrival.is_last());
    }
}

#[test]
fn a_barrier_for_nobody_panics_at_the_caller() {
    let place = Arc::new(Mutex::new(None));
    let seen = place.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let at = info.location().map(|at| (at.file().to_owned(), at.line()));
        *seen.lock().unwrap() = at;
    }));
    let line = line!() + 1;
    let caught = std::panic::catch_unwind(|| Barrier::new(0));
    std::panic::set_hook(hook);
    let message = *caught.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("a barrier for 0 parties"), "{message}");
    assert_eq!(*place.lock().unwrap(), Some((file!().to_owned(), line)));
}

#[test]
fn the_next_round_begins_while_the_last_one_wakes() {
    let barrier = Barrier::new(2);
    let mut first = waiting(&barrier);
    assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
    let mut second = waiting(&barrier);
    assert_ready!(first.poll()).unwrap();
    assert!(!second.is_woken());
    assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
    assert_ready!(second.poll()).unwrap();
}

#[test]
fn abort_barrier() {
    let barrier = Barrier::new(3);
    let mut wait = waiting(&barrier);
    barrier.break_now();
    assert_eq!(assert_ready!(wait.poll()), Err(Broken));
    assert_eq!(
        assert_ready!(task::spawn(barrier.wait()).poll()),
        Err(Broken)
    );
    assert!(barrier.is_broken());
}

#[test]
fn abort_barrier_when_tasks_half_draining_half_blocking() {
    let barrier = Barrier::new(2);
    let mut draining = waiting(&barrier);
    assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
    let mut blocking = waiting(&barrier);
    barrier.break_now();
    assert_eq!(assert_ready!(blocking.poll()), Err(Broken));
    assert!(
        assert_ready!(draining.poll()).is_ok(),
        "its round was complete"
    );
}

#[test]
fn reset_barrier_while_waiting() {
    let barrier = Barrier::new(2);
    let mut wait = waiting(&barrier);
    barrier.reset();
    assert_eq!(assert_ready!(wait.poll()), Err(Broken));
    assert!(!barrier.is_broken());
    let mut wait = waiting(&barrier);
    assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
    assert_ready!(wait.poll()).unwrap();
}

#[test]
fn cancel_task_blocking() {
    let barrier = Barrier::new(3);
    let mut patient = waiting(&barrier);
    drop(waiting(&barrier));
    assert!(patient.is_woken());
    assert_eq!(assert_ready!(patient.poll()), Err(Broken));
    assert_eq!(barrier.waiting(), 0);
    barrier.reset();
    drop(barrier.wait());
    assert!(!barrier.is_broken(), "it never came");
}

#[test]
fn who_is_dropped_after_all_have_come_breaks_nothing() {
    let barrier = Barrier::new(2);
    let woken = waiting(&barrier);
    assert_ready!(task::spawn(barrier.wait()).poll()).unwrap();
    drop(woken);
    assert!(!barrier.is_broken());
    let _next = waiting(&barrier);
    assert_eq!(barrier.waiting(), 1);
}

#[tokio::test]
async fn a_party_that_panics_between_two_waits_breaks_it() {
    let barrier = Arc::new(Barrier::new(2));
    let other = barrier.clone();
    let bad = tokio::spawn(async move {
        let party = other.party();
        party.wait().await.unwrap();
        panic!("on the way to the second");
    });
    let good = barrier.party();
    good.wait().await.unwrap();
    assert_eq!(good.wait().await, Err(Broken));
    assert!(bad.await.unwrap_err().is_panic());
    barrier.reset();
    good.leave();
    assert!(!barrier.is_broken());
}

#[test]
fn repr() {
    let barrier = Barrier::new(2);
    let _wait = waiting(&barrier);
    let text = format!("{barrier:?}");
    assert_eq!(text, "Barrier { parties: 2, waiting: 1, broken: false }");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rounds_on_two_threads() {
    const ROUNDS: usize = 500;
    let barrier = Arc::new(Barrier::new(4));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                let mut last = 0;
                for _ in 0..ROUNDS {
                    last += usize::from(barrier.wait().await.unwrap().is_last());
                }
                last
            })
        })
        .collect();
    let mut last = 0;
    for task in tasks {
        last += task.await.unwrap();
    }
    assert_eq!(last, ROUNDS, "one per round");
}
