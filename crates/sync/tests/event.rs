//! What an event promises, with asyncio's `EventTests` (CPython's `test_locks.py`) among it:
//! `repr`, `wait`, `wait_on_set`, `wait_cancel`, `clear`, `clear_with_waiters`.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shibuya_sync::Event;
use tokio_test::{assert_pending, assert_ready, task};

#[test]
fn wait_and_wait_on_set() {
    let event = Event::new();
    let mut waiting = [(); 3].map(|()| task::spawn(event.wait()));
    for wait in &mut waiting {
        assert_pending!(wait.poll());
    }
    assert_eq!(event.waiting(), 3);
    assert!(event.set());
    for wait in &mut waiting {
        assert!(wait.is_woken());
        assert_ready!(wait.poll());
    }
    assert_ready!(task::spawn(event.wait()).poll());
    assert!(event.is_set() && !event.set(), "the second time is no news");
    assert_eq!(event.waiting(), 0);
}

#[test]
fn wait_cancel() {
    let event = Event::new();
    let mut stays = task::spawn(event.wait());
    assert_pending!(stays.poll());
    {
        let mut goes = task::spawn(event.wait());
        assert_pending!(goes.poll());
    }
    assert_eq!(event.waiting(), 1);
    event.set();
    assert_ready!(stays.poll());
}

#[test]
fn clear() {
    let event = Event::new();
    assert!(!event.clear(), "it was not set");
    event.set();
    assert!(event.clear() && !event.is_set());
    assert_pending!(task::spawn(event.wait()).poll());
}

#[test]
fn clear_with_waiters() {
    let event = Event::new();
    let mut early = task::spawn(event.wait());
    assert_pending!(early.poll());
    event.set();
    event.clear();
    let mut late = task::spawn(event.wait());
    assert_pending!(late.poll());
    assert_ready!(early.poll());
    event.set();
    event.set();
    event.clear();
    assert_ready!(late.poll());
}

#[test]
fn repr() {
    let event = Event::default();
    let mut wait = task::spawn(event.wait());
    assert_pending!(wait.poll());
    assert_eq!(format!("{event:?}"), "Event { set: false, waiting: 1 }");
    event.set();
    assert_eq!(format!("{event:?}"), "Event { set: true, waiting: 0 }");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulse_lets_all_through_who_wait() {
    let (event, through) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    for round in 1..=200 {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (event, through) = (event.clone(), through.clone());
                tokio::spawn(async move {
                    event.wait().await;
                    through.fetch_add(1, SeqCst);
                })
            })
            .collect();
        while event.waiting() < 8 {
            tokio::task::yield_now().await;
        }
        event.set();
        event.clear();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(through.load(SeqCst), 8 * round);
    }
}

#[test]
fn a_hundred_thousand_leave_at_once() {
    let event = Event::new();
    let mut waiting: Vec<_> = (0..100_000).map(|_| task::spawn(event.wait())).collect();
    for wait in &mut waiting {
        assert_pending!(wait.poll());
    }
    drop(waiting);
    assert_eq!(event.waiting(), 0);
    event.set();
}
