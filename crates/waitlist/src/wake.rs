use std::any::Any;
use std::array;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// How many waiters are served per lock, and then woken.
const BATCH: usize = 32;

/// Wakers taken out under the lock, to be called after it. On the stack, so that serving never allocates.
pub(crate) struct WakeBatch {
    first: Option<Waker>,
    /// Apart, since most unlocks serve one waiter at most and need not clear all this.
    rest: Option<[Option<Waker>; BATCH - 1]>,
    len: usize,
    /// The first panic of a waker, passed on once everybody is woken.
    panic: Option<Box<dyn Any + Send>>,
}

impl WakeBatch {
    pub(crate) const fn new(first: Waker) -> Self {
        Self {
            first: Some(first),
            rest: None,
            len: 1,
            panic: None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == BATCH
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        if self.len == 0 {
            self.first = Some(waker);
        } else {
            let rest = self.rest.get_or_insert_with(|| array::from_fn(|_| None));
            rest[self.len - 1] = Some(waker);
        }
        self.len += 1;
    }

    /// Wakes in the order of `push`. The list's lock must be free: a waker may run anything.
    pub(crate) fn wake_all(&mut self) {
        let rest = self.rest.as_mut().into_iter().flatten();
        let wakers = iter::once(&mut self.first).chain(rest);
        for waker in wakers.take(self.len).filter_map(Option::take) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                self.panic.get_or_insert(panic);
            }
        }
        self.len = 0;
    }

    /// Goes on with the panic of a waker, if one panicked.
    pub(crate) fn finish(mut self) {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }
}

// Serving panicked half way: those who were served before are woken all the same.
impl Drop for WakeBatch {
    fn drop(&mut self) {
        self.wake_all();
    }
}
