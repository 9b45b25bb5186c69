use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use tokio::time::Instant;

use crate::group::run::Run;
use crate::{Name, TaskGroup};

/// What the first failure of a group means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// They are cancelled, and so is the body.
    #[default]
    CancelSiblings,
    /// They go on; all failures are collected.
    Collect,
}

/// What becomes of a panic in a group once all its tasks have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// It is a failure like others.
    #[default]
    Report,
    /// It goes on in the task that runs the group.
    Resume,
}

/// Settings of a [`TaskGroup`].
#[must_use = "a builder does nothing until `run`"]
pub struct Builder<E> {
    pub(crate) name: Name,
    pub(crate) limit: Option<usize>,
    pub(crate) at: Timestamp,
    pub(crate) limit_time: Duration,
    pub(crate) grace: Duration,
    pub(crate) on_error: OnError,
    pub(crate) on_panic: OnPanic,
    error: PhantomData<fn(E)>,
}

impl<E> fmt::Debug for Builder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("grace", &self.grace)
            .field("on_error", &self.on_error)
            .field("on_panic", &self.on_panic)
            .finish_non_exhaustive()
    }
}

impl<E: Send + 'static> Builder<E> {
    pub(crate) fn new() -> Self {
        Self {
            name: Name::UNNAMED,
            limit: None,
            at: Timestamp::NEVER,
            limit_time: Duration::MAX,
            grace: Duration::ZERO,
            on_error: OnError::default(),
            on_panic: OnPanic::default(),
            error: PhantomData,
        }
    }

    /// What the group is called in errors and logs.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How many of the group's tasks run at the same time. Default: all.
    ///
    /// # Panics
    ///
    /// When `limit` is 0: such a group would never end.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(
            limit > 0,
            "a task group with a limit of 0 never runs a task; the least is 1"
        );
        self.limit = Some(limit);
        self
    }

    /// Cancels the group at `at`. With an instant in the past, before the body's first poll.
    ///
    /// That is a failure, unless there is a [`grace`](Self::grace) in which the body gives a value
    /// and all tasks end by themselves. The group still ends with all its tasks; a [`deadline`](shibuya_cancel::deadline()) around
    /// it drops it instead.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.at = self.at.min(Timestamp::from(at));
        self
    }

    /// Cancels the group when it has run for `limit`, counted from its first poll; see
    /// [`deadline`](Self::deadline).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit_time = self.limit_time.min(limit);
        self
    }

    /// How long body and tasks may go on once the group was cancelled, before they are dropped.
    /// Default: not at all. Nobody waits for it when the future of `run` is dropped.
    ///
    /// Counted in whole milliseconds, rounded up; from 49 days on it has no end.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What the first failure means for the others. Default: they are cancelled.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// What becomes of a panic. Default: it is reported as a failure.
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.on_panic = on_panic;
        self
    }

    /// Runs `body` with the group; see [`TaskGroup::run`].
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: a dropped run is cancelled work. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// As [`TaskGroup::run`].
    ///
    /// # Panics
    ///
    /// As [`TaskGroup::run`].
    #[track_caller]
    pub fn run<T, F, Fut>(self, body: F) -> Run<T, E, F, Fut>
    where
        F: FnOnce(TaskGroup<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Run::new(self, body, Location::caller())
    }
}
