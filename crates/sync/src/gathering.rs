use std::mem::take;
use std::time::Duration;

use tokio::time::Instant;

use crate::pace::{Pace, after};

/// Gathers items until they are enough, or the first of them has waited long enough.
pub(crate) struct Gathering<T> {
    items: Vec<T>,
    /// How many the last batch had: most likely as many as this one will.
    last: usize,
    /// When the first item has waited long enough.
    due: Option<Instant>,
    max: usize,
    within: Duration,
}

impl<T> Gathering<T> {
    #[track_caller]
    pub(crate) fn new(max: usize, within: Duration) -> Self {
        assert!(max > 0, "a batch of 0 items holds nothing; the least is 1");
        assert!(
            !within.is_zero(),
            "a batch that waits for no time gathers nothing; the least is 1 ns"
        );
        Self {
            items: Vec::new(),
            last: 0,
            due: None,
            max,
            within,
        }
    }

    pub(crate) fn add(&mut self, item: T, now: Instant) {
        if self.items.is_empty() {
            self.due = Some(after(now, self.within));
            self.items.reserve_exact(self.last);
        }
        self.items.push(item);
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= self.max
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_full() || self.due.is_some_and(|due| due <= now)
    }

    /// Begins the next one.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.due = None;
        self.last = self.items.len();
        take(&mut self.items)
    }
}

impl<T> Pace for Gathering<T> {
    type Item = T;
    type Out = Vec<T>;

    fn push(&mut self, item: T, now: Instant) -> Option<Vec<T>> {
        self.add(item, now);
        // Also by time: a source that is ready again and again never gets as far as the timer.
        self.is_due(now).then(|| self.take())
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn pull(&mut self, _: Instant) -> Option<Vec<T>> {
        Some(self.take())
    }

    fn end(&mut self) -> Option<Vec<T>> {
        (!self.items.is_empty()).then(|| self.take())
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_is_due_when_it_is_full_or_its_first_item_has_waited() {
        let start = Instant::now();
        let mut batch = Gathering::new(3, 10 * MS);
        assert!(!batch.is_due(start) && batch.due().is_none());
        assert_eq!(batch.push('a', start), None);
        assert_eq!(batch.push('b', start + 9 * MS), None);
        assert_eq!(batch.due(), Some(start + 10 * MS), "since the first");
        assert!(!batch.is_due(start + 9 * MS) && batch.is_due(start + 10 * MS));
        assert_eq!(batch.push('c', start + 9 * MS), Some(vec!['a', 'b', 'c']));
        assert_eq!((batch.len(), batch.due()), (0, None));
    }

    #[test]
    fn a_late_item_takes_along_what_is_due() {
        let start = Instant::now();
        let mut batch = Gathering::new(3, 10 * MS);
        assert_eq!(batch.push('a', start), None);
        assert_eq!(batch.push('b', start + 10 * MS), Some(vec!['a', 'b']));
    }

    #[test]
    fn the_end_takes_the_rest() {
        let mut batch = Gathering::new(3, Duration::MAX);
        assert_eq!(batch.end(), None);
        assert_eq!(batch.push('a', Instant::now()), None);
        assert_eq!(batch.end(), Some(vec!['a']));
        assert_eq!(batch.end(), None);
    }
}
