use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use shibuya_waitlist::Wait;
use tokio::task::coop;

use super::handle::Core;
use super::state::Request;
use super::{Closed, Queue, Slot};

/// A [`Queue`] as a sink for values, from [`Queue::sink`].
///
/// What it takes is in the queue at once: flushing has nothing to wait for. Closing it, or dropping it, gives up the room
/// that it had kept and leaves the queue as it is, for its other producers.
#[must_use = "sinks do nothing unless polled"]
pub struct QueueSink<T> {
    queue: Queue<T>,
    ready: Ready<T>,
}

enum Ready<T> {
    Not,
    Waiting(Wait<Core<T>>),
    With(Slot<T>),
}

impl<T> QueueSink<T> {
    pub(crate) fn new(queue: Queue<T>) -> Self {
        let ready = Ready::Not;
        Self { queue, ready }
    }
}

impl<T> Sink<T> for QueueSink<T> {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let this = &mut *self;
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            match &mut this.ready {
                Ready::Not => {
                    this.ready = Ready::Waiting(Wait::new(this.queue.core(), Request::Reserve));
                }
                Ready::Waiting(wait) => {
                    let granted = ready!(Pin::new(wait).poll(cx));
                    budget.made_progress();
                    if granted.is_err() {
                        this.ready = Ready::Not;
                        return Poll::Ready(Err(Closed(())));
                    }
                    this.ready = Ready::With(Slot::new(this.queue.clone()));
                }
                Ready::With(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        match std::mem::replace(&mut self.ready, Ready::Not) {
            Ready::With(slot) => slot.put(value).map_err(|Closed(_)| Closed(())),
            Ready::Not | Ready::Waiting(_) => panic!("`start_send` without `poll_ready` before it"),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.ready = Ready::Not;
        Poll::Ready(Ok(()))
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for QueueSink<T> {}

impl<T> fmt::Debug for QueueSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSink")
            .field("queue", &self.queue)
            .finish()
    }
}
