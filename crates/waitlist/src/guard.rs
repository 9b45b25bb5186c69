use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::Serve;
use crate::list::{Core, WaitList};
use crate::primitives::MutexGuard;

/// The locked state of a [`WaitList`], from [`WaitList::lock`].
///
/// Dropping it serves the waiters from the head for as long as [`Serve::try_serve`] succeeds, unlocks the list, and wakes
/// those who were served; 32 at a time, so that the lock is never held for long. It does so while unwinding too: what was
/// released before a panic reaches those who wait for it.
///
/// # Panics
///
/// The drop passes on the panic of a `try_serve`, or the first one of a waker once everybody is woken. While the thread
/// unwinds already, it swallows it instead: a second panic would abort the process.
#[must_use = "the list is unlocked, and its waiters are served, when the guard is dropped"]
pub struct Guard<'a, S: Serve> {
    list: &'a WaitList<S>,
    /// `None` only within `drop`.
    core: Option<MutexGuard<'a, Core<S>>>,
}

impl<'a, S: Serve> Guard<'a, S> {
    pub(crate) fn new(list: &'a WaitList<S>, core: MutexGuard<'a, Core<S>>) -> Self {
        Self {
            list,
            core: Some(core),
        }
    }

    /// Closes the list together with what else happens under this lock. See [`WaitList::close`].
    // An associated function, as on all smart pointers, so as not to hide a method of the state.
    pub fn close(this: &mut Self) {
        this.core().close();
    }

    pub(crate) fn core(&mut self) -> &mut Core<S> {
        self.core.as_mut().expect(LOCKED)
    }
}

const LOCKED: &str = "a guard holds the lock until it is dropped";

impl<S: Serve> Deref for Guard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.core.as_ref().expect(LOCKED).state
    }
}

impl<S: Serve> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.core().state
    }
}

impl<S: Serve> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        let core = self.core.take().expect(LOCKED);
        if core.waiting() == 0 {
            return;
        }
        if thread::panicking() {
            // The hook has reported it already; there is nothing to do with the payload.
            let _ = catch_unwind(AssertUnwindSafe(|| self.list.serve(core)));
        } else {
            self.list.serve(core);
        }
    }
}

impl<S: Serve + fmt::Debug> fmt::Debug for Guard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
