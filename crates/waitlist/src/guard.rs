use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::Serve;
use crate::list::{Core, WaitList, assert_lane};
use crate::primitives::MutexGuard;

/// The locked state of a [`WaitList`], from [`WaitList::lock`].
///
/// Dropping it serves the waiters from the head of each lane for as long as [`Serve::try_serve`] succeeds, unlocks the list,
/// and wakes those who were served; 32 at a time, so that the lock is never held for long. It does so while unwinding too: what was
/// released before a panic reaches those who wait for it.
///
/// Whoever takes from the state with its own hands, past [`WaitList::try_acquire`], asks [`waiting`](Self::waiting) first. What
/// is there may be for those who wait: between two batches the list is unlocked and they are still to be served.
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
        for lane in 0..S::LANES {
            this.core().close(lane);
        }
    }

    /// Closes one lane: who waits in it, or comes to it later, is refused and gets the request back. The others stay open.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[track_caller]
    pub fn close_lane(this: &mut Self, lane: usize) {
        assert_lane::<S>(lane);
        this.core().close(lane);
    }

    /// How many wait in one lane now. Those who were served and haven't looked yet don't count.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[track_caller]
    pub fn waiting(this: &Self, lane: usize) -> usize {
        assert_lane::<S>(lane);
        this.core.as_ref().expect(LOCKED).waiting_in(lane)
    }

    pub(crate) fn core(&mut self) -> &mut Core<S> {
        self.core.as_mut().expect(LOCKED)
    }
}

const LOCKED: &str = "a guard holds the lock until it is dropped";

impl<S: Serve> Deref for Guard<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.core.as_ref().expect(LOCKED).state
    }
}

impl<S: Serve> DerefMut for Guard<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        &mut self.core().state
    }
}

impl<S: Serve> Drop for Guard<'_, S> {
    #[inline]
    fn drop(&mut self) {
        let core = self.core.take().expect(LOCKED);
        if core.waiting() > 0 {
            serve(self.list, core);
        }
    }
}

fn serve<S: Serve>(list: &WaitList<S>, core: MutexGuard<'_, Core<S>>) {
    if thread::panicking() {
        // The hook has reported it already; there is nothing to do with the payload.
        let _ = catch_unwind(AssertUnwindSafe(|| list.serve(core)));
    } else {
        list.serve(core);
    }
}

impl<S: Serve + fmt::Debug> fmt::Debug for Guard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
