//! The time limit of a step, measured in real time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Wakes the harness when a step takes too long.
///
/// A thread and not a runtime's timer: a paused clock jumps to the next timer whenever the runtime is idle, so a timer of
/// ours would end a wait for real I/O at once, and a long sleep of the code under test before its time.
#[derive(Default)]
pub(crate) struct Alarm {
    shared: Arc<Shared>,
}

/// The step didn't end in time.
#[derive(Debug)]
pub(crate) struct TimedOut;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    due: Option<(Instant, Waker)>,
    /// The thread starts with the first step that has to wait.
    started: bool,
    closed: bool,
}

impl Alarm {
    /// Runs `step` for at most `limit`. The time counts only while the step is pending: one that blocks its thread is
    /// beyond reach.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Result<T, TimedOut> {
        let due = Instant::now().checked_add(limit);
        let mut step = pin!(step);
        let result = poll_fn(|cx| {
            if let Poll::Ready(output) = step.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if let Some(due) = due {
                if Instant::now() >= due {
                    return Poll::Ready(Err(TimedOut));
                }
                self.set(due, cx.waker());
            }
            Poll::Pending
        })
        .await;
        self.shared.lock().due = None;
        result
    }

    fn set(&self, due: Instant, waker: &Waker) {
        let mut state = self.shared.lock();
        state.due = Some((due, waker.clone()));
        if state.started {
            self.shared.changed.notify_one();
        } else {
            state.started = true;
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name("testkit-alarm".to_owned())
                .spawn(move || shared.ring())
                .expect("the harness needs a thread for its time limit");
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // Not joined: a wake may drop the harness on the alarm's own thread.
        let due = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.due.take()
        };
        self.shared.changed.notify_one();
        drop(due);
    }
}

impl Shared {
    /// The thread's loop.
    fn ring(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            let left = state
                .due
                .as_ref()
                .map(|(due, _)| due.saturating_duration_since(now));
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if !left.is_zero() => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Some(_) => {
                    let due = state.due.take();
                    drop(state);
                    if let Some((_, waker)) = due {
                        waker.wake();
                    }
                    self.lock()
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
