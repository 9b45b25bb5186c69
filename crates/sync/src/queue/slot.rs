use std::fmt;

use super::{Closed, Queue};

/// Room for one value in a [`Queue`], from [`reserve`](Queue::reserve).
///
/// Dropping it gives the room to the next who waits for some. One that is kept after a [`shutdown`](Queue::shutdown) still
/// lets its value in, and those who take wait for it.
#[must_use = "the room is given up when the slot is dropped"]
pub struct Slot<T> {
    /// `None` once it is used.
    queue: Option<Queue<T>>,
}

impl<T> Slot<T> {
    pub(crate) fn new(queue: Queue<T>) -> Self {
        let queue = Some(queue);
        Self { queue }
    }

    /// Puts the value, at once.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the value, if the queue was [shut down at once](Queue::shutdown_now) since.
    pub fn put(self, value: T) -> Result<(), Closed<T>> {
        // May panic, and the room is given up then: so before the queue is taken out.
        let rank = self.queue.as_ref().expect(UNUSED).rank(&value);
        self.put_ranked(value, rank)
    }

    pub(crate) fn put_ranked(mut self, value: T, rank: u64) -> Result<(), Closed<T>> {
        let queue = self.queue.take().expect(UNUSED);
        queue.put_reserved(value, rank)
    }
}

const UNUSED: &str = "a slot is used once";

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.release();
        }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
