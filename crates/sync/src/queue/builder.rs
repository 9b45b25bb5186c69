use std::fmt;
use std::time::Duration;

use super::handle::queue;
use super::order::{Aging, Line};
use super::{BuildError, Queue};

/// Builds a [`Queue`], from [`Queue::builder`]. Unless told otherwise it is first in, first out, without a bound.
///
/// # Examples
///
/// ```
/// use std::cmp::Reverse;
///
/// use shibuya_sync::Queue;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let queue = Queue::builder().capacity(100).priority().build();
/// for job in [(2, "second"), (1, "first"), (2, "a little")] {
///     queue.put(job).await.unwrap();
/// }
/// assert_eq!(queue.pop().await, Ok((1, "first")));
/// assert_eq!(queue.pop().await, Ok((2, "a little"))); // tuples compare all their parts
///
/// let greatest_first = Queue::builder().priority().build();
/// for n in [1, 3, 2] {
///     greatest_first.put(Reverse(n)).await.unwrap();
/// }
/// assert_eq!(greatest_first.pop().await, Ok(Reverse(3)));
/// # }
/// ```
#[must_use = "it builds nothing until `build`"]
pub struct Builder<T> {
    capacity: Option<usize>,
    line: Line<T>,
    aging: Option<Aging<T>>,
}

impl<T> Builder<T> {
    pub(crate) fn new() -> Self {
        Self {
            capacity: None,
            line: Line::fifo(),
            aging: None,
        }
    }

    /// How many items may lie in the queue; who puts more waits. Items in hand don't count.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// First in, first out.
    pub fn fifo(self) -> Self {
        self.order(Line::fifo(), None)
    }

    /// Last in, first out: a stack.
    pub fn lifo(self) -> Self {
        self.order(Line::lifo(), None)
    }

    /// The least first, and of equal ones the one that came first. [`std::cmp::Reverse`] around the values gives the
    /// greatest first.
    ///
    /// A derived `Ord` compares all fields, one after the other: of two jobs that are equally urgent, the next field tells,
    /// and not who came first. By a part of them [`priority_by_key`](Self::priority_by_key) compares.
    ///
    /// A stream of small values keeps great ones waiting for ever; [`aging`](Self::aging) doesn't.
    ///
    /// The values are compared under the queue's lock: their `Ord` must be short and must not use the queue. If it panics
    /// the queue goes on, but what is in it may come out of order, and the value that was on its way out is dropped, under
    /// the lock, too. A panic that meets a task that takes an item may be that of a value for which it made room.
    pub fn priority(self) -> Self
    where
        T: Ord + Send + 'static,
    {
        self.order(Line::least(), None)
    }

    /// The least key first, and of equal ones the value that came first. [`std::cmp::Reverse`] around the keys gives the
    /// greatest first.
    ///
    /// `key` is asked whenever two values are compared, under the queue's lock: let it be short, as `|job| job.urgency` is.
    /// What [`priority`](Self::priority) says of `Ord` holds for it, too.
    ///
    /// # Examples
    ///
    /// The most urgent first:
    ///
    /// ```
    /// use std::cmp::Reverse;
    ///
    /// use shibuya_sync::Queue;
    ///
    /// struct Job {
    ///     name: &'static str,
    ///     urgency: u8,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let jobs = Queue::builder()
    ///     .priority_by_key(|job: &Job| Reverse(job.urgency))
    ///     .build();
    /// for (name, urgency) in [("tidy up", 1), ("put out the fire", 9), ("dust", 1)] {
    ///     jobs.put(Job { name, urgency }).await.unwrap();
    /// }
    /// assert_eq!(jobs.pop().await.unwrap().name, "put out the fire");
    /// assert_eq!(jobs.pop().await.unwrap().name, "tidy up"); // as urgent as dust, and came first
    /// # }
    /// ```
    pub fn priority_by_key<K: Ord>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self
    where
        T: Send + 'static,
    {
        self.order(Line::least_key(key), None)
    }

    /// By level, 0 first, where waiting counts: a value of level n is served as if it had come n × `step` later than it
    /// did. So it passes those of greater levels, but none that waits for that long.
    ///
    /// `level` is asked when a value is put, in the task that puts it.
    ///
    /// # Examples
    ///
    /// Those who pay are half a minute ahead of those who don't:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_sync::Queue;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let jobs = Queue::builder()
    ///     .aging(Duration::from_secs(30), |&(_, pays)| if pays { 0 } else { 1 })
    ///     .build();
    /// jobs.put(("anna", false)).await.unwrap();
    /// jobs.put(("ben", true)).await.unwrap();
    /// assert_eq!(jobs.pop().await, Ok(("ben", true)));
    /// # }
    /// ```
    pub fn aging(self, step: Duration, level: impl Fn(&T) -> u32 + Send + Sync + 'static) -> Self {
        self.order(Line::ranked(), Some(Aging::new(step, level)))
    }

    /// The queue.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) would fail.
    #[track_caller]
    pub fn build(self) -> Queue<T> {
        match self.try_build() {
            Ok(queue) => queue,
            Err(error) => panic!("{error}"),
        }
    }

    /// The queue, if it can be one: for values that come from a configuration.
    ///
    /// # Errors
    ///
    /// A capacity of 0, or a step of zero.
    pub fn try_build(self) -> Result<Queue<T>, BuildError> {
        if self.capacity == Some(0) {
            return Err(BuildError::NoCapacity);
        }
        if self
            .aging
            .as_ref()
            .is_some_and(|aging| aging.step().is_zero())
        {
            return Err(BuildError::NoStep);
        }
        let capacity = self.capacity.unwrap_or(usize::MAX);
        Ok(queue(self.line, capacity, self.aging))
    }

    fn order(mut self, line: Line<T>, aging: Option<Aging<T>>) -> Self {
        (self.line, self.aging) = (line, aging);
        self
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("order", &self.line)
            .finish()
    }
}
