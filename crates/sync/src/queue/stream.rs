use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use shibuya_waitlist::Wait;
use tokio::task::coop;

use super::handle::Core;
use super::state::{Grant, Request, Then};
use super::{Item, Queue};

/// The items of a [`Queue`] as a stream, from [`Queue::stream`]. It ends when the queue is shut down and empty.
///
/// Dropping it gives up its place in line.
///
/// # Cancel safety
///
/// Dropping it, or a future of its next item, loses no item: what it was promised goes to the next who waits, once the stream
/// is dropped, or is its own at the next poll.
#[must_use = "streams do nothing unless polled"]
pub struct QueueStream<T> {
    queue: Queue<T>,
    wait: Option<Wait<Core<T>>>,
}

impl<T> QueueStream<T> {
    pub(crate) fn new(queue: Queue<T>) -> Self {
        Self { queue, wait: None }
    }
}

impl<T> Stream for QueueStream<T> {
    type Item = Item<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let budget = ready!(coop::poll_proceed(cx));
        let this = &mut *self;
        loop {
            let wait = match &mut this.wait {
                Some(wait) => wait,
                None => {
                    if let Some(item) = this.queue.take_free(Then::InHand) {
                        budget.made_progress();
                        return Poll::Ready(Some(item));
                    }
                    this.wait.insert(Wait::new(this.queue.core(), Request::Get))
                }
            };
            let grant = ready!(Pin::new(wait).poll(cx));
            this.wait = None;
            budget.made_progress();
            match grant {
                Ok(Grant::Claim) => {
                    if let Some(item) = this.queue.take_claimed(Then::InHand) {
                        return Poll::Ready(Some(item));
                    }
                }
                _ => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for QueueStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueStream")
            .field("queue", &self.queue)
            .finish()
    }
}
