//! A counting semaphore as the state, and wakers that do as told.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use shibuya_waitlist::{Serve, Wait, WaitList};
use tokio_test::task::{Spawn, spawn};

pub(crate) type Semaphore = WaitList<Permits>;
pub(crate) type Waiter<'a> = Spawn<Wait<&'a Semaphore>>;

/// Permits that are free.
#[derive(Debug, PartialEq)]
pub(crate) struct Permits(pub(crate) usize);

impl Serve for Permits {
    type Request = usize;
    type Grant = usize;

    fn try_serve(&mut self, n: &mut usize) -> Option<usize> {
        self.0 = self.0.checked_sub(*n)?;
        Some(*n)
    }

    fn take_back(&mut self, n: usize) {
        self.0 += n;
    }
}

pub(crate) fn semaphore(permits: usize) -> Semaphore {
    WaitList::new(Permits(permits))
}

pub(crate) fn release(list: &Semaphore, n: usize) {
    list.lock().0 += n;
}

/// Whether somebody holds the lock, this thread included: for foreign code to ask instead of hanging.
pub(crate) fn is_locked<S: Serve>(list: &WaitList<S>) -> bool {
    format!("{list:?}").contains("locked")
}

/// A waiter that was polled once and found to wait.
pub(crate) fn waiting(list: &Semaphore, n: usize) -> Waiter<'_> {
    let mut waiter = spawn(list.wait(n));
    assert!(waiter.poll().is_pending());
    waiter
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A waker that runs a closure each time it is woken, and can own something that is dropped with it.
pub(crate) fn waker(on_wake: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Calls(on_wake)))
}

struct Calls<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// What happened, in order, told by wakers.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<usize>>>);

impl Journal {
    pub(crate) fn waker(&self, entry: usize) -> Waker {
        let journal = self.clone();
        waker(move || journal.0.lock().unwrap().push(entry))
    }

    pub(crate) fn entries(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}
