use std::collections::VecDeque;
use std::fmt;
use std::mem::{swap, take};
use std::task::{Context, Poll, Waker};

use shibuya_waitlist::primitives::Mutex;

/// What has come from many tasks to the one who waits for it, in the order in which it came.
///
/// The reader takes the whole list at a time, and is woken once for as many as it wants: so each costs
/// the same, however many come.
pub struct Arrivals<T>(Mutex<State<T>>);

struct State<T> {
    come: VecDeque<T>,
    /// How many the reader waits for.
    wanted: usize,
    reader: Option<Waker>,
    /// Nobody will read any more.
    closed: bool,
}

impl<T> fmt::Debug for Arrivals<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrivals(..)")
    }
}

impl<T> Arrivals<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            come: VecDeque::new(),
            wanted: 0,
            reader: None,
            closed: false,
        }))
    }

    /// Puts one last, and wakes the reader if that makes as many as it waits for.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.0.lock();
        if state.closed {
            drop(state); // before the item, which is the user's
            return;
        }
        state.come.push_back(item);
        let enough = state.come.len() >= state.wanted;
        let reader = if enough { state.reader.take() } else { None };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes all that came, if those are `wanted` at the least; else the one that makes them so many
    /// wakes the reader. `into` is empty.
    pub(crate) fn poll_take(
        &self,
        into: &mut VecDeque<T>,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut state = self.0.lock();
        let enough = state.come.len() >= wanted;
        let stale = if enough {
            swap(&mut state.come, into);
            state.reader.take()
        } else {
            state.wanted = wanted;
            state.reader.replace(cx.waker().clone())
        };
        drop(state);
        drop(stale);
        if enough {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Lets go of all that came and of all that will come: nobody reads any more.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let rest = (take(&mut state.come), state.reader.take());
        drop(state);
        drop(rest);
    }
}
