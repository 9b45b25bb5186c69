use std::any::Any;
use std::array;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// How many waiters are served per lock, and then woken.
const BATCH: usize = 32;

/// Wakers taken out under the lock, to be called after it. On the stack, so that serving never allocates.
pub(crate) struct WakeBatch {
    wakers: [Option<Waker>; BATCH],
    len: usize,
    /// The first panic of a waker, passed on once everybody is woken.
    panic: Option<Box<dyn Any + Send>>,
}

impl WakeBatch {
    pub(crate) fn new() -> Self {
        Self {
            wakers: array::from_fn(|_| None),
            len: 0,
            panic: None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == BATCH
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        self.wakers[self.len] = Some(waker);
        self.len += 1;
    }

    /// Wakes in the order of `push`. The list's lock must be free: a waker may run anything.
    pub(crate) fn wake_all(&mut self) {
        for waker in self.wakers[..self.len].iter_mut().filter_map(Option::take) {
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
