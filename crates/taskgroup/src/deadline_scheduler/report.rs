use std::fmt;
use std::time::Duration;

use shibuya_cancel::Reason;

use super::Job;
use crate::{Failure, Name};

/// What became of the jobs of a [`DeadlineScheduler`](super::DeadlineScheduler): each is in one of the four.
#[non_exhaustive]
pub struct Report<T, E, F> {
    /// Ended with a value, in the order in which they did.
    pub done: Vec<Done<T>>,
    /// Ended with an error or a panic, or cancelled themselves.
    pub failed: Vec<Failure<E>>,
    /// Never began.
    pub skipped: Vec<Skipped<F>>,
    /// Began, and were dropped at their deadline.
    pub cut: Vec<Cut>,
}

impl<T, E, F> Report<T, E, F> {
    pub(super) fn new() -> Self {
        Self {
            done: Vec::new(),
            failed: Vec::new(),
            skipped: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// Whether every job gave a value.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.cut.is_empty()
    }
}

// By hand, since futures have no `Debug`.
impl<T: fmt::Debug, E: fmt::Debug, F> fmt::Debug for Report<T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("done", &self.done)
            .field("failed", &self.failed)
            .field("skipped", &self.skipped)
            .field("cut", &self.cut)
            .finish()
    }
}

/// A job that ended with a value.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T> {
    /// What it is called.
    pub name: Name,
    /// What it gave.
    pub value: T,
    /// How long it took, to compare with its estimate.
    pub elapsed: Duration,
}

/// A job that never began.
#[non_exhaustive]
pub struct Skipped<F> {
    /// The job as it was given, its future never polled.
    pub job: Job<F>,
    /// Why.
    pub why: SkipReason,
}

impl<F> fmt::Debug for Skipped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skipped")
            .field("job", &self.job)
            .field("why", &self.why)
            .finish()
    }
}

/// Why a job never began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// When it was its turn, it could no longer be ready in time.
    Hopeless {
        /// Its estimate.
        needs: Duration,
        /// What was left of the time.
        remaining: Duration,
    },
    /// The scope was cancelled before it was its turn.
    Cancelled(Reason),
}

/// A job that took longer than it had time, and was dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cut {
    /// What it is called.
    pub name: Name,
    /// How long it had run.
    pub elapsed: Duration,
}
