//! The wakers that the future under test is polled with.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

/// Records the wakes of one run. Every poll gets a waker of its own and only the newest one counts, as `Future::poll`
/// demands: a future that holds on to the waker of an earlier poll has lost its wake-up.
#[derive(Default)]
pub(crate) struct Wakes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest poll's number.
    poll: usize,
    /// Whether the newest poll's waker was used.
    woken: bool,
    /// How often an older poll's waker was used since the newest poll began.
    stale: usize,
    /// The task that runs the harness, while it waits for the wake.
    harness: Option<Waker>,
}

impl Wakes {
    /// The waker for the next poll; makes the earlier ones stale.
    pub(crate) fn next_waker(self: &Arc<Self>) -> Waker {
        let mut state = self.lock();
        let poll = state.poll + 1;
        *state = State {
            poll,
            ..State::default()
        };
        Waker::from(Arc::new(PollWaker {
            poll,
            wakes: Arc::clone(self),
        }))
    }

    /// Waits until the newest poll's waker is used. Yields first, so that the next poll happens, as in an executor, in a
    /// turn of its own (with a fresh budget, where the runtime counts).
    pub(crate) async fn woken(&self) {
        yield_now().await;
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.woken {
                return Poll::Ready(());
            }
            state.harness = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// How many wakes went to the waker of an earlier poll.
    pub(crate) fn stale(&self) -> usize {
        self.lock().stale
    }

    /// A foreign panic while the lock is held is impossible; don't let poisoning hide what the harness has to say.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the other tasks a turn, and the harness a new one.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct PollWaker {
    poll: usize,
    wakes: Arc<Wakes>,
}

impl Wake for PollWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.wakes.lock();
        if self.poll != state.poll {
            state.stale += 1;
            return;
        }
        state.woken = true;
        let harness = state.harness.take();
        drop(state);
        if let Some(harness) = harness {
            harness.wake();
        }
    }
}
