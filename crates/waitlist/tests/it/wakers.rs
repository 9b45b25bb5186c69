//! Which waker is called, and that foreign code runs with the lock free.

use std::sync::Arc;
use std::task::Waker;

use shibuya_waitlist::{Serve, Wait, WaitList};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use crate::support::{Journal, Permits, Semaphore, is_locked, poll, release, semaphore, waker};

#[test]
fn the_waker_of_the_last_poll_is_called_once() {
    let list = semaphore(0);
    let journal = Journal::default();
    let mut waiter = list.wait(1);
    assert_pending!(poll(&mut waiter, &journal.waker(1)));
    assert_pending!(poll(&mut waiter, &journal.waker(2)));
    let last = journal.waker(3);
    assert_pending!(poll(&mut waiter, &last));
    assert_pending!(poll(&mut waiter, &last));

    release(&list, 1);
    release(&list, 1);
    assert_eq!(journal.entries(), [3]);
    assert_ready_eq!(poll(&mut waiter, &journal.waker(4)), Ok(1));
}

#[test]
fn a_waiter_that_left_is_not_woken() {
    let list = semaphore(0);
    let journal = Journal::default();
    let mut waiter = list.wait(1);
    assert_pending!(poll(&mut waiter, &journal.waker(1)));
    drop(waiter);
    release(&list, 1);
    assert_eq!(journal.entries(), []);
}

#[test]
fn a_waker_may_use_the_list() {
    let list = Arc::new(semaphore(0));
    let (again, journal) = (Arc::clone(&list), Journal::default());
    let mut first = list.wait(1);
    let mut second = list.wait(2);
    assert_pending!(poll(
        &mut first,
        &waker(move || {
            assert!(!is_locked(&again), "a waker was called under the lock");
            release(&again, 2); // serves the second while the first is being woken
        })
    ));
    assert_pending!(poll(&mut second, &journal.waker(2)));

    release(&list, 1);
    assert_eq!(journal.entries(), [2]);
    assert_ready_eq!(poll(&mut second, Waker::noop()), Ok(2));
}

/// A waker that owns a task, whose end is the end of another wait on the same list.
fn waker_that_owns_a_waiter(list: &Arc<Semaphore>) -> Waker {
    struct Task(Option<Wait<Arc<Semaphore>>>, Arc<Semaphore>);

    impl Drop for Task {
        fn drop(&mut self) {
            let wait = self.0.take();
            if is_locked(&self.1) {
                std::mem::forget(wait); // so that the test fails and doesn't hang
                panic!("a waker was dropped under the lock");
            }
            drop(wait);
            release(&self.1, 1);
        }
    }

    let mut wait = Wait::new(Arc::clone(list), 1);
    assert_pending!(poll(&mut wait, Waker::noop()));
    let task = Task(Some(wait), Arc::clone(list));
    waker(move || _ = &task)
}

#[test]
fn a_replaced_waker_is_dropped_with_the_lock_free() {
    let list = Arc::new(semaphore(0));
    let mut waiter = list.wait(3);
    assert_pending!(poll(&mut waiter, &waker_that_owns_a_waiter(&list)));
    assert_eq!(list.len(), 2);
    assert_pending!(poll(&mut waiter, Waker::noop()));
    assert_eq!(list.len(), 1);
    assert_eq!(list.lock().0, 1);
}

#[test]
fn a_removed_waker_is_dropped_with_the_lock_free() {
    let list = Arc::new(semaphore(0));
    let mut waiter = list.wait(3);
    assert_pending!(poll(&mut waiter, &waker_that_owns_a_waiter(&list)));
    drop(waiter);
    assert!(list.is_empty());
    assert_eq!(list.lock().0, 1);
}

#[test]
fn a_called_waker_is_dropped_with_the_lock_free() {
    let list = Arc::new(semaphore(0));
    let mut waiter = list.wait(3);
    assert_pending!(poll(&mut waiter, &waker_that_owns_a_waiter(&list)));
    list.close();
    assert!(list.is_empty());
    assert_ready!(poll(&mut waiter, Waker::noop())).unwrap_err();
}

/// Asks for a number of permits, and looks at the lock when it is dropped.
struct Careful(usize, Arc<WaitList<CarefulPermits>>);

struct CarefulPermits(Permits);

impl Drop for Careful {
    fn drop(&mut self) {
        assert!(!is_locked(&self.1), "a request was dropped under the lock");
    }
}

impl Serve for CarefulPermits {
    type Request = Careful;
    type Grant = usize;

    fn try_serve(&mut self, request: &mut Careful) -> Option<usize> {
        self.0.try_serve(&mut request.0)
    }

    fn take_back(&mut self, n: usize) {
        self.0.take_back(n);
    }
}

#[test]
fn requests_are_dropped_with_the_lock_free() {
    let list = Arc::new(WaitList::new(CarefulPermits(Permits(1))));
    let wait = || list.wait(Careful(1, Arc::clone(&list)));

    let at_once = &mut wait();
    assert_ready!(poll(at_once, Waker::noop())).unwrap();
    drop(list.try_acquire(Careful(1, Arc::clone(&list))).unwrap_err());

    let [mut served, mut unseen, mut waiting, mut refused] = [wait(), wait(), wait(), wait()];
    for waiter in [&mut served, &mut unseen, &mut waiting, &mut refused] {
        assert_pending!(poll(waiter, Waker::noop()));
    }
    list.lock().0.0 += 2;
    assert_ready!(poll(&mut served, Waker::noop())).unwrap();
    drop(waiting);
    list.close();
    drop(unseen);
    assert_ready!(poll(&mut refused, Waker::noop())).unwrap_err();
    drop(wait());
}
