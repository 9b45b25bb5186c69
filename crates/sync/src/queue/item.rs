use std::fmt;
use std::ops::{Deref, DerefMut};

use super::{Closed, Queue};

/// An item that was taken from a [`Queue`] and is being worked on. It derefs to the value.
///
/// Its drop says that it is done, also when its holder panics or is cancelled: so it is done once, and
/// [`join`](Queue::join) can neither miss it nor wait for it in vain. The value is dropped before.
///
/// So `let _ = queue.get().await` is done at once, where `let _item` is done at the end of its block.
///
/// A failure is done, too, unless the item is put back by [`requeue`](Self::requeue). So where work may be tried again, don't
/// use `?` while you hold one: decide first.
///
/// # Examples
///
/// ```
/// use shibuya_sync::queue::Queue;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let queue = Queue::bounded(10);
/// queue.put("a").await.unwrap();
///
/// let item = queue.get().await.unwrap();
/// assert_eq!((item.len(), queue.stats().in_hand), (1, 1));
/// drop(item); // done
/// queue.join().await.unwrap();
/// # }
/// ```
///
/// A worker that tries again:
///
/// ```
/// use shibuya_sync::queue::{Closed, Queue};
///
/// struct Mail {
///     to: &'static str,
///     tries: u32,
/// }
///
/// async fn send(mail: &Mail) -> Result<(), &'static str> {
///     if mail.tries < 3 { Err("come later") } else { Ok(()) }
/// }
///
/// async fn work(mails: Queue<Mail>) -> Vec<Mail> {
///     let mut unsent = Vec::new();
///     while let Ok(mut mail) = mails.get().await {
///         mail.tries += 1;
///         match send(&mail).await {
///             Ok(()) => drop(mail), // done
///             Err(_) if mail.tries < 5 => {
///                 // The queue refuses it only after a `shutdown_now`.
///                 if let Err(Closed(mail)) = mail.requeue() {
///                     unsent.push(mail);
///                 }
///             }
///             Err(error) => {
///                 eprintln!("{}: {error}", mail.to);
///                 unsent.push(mail.into_inner()); // done
///             }
///         }
///     }
///     unsent
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mails = Queue::bounded(10);
/// let worker = tokio::spawn(work(mails.clone()));
/// mails.put(Mail { to: "anna", tries: 0 }).await.unwrap();
/// mails.join().await.unwrap();
/// mails.shutdown();
/// assert!(worker.await.unwrap().is_empty());
/// # }
/// ```
#[must_use = "an item is done when it is dropped"]
pub struct Item<T> {
    // In this order: who joins must not go on while the value is still being dropped.
    value: T,
    task: Task<T>,
}

/// The part of an item that is counted.
struct Task<T> {
    /// `None` once it is counted off.
    queue: Option<Queue<T>>,
}

impl<T> Item<T> {
    pub(crate) fn new(value: T, queue: Queue<T>) -> Self {
        let queue = Some(queue);
        Self {
            value,
            task: Task { queue },
        }
    }

    /// The value. The item is done.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Puts the value back to be taken again, by whoever comes. It takes its place in the order as one that is put now:
    /// in a FIFO queue, the last.
    ///
    /// It never waits: if others filled the queue meanwhile, it holds more than its capacity for a while. So a worker that
    /// is to try again later can't be stuck in a queue that it should empty.
    ///
    /// After a [`shutdown`](Queue::shutdown), other workers may have left already, since they saw nothing in the queue. Where
    /// items are put back, [`join`](Queue::join) first and shut down then.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the value if the queue was [shut down at once](Queue::shutdown_now). After a mere
    /// [`shutdown`](Queue::shutdown) it is put back: it was in before.
    pub fn requeue(mut self) -> Result<(), Closed<T>> {
        // May panic, and the item is done then: so before the queue is taken out.
        let rank = self.queue().rank(&self.value);
        let queue = self.task.queue.take().expect(IN_HAND);
        queue.put_back(self.value, rank)
    }

    fn queue(&self) -> &Queue<T> {
        self.task.queue.as_ref().expect(IN_HAND)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.done();
        }
    }
}

const IN_HAND: &str = "an item is counted until it is dropped or put back";

impl<T> Deref for Item<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Item<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.value).finish()
    }
}
