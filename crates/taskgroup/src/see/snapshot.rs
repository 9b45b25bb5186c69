use std::panic::Location;
use std::time::Duration;

use shibuya_cancel::{Name, Reason, TaskId};

use super::ended::Ended;

/// All groups, tasks and steps at one moment, from [`dump`](crate::dump).
///
/// It is taken while they go on, so what stands near each other need not have been so at the same
/// instant. What lived throughout is in it: a task from the moment when its `spawn` has returned, which may
/// be a little after it has begun on another thread.
///
/// `{}` prints the tree, without times and with many alike told as one; `{:#}` prints all.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TreeSnapshot {
    /// What lives: each followed by what is inside, in the order in which they were made.
    pub entries: Vec<TaskInfo>,
    /// What ended lately, the last one last: up to 64 from each thread that lives.
    pub ended: Vec<Ended>,
}

impl TreeSnapshot {
    /// The tasks alone.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskInfo> {
        self.entries.iter().filter(|entry| entry.kind == Kind::Task)
    }

    /// The one with that name, the first if there are several.
    pub fn find(&self, name: &str) -> Option<&TaskInfo> {
        self.entries.iter().find(|entry| entry.name == *name)
    }
}

/// A group, a task or a step.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::id"))]
    pub id: TaskId,
    /// What it is.
    pub kind: Kind,
    /// Its name; empty if it has none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::text"))]
    pub name: Name,
    /// Where it was made.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::text"))]
    pub location: &'static Location<'static>,
    /// The number of what it is in.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::option_id"))]
    pub parent: Option<TaskId>,
    /// How deep it is in the tree; 0 for a root.
    pub depth: usize,
    /// What it does.
    pub state: State,
    /// Why it was cancelled, if it was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::option_text"))]
    pub reason: Option<Reason>,
    /// How long it lives: from its spawn; for a group and a step, from the first poll.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_ms", serialize_with = "super::json::ms")
    )]
    pub age: Duration,
    /// How often a task was polled.
    pub polls: u32,
    /// For how long a task was not polled, to about 20 ms of real time.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "idle_ms", serialize_with = "super::json::option_ms")
    )]
    pub idle: Option<Duration>,
    /// Of a group: its tasks.
    pub counts: Option<Counts>,
}

/// What a group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Tasks that were spawned.
    pub spawned: usize,
    /// Tasks that have not ended.
    pub living: usize,
    /// Failures so far, the body's included.
    pub failed: usize,
}

/// What an entry of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Kind {
    /// A task group.
    Group,
    /// A task.
    Task,
    /// A named part of a task or of a group's body: [`step`](crate::step).
    Step,
}

/// What a task, a step or a group's body does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum State {
    /// It was spawned, and not polled yet.
    Created,
    /// It waits for a slot of its group's limit.
    Queued,
    /// It is polled right now. Where a task polls the body of a group, that is the body alone.
    Running,
    /// It waits for something.
    Idle,
    /// It was cancelled, and has not ended yet.
    Cancelling,
    /// It goes on, whatever is cancelled further out.
    Shielded,
    /// It is a closure on a blocking thread.
    Blocking,
    /// A group's body has ended; the group waits for its tasks.
    Waiting,
}
