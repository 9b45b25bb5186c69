//! No panic of foreign code wedges the list.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use shibuya_waitlist::{Serve, Wait, WaitList};
use tokio_test::{assert_pending, assert_ready_eq, task::spawn};

use crate::support::{Journal, is_locked, poll, release, semaphore, waiting, waker};

/// The payload of the panic, which must come.
fn caught<T>(f: impl FnOnce() -> T) -> &'static str {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it didn't panic")
    };
    panic
        .downcast_ref::<&str>()
        .copied()
        .expect("a panic of this test")
}

/// Permits, and a request that can't be served without a panic while `armed`.
#[derive(Default)]
struct Mined {
    permits: usize,
    armed: bool,
    take_back_panics: bool,
}

const MINE: usize = 13;

impl Serve for Mined {
    type Request = usize;
    type Grant = usize;

    fn try_serve(&mut self, n: &mut usize) -> Option<usize> {
        if self.armed && *n == MINE {
            panic_any("mine");
        }
        self.permits = self.permits.checked_sub(1)?;
        Some(*n)
    }

    fn take_back(&mut self, _: usize) {
        self.permits += 1;
        if self.take_back_panics {
            panic_any("take_back");
        }
    }
}

type MinedWait<'a> = tokio_test::task::Spawn<Wait<&'a WaitList<Mined>>>;

fn mined_waiters<const N: usize>(
    list: &WaitList<Mined>,
    requests: [usize; N],
) -> [MinedWait<'_>; N] {
    requests.map(|n| {
        let mut waiter = spawn(list.wait(n));
        assert_pending!(waiter.poll());
        waiter
    })
}

#[test]
fn try_serve_panics_in_an_unlock() {
    let list = WaitList::new(Mined::default());
    let [mut before, mut mine, mut after] = mined_waiters(&list, [1, MINE, 2]);

    let release = |armed| {
        let mut state = list.lock();
        state.permits += 3;
        state.armed = armed;
    };
    assert_eq!(caught(|| release(true)), "mine");
    assert!(before.is_woken(), "served before the panic, so woken");
    assert_ready_eq!(before.poll(), Ok(1));
    assert!(!mine.is_woken() && !after.is_woken());
    assert_eq!(list.len(), 2, "it keeps its place");

    release(false);
    assert_ready_eq!(mine.poll(), Ok(MINE));
    assert_ready_eq!(after.poll(), Ok(2));
}

#[test]
fn try_serve_panics_and_those_before_are_woken_with_the_lock_free() {
    let list = Arc::new(WaitList::new(Mined::default()));
    let locked = Arc::new(OnceLock::new());
    let (looks, answer) = (Arc::clone(&list), Arc::clone(&locked));
    let mut before = list.wait(1);
    let waker = waker(move || answer.set(is_locked(&looks)).unwrap());
    assert_pending!(poll(&mut before, &waker));
    let _mine = mined_waiters(&list, [MINE]);

    let release = || {
        let mut state = list.lock();
        state.permits += 2;
        state.armed = true;
    };
    assert_eq!(caught(release), "mine");
    assert_eq!(locked.get(), Some(&false));
}

#[test]
fn try_serve_panics_in_a_first_poll() {
    let list = WaitList::new(Mined {
        permits: 1,
        armed: true,
        ..Mined::default()
    });
    let mut waiter = list.wait(MINE);
    assert_eq!(caught(|| poll(&mut waiter, Waker::noop())), "mine");
    assert!(list.is_empty());
    list.lock().armed = false;
    assert_ready_eq!(poll(&mut waiter, Waker::noop()), Ok(MINE));
}

#[test]
fn take_back_panics() {
    let list = WaitList::new(Mined {
        take_back_panics: true,
        ..Mined::default()
    });
    let [unseen, mut next] = mined_waiters(&list, [1, 2]);
    list.lock().permits = 1;
    assert_eq!(caught(|| drop(unseen)), "take_back");
    assert!(
        next.is_woken(),
        "what was taken back before the panic goes on"
    );
    assert_ready_eq!(next.poll(), Ok(2));
}

#[test]
fn a_waker_panics() {
    let list = semaphore(0);
    let journal = Journal::default();
    let mut waiters: Vec<_> = (0..100).map(|_| list.wait(1)).collect();
    for (i, waiter) in waiters.iter_mut().enumerate() {
        let waker = match i {
            3 => waker(|| panic_any("first")),
            4 | 50 => waker(|| panic_any("later")),
            _ => journal.waker(i),
        };
        assert_pending!(poll(waiter, &waker));
    }

    assert_eq!(caught(|| release(&list, 100)), "first");
    assert_eq!(
        journal.entries().len(),
        97,
        "all others are woken, in this batch and the next ones"
    );
    for waiter in &mut waiters {
        assert_ready_eq!(poll(waiter, Waker::noop()), Ok(1));
    }
}

#[test]
fn what_was_released_before_a_panic_reaches_the_waiters() {
    let list = semaphore(0);
    let mut waiter = waiting(&list, 1);
    let holder = || {
        let mut state = list.lock();
        state.0 += 1;
        panic_any("holder");
    };
    assert_eq!(caught(holder), "holder");
    assert!(waiter.is_woken());
    assert_ready_eq!(waiter.poll(), Ok(1));
    assert_eq!(list.lock().0, 0, "the lock ignores poison");
}

#[test]
fn a_second_panic_while_unwinding_does_not_abort() {
    let list = WaitList::new(Mined::default());
    let [mut waiter] = mined_waiters(&list, [MINE]);
    let holder = || {
        let mut state = list.lock();
        state.permits = 1;
        state.armed = true;
        panic_any("holder");
    };
    assert_eq!(caught(holder), "holder");
    list.lock().armed = false;
    assert_ready_eq!(waiter.poll(), Ok(MINE));
}

#[test]
#[should_panic(expected = "`Wait` polled after it completed")]
fn polled_after_it_completed() {
    let list = semaphore(1);
    let mut waiter = list.wait(1);
    assert_ready_eq!(poll(&mut waiter, Waker::noop()), Ok(1));
    let _ = poll(&mut waiter, Waker::noop());
}
