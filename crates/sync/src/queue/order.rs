use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The items that wait in a queue, in the order in which it gives them out.
pub(crate) struct Line<T> {
    items: Items<T>,
    /// Told without asking which kind they are. Counted before a heap is asked to compare, which may panic, and goes on then.
    len: usize,
}

enum Items<T> {
    Fifo(VecDeque<T>),
    Lifo(Vec<T>),
    /// By rank, which was given when the item came.
    Ranked(BinaryHeap<Ranked<T>>, Count),
    /// By `T`'s own order or that of its keys, which the box knows.
    Least(Box<dyn Heap<T> + Send>),
}

/// Numbers items as they come, so that equals stay in that order.
#[derive(Default)]
pub(crate) struct Count(u64);

impl Count {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Room for fewer items than this is not worth giving back.
const SHRINK_MIN: usize = 2048;

impl<T> Line<T> {
    pub(crate) fn fifo() -> Self {
        Self::of(Items::Fifo(VecDeque::new()))
    }

    pub(crate) fn lifo() -> Self {
        Self::of(Items::Lifo(Vec::new()))
    }

    pub(crate) fn ranked() -> Self {
        Self::of(Items::Ranked(BinaryHeap::new(), Count::default()))
    }

    pub(crate) fn least() -> Self
    where
        T: Ord + Send + 'static,
    {
        Self::of(Items::Least(Box::new(Least::new())))
    }

    pub(crate) fn least_key<K, F>(key: F) -> Self
    where
        T: Send + 'static,
        K: Ord,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let heap = LeastKey {
            items: Least::new(),
            key: Arc::new(key),
        };
        Self::of(Items::Least(Box::new(heap)))
    }

    fn of(items: Items<T>) -> Self {
        Self { items, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T, rank: u64) {
        self.len += 1;
        match &mut self.items {
            Items::Fifo(items) => items.push_back(value),
            Items::Lifo(items) => items.push(value),
            Items::Ranked(items, count) => items.push(Ranked {
                rank,
                number: count.next(),
                value,
            }),
            Items::Least(items) => items.push(value),
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        if self.len % (SHRINK_MIN / 8) == 0 {
            self.give_back_room();
        }
        match &mut self.items {
            Items::Fifo(items) => items.pop_front(),
            Items::Lifo(items) => items.pop(),
            Items::Ranked(items, _) => items.pop().map(|item| item.value),
            Items::Least(items) => items.pop(),
        }
    }

    /// All of it, without looking at any, from a queue into which nothing comes any more.
    pub(crate) fn take(&mut self) -> Self {
        mem::replace(self, Self::fifo())
    }

    /// After a crowd: half of the room, where seven eighths are empty. So each item pays for moving less than one other.
    fn give_back_room(&mut self) {
        let room = self.capacity();
        if room > SHRINK_MIN && self.len < room / 8 {
            let room = room / 2;
            match &mut self.items {
                Items::Fifo(items) => items.shrink_to(room),
                Items::Lifo(items) => items.shrink_to(room),
                Items::Ranked(items, _) => items.shrink_to(room),
                Items::Least(items) => items.shrink_to(room),
            }
        }
    }

    fn capacity(&self) -> usize {
        match &self.items {
            Items::Fifo(items) => items.capacity(),
            Items::Lifo(items) => items.capacity(),
            Items::Ranked(items, _) => items.capacity(),
            Items::Least(items) => items.capacity(),
        }
    }
}

impl<T> fmt::Debug for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.items {
            Items::Fifo(_) => "fifo",
            Items::Lifo(_) => "lifo",
            Items::Ranked(..) => "aging",
            Items::Least(_) => "priority",
        })
    }
}

/// How a queue [with levels](crate::queue::Builder::aging) ranks what comes.
pub(crate) struct Aging<T> {
    origin: Instant,
    step: Duration,
    level: Box<dyn Fn(&T) -> u32 + Send + Sync>,
}

impl<T> Aging<T> {
    pub(crate) fn new(step: Duration, level: impl Fn(&T) -> u32 + Send + Sync + 'static) -> Self {
        Self {
            origin: Instant::now(),
            step,
            level: Box::new(level),
        }
    }

    pub(crate) fn step(&self) -> Duration {
        self.step
    }

    pub(crate) fn rank(&self, value: &T, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.origin);
        rank(age, self.step, (self.level)(value))
    }
}

/// A value of level n counts as one that came n steps later. In nanoseconds, which last for five centuries.
fn rank(came: Duration, step: Duration, level: u32) -> u64 {
    let rank = came.saturating_add(step.saturating_mul(level));
    u64::try_from(rank.as_nanos()).unwrap_or(u64::MAX)
}

/// An item with its place: least rank first, then who came first.
pub(crate) struct Ranked<T> {
    rank: u64,
    number: u64,
    value: T,
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.rank, other.number).cmp(&(self.rank, self.number))
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<T> {}

/// A stable heap, the least first. A trait, so that a queue of what has no order has no bound.
pub(crate) trait Heap<T> {
    fn push(&mut self, value: T);
    fn pop(&mut self) -> Option<T>;
    fn capacity(&self) -> usize;
    fn shrink_to(&mut self, room: usize);
}

/// An item with its number.
struct Numbered<T> {
    value: T,
    number: u64,
}

impl<T: Ord> Ord for Numbered<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        let least_first = other.value.cmp(&self.value);
        least_first.then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    // What the heap asks at each step down, where a branch would be foreseen half of the time: so without one.
    #[inline]
    fn le(&self, other: &Self) -> bool {
        let order = other.value.cmp(&self.value);
        order.is_lt() | (order.is_eq() & (other.number <= self.number))
    }
}

impl<T: Ord> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Numbered<T> {}

/// By the values themselves.
struct Least<T> {
    items: BinaryHeap<Numbered<T>>,
    count: Count,
}

impl<T: Ord> Least<T> {
    fn new() -> Self {
        Self {
            items: BinaryHeap::new(),
            count: Count::default(),
        }
    }
}

impl<T: Ord> Heap<T> for Least<T> {
    fn push(&mut self, value: T) {
        let number = self.count.next();
        self.items.push(Numbered { value, number });
    }

    fn pop(&mut self) -> Option<T> {
        self.items.pop().map(|item| item.value)
    }

    fn capacity(&self) -> usize {
        self.items.capacity()
    }

    fn shrink_to(&mut self, room: usize) {
        self.items.shrink_to(room);
    }
}

/// A value that is compared by its key. It is asked for it each time, as `T` for its own order: a key that was made first
/// could panic before the value is in.
struct Keyed<T, F> {
    value: T,
    key: Arc<F>,
}

impl<T, K: Ord, F: Fn(&T) -> K> Ord for Keyed<T, F> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.key)(&self.value).cmp(&(self.key)(&other.value))
    }
}

impl<T, K: Ord, F: Fn(&T) -> K> PartialOrd for Keyed<T, F> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, K: Ord, F: Fn(&T) -> K> PartialEq for Keyed<T, F> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T, K: Ord, F: Fn(&T) -> K> Eq for Keyed<T, F> {}

/// By their keys.
struct LeastKey<T, F> {
    items: Least<Keyed<T, F>>,
    key: Arc<F>,
}

impl<T, K: Ord, F: Fn(&T) -> K> Heap<T> for LeastKey<T, F> {
    fn push(&mut self, value: T) {
        let key = self.key.clone();
        self.items.push(Keyed { value, key });
    }

    fn pop(&mut self) -> Option<T> {
        self.items.pop().map(|item| item.value)
    }

    fn capacity(&self) -> usize {
        self.items.capacity()
    }

    fn shrink_to(&mut self, room: usize) {
        self.items.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    fn popped<T>(line: &mut Line<T>) -> Vec<T> {
        std::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn equals_stay_in_the_order_in_which_they_came() {
        let mut line = Line::ranked();
        for i in 0..1000_u64 {
            line.push(i, i % 3);
        }
        let by_rank = popped(&mut line);
        assert!(by_rank.is_sorted_by_key(|&i| (i % 3, i)), "{by_rank:?}");

        let mut line = Line::least_key(|i| Reverse(i % 3));
        (0..1000_u64).for_each(|i| line.push(i, 0));
        let by_key = popped(&mut line);
        assert!(by_key.is_sorted_by_key(|&i| (Reverse(i % 3), i)));
    }

    #[test]
    fn a_level_is_worth_a_step_of_waiting() {
        let step = Duration::from_secs(10);
        let at = |secs, level| rank(Duration::from_secs(secs), step, level);
        assert!(at(9, 0) < at(0, 1), "less than a step behind, it passes");
        assert_eq!(at(10, 0), at(0, 1));
        assert!(at(11, 0) > at(0, 1), "more than a step behind, it doesn't");
        assert!(at(29, 1) < at(0, 4) && at(31, 1) > at(0, 4));
    }

    #[test]
    fn what_is_beyond_all_time_is_last() {
        assert_eq!(rank(Duration::MAX, Duration::MAX, u32::MAX), u64::MAX);
        assert_eq!(
            rank(Duration::ZERO, Duration::from_secs(1 << 40), 1),
            u64::MAX
        );
    }

    #[test]
    fn room_is_given_back_after_a_crowd_and_kept_for_the_rest() {
        let lines = [
            Line::fifo(),
            Line::lifo(),
            Line::ranked(),
            Line::least(),
            Line::least_key(|i: &i32| -i),
        ];
        for mut line in lines {
            for i in 0..100_000 {
                line.push(i, 0);
            }
            assert_eq!(popped(&mut line).len(), 100_000);
            assert!(
                line.capacity() <= SHRINK_MIN,
                "{line:?}: {}",
                line.capacity()
            );
            for i in 0..1000 {
                line.push(i, 0);
            }
            let room = line.capacity();
            popped(&mut line);
            assert_eq!(line.capacity(), room, "{line:?}");
        }
    }
}
