//! The clean-ups of a group that are still to run: the last registered is the next.

use shibuya_waitlist::primitives::Mutex;

pub(crate) struct Stack<C>(Mutex<State<C>>);

struct State<C> {
    cleanups: Vec<C>,
    /// Nobody will run any more.
    is_closed: bool,
}

/// What the end of a group has to wait for.
pub(crate) enum Next<C> {
    /// Tasks, or the clean-up that runs.
    Tasks,
    /// Nothing but this one.
    Cleanup(C),
    /// Nothing at all: the group is closed.
    Nothing,
}

// What these give back is to be dropped outside of the lock: it is the user's.
impl<C> Stack<C> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            cleanups: Vec::new(),
            is_closed: false,
        }))
    }

    /// Takes a clean-up in, or gives it back where nobody will run it.
    pub(crate) fn push(&self, cleanup: C) -> Result<(), C> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(cleanup);
        }
        state.cleanups.push(cleanup);
        Ok(())
    }

    /// Looks at one that is still to run, or changes it.
    pub(crate) fn find<R>(
        &self,
        is_it: impl Fn(&C) -> bool,
        then: impl FnOnce(&mut C) -> R,
    ) -> Option<R> {
        let mut state = self.0.lock();
        state.cleanups.iter_mut().find(|it| is_it(it)).map(then)
    }

    pub(crate) fn remove(&self, is_it: impl Fn(&C) -> bool) -> Option<C> {
        let mut state = self.0.lock();
        let at = state.cleanups.iter().position(is_it)?;
        Some(state.cleanups.remove(at))
    }

    /// The next to run. If there is none, closes the stack together with the group, so that no
    /// clean-up is registered between the two; `close_group` says whether that could be closed.
    pub(crate) fn next_or_close(&self, close_group: impl FnOnce() -> bool) -> Next<C> {
        let mut state = self.0.lock();
        if let Some(cleanup) = state.cleanups.pop() {
            return Next::Cleanup(cleanup);
        }
        if !close_group() {
            return Next::Tasks;
        }
        state.is_closed = true;
        Next::Nothing
    }

    /// Closes the stack if it is empty. Gives whether it is.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut state = self.0.lock();
        state.is_closed = state.cleanups.is_empty();
        state.is_closed
    }

    /// Closes the stack, and gives what will not run.
    pub(crate) fn close(&self) -> Vec<C> {
        let mut state = self.0.lock();
        state.is_closed = true;
        std::mem::take(&mut state.cleanups)
    }
}
