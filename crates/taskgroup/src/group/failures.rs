//! The failures of a group: those that somebody may still ask for, and the first of all others.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Cause, Failure};
use shibuya_cancel::TaskId;

/// Failures that are kept for tasks whose handle is gone; more are only counted.
const KEPT_MAX: usize = 64;

pub(crate) struct Failures<E> {
    /// How many came, which numbers them.
    came: u64,
    /// Of tasks whose handle is still there, so that their outcome may be asked for.
    watched: HashMap<TaskId, (u64, Failure<E>)>,
    /// The first of the rest.
    kept: BTreeMap<u64, Failure<E>>,
    dropped: usize,
}

// What these give back is to be dropped outside of the lock: it is the user's.
impl<E> Failures<E> {
    pub(crate) fn new() -> Self {
        Self {
            came: 0,
            watched: HashMap::new(),
            kept: BTreeMap::new(),
            dropped: 0,
        }
    }

    /// How many there were.
    pub(crate) fn came(&self) -> usize {
        usize::try_from(self.came).unwrap_or(usize::MAX)
    }

    /// `watched` says that somebody may still ask for this one. Gives what does not fit.
    pub(crate) fn add(&mut self, failure: Failure<E>, watched: bool) -> Option<Failure<E>> {
        let number = self.came;
        self.came += 1;
        if watched {
            self.watched.insert(failure.id, (number, failure));
            return None;
        }
        self.keep(number, failure)
    }

    /// Takes one out, for who asked for that task's outcome.
    pub(crate) fn take(&mut self, id: TaskId) -> Option<Cause<E>> {
        let (_, failure) = self.watched.remove(&id)?;
        Some(failure.cause)
    }

    /// Nobody will ask for this one any more. Gives what does not fit.
    pub(crate) fn unwatch(&mut self, id: TaskId) -> Option<Failure<E>> {
        let (number, failure) = self.watched.remove(&id)?;
        self.keep(number, failure)
    }

    fn keep(&mut self, number: u64, failure: Failure<E>) -> Option<Failure<E>> {
        self.kept.insert(number, failure);
        if self.kept.len() <= KEPT_MAX {
            return None;
        }
        self.dropped += 1;
        self.kept.pop_last().map(|(_, last)| last)
    }

    /// All that were kept, in the order in which they came, and how many were not.
    pub(crate) fn in_order(self) -> (Vec<Failure<E>>, usize) {
        let mut all = self.kept;
        all.extend(self.watched.into_values());
        (all.into_values().collect(), self.dropped)
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::panic::Location;
    use std::time::Duration;

    use super::*;

    fn failure(number: usize) -> Failure<usize> {
        Failure {
            id: TaskId::next(),
            name: "t".into(),
            location: Location::caller(),
            elapsed: Duration::ZERO,
            cause: Cause::Error(number),
        }
    }

    fn errors(failures: Failures<usize>) -> (Vec<usize>, usize) {
        let (all, dropped) = failures.in_order();
        let errors = all
            .iter()
            .map(|failure| *failure.error().expect("an error"));
        (errors.collect(), dropped)
    }

    #[test]
    fn the_first_64_are_kept() {
        let mut failures = Failures::new();
        for number in 0..100 {
            let spare = failures.add(failure(number), false);
            assert_eq!(spare.is_some(), number >= 64);
        }
        assert_eq!(errors(failures), ((0..64).collect(), 36));
    }

    #[test]
    fn the_first_64_are_kept_in_whatever_order_their_handles_go() {
        for reversed in [false, true] {
            let mut failures = Failures::new();
            let mut ids = Vec::new();
            for number in 0..100 {
                let failure = failure(number);
                ids.push(failure.id);
                assert!(failures.add(failure, true).is_none());
            }
            if reversed {
                ids.reverse();
            }
            let spare = ids.into_iter().filter_map(|id| failures.unwatch(id));
            assert_eq!(spare.count(), 36);
            assert_eq!(errors(failures), ((0..64).collect(), 36));
        }
    }

    #[test]
    fn one_that_is_watched_can_be_taken_and_else_is_reported_in_its_place() {
        let mut failures = Failures::new();
        let (first, second) = (failure(0), failure(1));
        let id = second.id;
        failures.add(first, true);
        failures.add(second, true);
        failures.add(failure(2), false);
        assert!(matches!(failures.take(id), Some(Cause::Error(1))));
        assert!(failures.take(id).is_none() && failures.unwatch(id).is_none());
        assert_eq!(errors(failures), (vec![0, 2], 0));
    }
}
