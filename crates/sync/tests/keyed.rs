//! What a lock per key promises.
#![cfg(not(shibuya_loom))]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_util::future::{FutureExt, LocalBoxFuture};
use proptest::prelude::*;
use shibuya_sync::{KeyedGuard, KeyedMutex, OwnedKeyedGuard};
use tokio_test::task::Spawn;
use tokio_test::{assert_pending, assert_ready, task};

#[test]
fn the_line_of_a_key_is_first_come_first_served() {
    let locks = KeyedMutex::new();
    let first = locks.try_lock(1).unwrap();
    let [mut a, mut b] = [(); 2].map(|()| task::spawn(locks.lock(1)));
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    let other = assert_ready!(task::spawn(locks.lock(2)).poll());
    assert_eq!((locks.len(), *other.key()), (2, 2));
    drop(first);
    assert!(a.is_woken() && !b.is_woken());
    assert!(locks.try_lock(1).is_none(), "nobody passes those who wait");
    let a = assert_ready!(a.poll());
    assert_pending!(b.poll());
    drop(a);
    drop(assert_ready!(b.poll()));
    assert_eq!(locks.len(), 1);
    drop(other);
    assert!(locks.is_empty());
}

#[test]
fn a_key_that_was_handed_over_and_not_looked_at_goes_on() {
    let locks = KeyedMutex::new();
    let held = locks.try_lock("k").unwrap();
    let [mut a, mut b] = [(); 2].map(|()| task::spawn(locks.lock("k")));
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    drop(held);
    drop(a);
    assert!(b.is_woken() && locks.is_locked("k"));
    drop(assert_ready!(b.poll()));
    assert!(locks.is_empty() && !locks.is_locked("k"));
}

#[test]
fn refused_and_given_up_locks_leave_no_key() {
    let locks = KeyedMutex::new();
    let held = locks.try_lock(String::from("k")).unwrap();
    assert!(locks.try_lock(String::from("k")).is_none());
    let mut wait = task::spawn(locks.lock(String::from("k")));
    assert_pending!(wait.poll());
    drop(wait);
    drop(locks.lock(String::from("never polled")));
    assert_eq!(locks.len(), 1);
    drop(held);
    assert!(locks.is_empty());
    assert_eq!(format!("{locks:?}"), "KeyedMutex { keys: 0 }");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_on_two_threads() {
    let locks = Arc::new(KeyedMutex::new());
    let inside: Arc<[AtomicBool; 3]> = Arc::new(Default::default());
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let (locks, inside) = (locks.clone(), inside.clone());
            tokio::spawn(async move {
                for round in 0..300 {
                    let key = (n + round) % 3;
                    let guard = locks.lock(key).await;
                    assert!(!inside[key].swap(true, SeqCst), "two hold {key}");
                    tokio::task::yield_now().await;
                    inside[key].store(false, SeqCst);
                    drop(guard);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(locks.is_empty());
}

#[test]
fn an_owned_key_that_was_handed_over_and_not_looked_at_goes_on() {
    let locks = Arc::new(KeyedMutex::new());
    let held = locks.try_lock_owned("k").unwrap();
    assert!(locks.try_lock_owned("k").is_none());
    let [mut a, mut b] = [(); 2].map(|()| task::spawn(locks.lock_owned("k")));
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    drop(locks.lock_owned("never polled"));
    drop(held);
    assert!(a.is_woken() && !b.is_woken());
    drop(a);
    let b = assert_ready!(b.poll());
    assert_eq!((*b.key(), locks.len()), ("k", 1));
    assert_eq!(format!("{b:?}"), r#"OwnedKeyedGuard("k")"#);
    drop(b);
    assert!(locks.is_empty());
}

#[test]
fn what_is_owned_keeps_its_mutex() {
    let locks = Arc::new(KeyedMutex::new());
    let alive = Arc::downgrade(&locks);
    let held = locks.try_lock_owned(1).unwrap();
    let mut wait = task::spawn(locks.lock_owned(1));
    drop(locks);
    assert_pending!(wait.poll());
    drop(held);
    let held = assert_ready!(wait.poll());
    drop(wait);
    assert_eq!(alive.upgrade().unwrap().len(), 1);
    drop(held);
    assert!(alive.upgrade().is_none());
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Borrowed,
    Owned,
}

/// A guard of either kind: they stand in one line.
enum Guard<'a> {
    Borrowed(KeyedGuard<'a, u8>),
    Owned(OwnedKeyedGuard<u8>),
}

impl Guard<'_> {
    fn key(&self) -> u8 {
        match self {
            Self::Borrowed(guard) => *guard.key(),
            Self::Owned(guard) => *guard.key(),
        }
    }
}

fn lock(locks: &Arc<KeyedMutex<u8>>, key: u8, kind: Kind) -> LocalBoxFuture<'_, Guard<'_>> {
    match kind {
        Kind::Borrowed => locks.lock(key).map(Guard::Borrowed).boxed_local(),
        Kind::Owned => locks.lock_owned(key).map(Guard::Owned).boxed_local(),
    }
}

fn try_lock(locks: &Arc<KeyedMutex<u8>>, key: u8, kind: Kind) -> Option<Guard<'_>> {
    match kind {
        Kind::Borrowed => locks.try_lock(key).map(Guard::Borrowed),
        Kind::Owned => locks.try_lock_owned(key).map(Guard::Owned),
    }
}

#[derive(Clone, Debug)]
enum Op {
    Lock(u8, Kind),
    Try(u8, Kind),
    Poll(usize),
    GiveUp(usize),
    Unlock(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let kind = || prop_oneof![Just(Kind::Borrowed), Just(Kind::Owned)];
    let op = prop_oneof![
        3 => (0..3_u8, kind()).prop_map(|(key, kind)| Op::Lock(key, kind)),
        1 => (0..3_u8, kind()).prop_map(|(key, kind)| Op::Try(key, kind)),
        3 => any::<usize>().prop_map(Op::Poll),
        2 => any::<usize>().prop_map(Op::GiveUp),
        2 => any::<usize>().prop_map(Op::Unlock),
    ];
    proptest::collection::vec(op, 1..80)
}

proptest! {
    /// A line per key: its head holds the key, whether it has looked or not.
    #[test]
    fn it_does_what_a_line_per_key_does(ops in ops()) {
        let locks = Arc::new(KeyedMutex::new());
        let mut lines: HashMap<u8, Vec<usize>> = HashMap::new();
        let mut waits: Vec<(usize, u8, Spawn<LocalBoxFuture<'_, Guard<'_>>>)> = Vec::new();
        let mut guards: Vec<(usize, Guard<'_>)> = Vec::new();
        for (id, op) in ops.into_iter().enumerate() {
            match op {
                Op::Lock(key, kind) => {
                    let mut wait = task::spawn(lock(&locks, key, kind));
                    let line = lines.entry(key).or_default();
                    line.push(id);
                    match wait.poll() {
                        std::task::Poll::Ready(guard) => {
                            prop_assert_eq!(line.len(), 1);
                            guards.push((id, guard));
                        }
                        std::task::Poll::Pending => {
                            prop_assert!(line.len() > 1);
                            waits.push((id, key, wait));
                        }
                    }
                }
                Op::Try(key, kind) => {
                    let line = lines.entry(key).or_default();
                    let guard = try_lock(&locks, key, kind);
                    prop_assert_eq!(guard.is_some(), line.is_empty());
                    if let Some(guard) = guard {
                        line.push(id);
                        guards.push((id, guard));
                    }
                }
                Op::Poll(at) if !waits.is_empty() => {
                    let at = at % waits.len();
                    let (id, key, wait) = &mut waits[at];
                    let is_head = lines[key][0] == *id;
                    match wait.poll() {
                        std::task::Poll::Ready(guard) => {
                            prop_assert!(is_head);
                            guards.push((*id, guard));
                            drop(waits.swap_remove(at));
                        }
                        std::task::Poll::Pending => prop_assert!(!is_head),
                    }
                }
                Op::GiveUp(at) if !waits.is_empty() => {
                    let (id, key, wait) = waits.swap_remove(at % waits.len());
                    drop(wait);
                    lines.get_mut(&key).unwrap().retain(|other| *other != id);
                }
                Op::Unlock(at) if !guards.is_empty() => {
                    let (id, guard) = guards.swap_remove(at % guards.len());
                    let line = lines.get_mut(&guard.key()).unwrap();
                    prop_assert_eq!(line.remove(0), id);
                    drop(guard);
                }
                Op::Poll(_) | Op::GiveUp(_) | Op::Unlock(_) => {}
            }
            lines.retain(|_, line| !line.is_empty());
            prop_assert_eq!(locks.len(), lines.len());
        }
    }
}
