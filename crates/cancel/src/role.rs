use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::Name;
use crate::clock::Timestamp;

/// What a node of the tree is.
pub enum Role {
    /// None at all: what a thread is in when it is in no scope.
    Outside,
    /// A scope of the program's own, with the token it follows.
    Scope(Option<CancellationToken>),
    /// One of the futures that run in a scope: each has a task to wake.
    Run,
    /// A task.
    Task(Label),
    /// A named part of what a task does. There are few beside the tasks, whose nodes stay smaller so.
    Step(Box<StepLabel>),
    /// Whatever a crate above makes of it, as a group of tasks.
    Owned(Box<dyn Owner>),
}

impl Role {
    /// What is known of a task, where it is one.
    pub fn task(&self) -> Option<&Label> {
        match self {
            Self::Task(label) => Some(label),
            _ => None,
        }
    }

    /// What is known of a step, where it is one.
    pub fn step(&self) -> Option<&StepLabel> {
        match self {
            Self::Step(label) => Some(label),
            _ => None,
        }
    }

    /// What the crate above keeps, where it is of that type.
    pub fn owned<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Owned(owner) => owner.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("Outside"),
            Self::Scope(_) => f.write_str("Scope"),
            Self::Run => f.write_str("Run"),
            Self::Task(label) => f.debug_tuple("Task").field(label).finish(),
            Self::Step(label) => f.debug_tuple("Step").field(label).finish(),
            Self::Owned(_) => f.write_str("Owned"),
        }
    }
}

/// What a crate above keeps with a node.
pub trait Owner: Any + Send + Sync {
    /// The node is aborted for the first time: its [leaves](crate::raw::Node::leaf) must be dropped at
    /// their next poll.
    fn abort_leaves(&self);

    /// Itself, to be found again by its type.
    fn as_any(&self) -> &dyn Any;
}

/// What is known of a task.
#[derive(Debug)]
pub struct Label {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub name: Name,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// When it was spawned.
    pub created: Timestamp,
}

impl Label {
    /// A task that is spawned now.
    pub fn new(name: Name, location: &'static Location<'static>) -> Self {
        let (id, created) = (TaskId::next(), Timestamp::now());
        Self {
            id,
            name,
            location,
            created,
        }
    }
}

/// What is known of a step.
#[derive(Debug)]
pub struct StepLabel {
    /// Its number, from the same count as the tasks'.
    pub id: TaskId,
    /// Its name.
    pub name: Name,
    /// Where it was made.
    pub location: &'static Location<'static>,
    /// When it was first polled.
    pub begun: Timestamp,
}

/// The number of a task, a group or a step, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    /// The next number.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number; never 0.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
