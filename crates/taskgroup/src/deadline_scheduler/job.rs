use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

use super::agenda::Ask;
use crate::Name;

/// A future that wants to be run by a [`DeadlineScheduler`](super::DeadlineScheduler): what it is called, how long it is
/// thought to take, when it must be ready and what it is worth.
///
/// A future does nothing before it is polled, so a job that never begins has cost nothing, and can
/// be run elsewhere: it comes back [whole](super::Skipped).
///
/// Dropping it drops the future.
#[must_use = "a job does nothing until a scheduler runs it"]
pub struct Job<F> {
    pub(super) name: Name,
    pub(super) estimate: Duration,
    pub(super) priority: i32,
    pub(super) deadline: Option<Instant>,
    pub(super) location: &'static Location<'static>,
    pub(super) future: F,
}

impl<F> Job<F> {
    /// A job that takes about `estimate`. With an estimate of zero it begins when it is its turn,
    /// unless its deadline is past.
    #[track_caller]
    pub fn new(name: impl Into<Name>, estimate: Duration, future: F) -> Self {
        Self {
            name: name.into(),
            estimate,
            priority: 0,
            deadline: None,
            location: Location::caller(),
            future,
        }
    }

    /// The higher, the earlier it begins. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// When this one must be ready, if that is before the scheduler's deadline.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// What it is called.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its future, as it was given.
    pub fn into_inner(self) -> F {
        self.future
    }

    /// What the agenda needs to know, where all ends at `end`.
    pub(super) fn ask(&self, end: Instant) -> Ask {
        Ask {
            priority: self.priority,
            due: self.deadline.map_or(end, |at| at.min(end)),
            estimate: self.estimate,
        }
    }
}

impl<F> fmt::Debug for Job<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("estimate", &self.estimate)
            .field("priority", &self.priority)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
