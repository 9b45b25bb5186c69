use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use crate::clock::Timestamp;

pin_project! {
    /// A timer that costs nothing until somebody really waits on it.
    #[derive(Debug)]
    pub struct Timer {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Timer {
    /// Not armed.
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready once `at` has come; armed by the first call.
    pub fn poll(self: Pin<&mut Self>, at: Timestamp, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.project().sleep;
        if sleep.is_none() {
            let Some(at) = at.to_instant() else {
                return Poll::Pending;
            };
            #[cfg(test)]
            armed::count();
            sleep.set(Some(sleep_until(at)));
        }
        let sleep = sleep.as_mut().as_pin_mut().expect("armed above");
        // Tokio sleeps to the millisecond and rounds up, so its word counts, not the clock's.
        sleep.poll(cx)
    }

    /// Stops waiting for the old time; the next poll arms the timer anew.
    pub fn disarm(self: Pin<&mut Self>) {
        self.project().sleep.set(None);
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// How many timers this thread armed, for the tests that promise few.
#[cfg(test)]
pub(crate) mod armed {
    use std::cell::Cell;

    thread_local!(static ARMED: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() {
        ARMED.set(ARMED.get() + 1);
    }

    pub(crate) fn so_far() -> usize {
        ARMED.get()
    }
}
