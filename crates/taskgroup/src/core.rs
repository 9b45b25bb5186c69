//! What a group keeps, as the owner of its node in the tree of scopes.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

use shibuya_cancel::Reason;
use shibuya_cancel::raw::{Node, Timestamp};
use shibuya_waitlist::primitives::Mutex;
use tokio::runtime::Handle;

use crate::error::{Cause, Failure, Straggler};
use crate::limit::Slots;
use crate::live::{Entered, Left, Live};
use crate::task::{TaskId, TaskInfo};
use crate::{Name, OnError};

/// A task's own error, until the typed front of the group takes it.
pub(crate) type AnyError = Box<dyn Any + Send>;

/// Failures that are kept for tasks whose handle is gone; more are only counted.
const FAILURES_MAX: usize = 64;

pub(crate) struct Core {
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
    pub(crate) started: Timestamp,
    pub(crate) on_error: OnError,
    pub(crate) slots: Option<Arc<Slots>>,
    /// Captured at the start, so that a handle spawns from any thread.
    pub(crate) runtime: Handle,
    live: Live,
    failures: Mutex<Failures>,
}

/// In the order in which they came.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) kept: Vec<Failure<AnyError>>,
    pub(crate) dropped: usize,
}

impl Core {
    pub(crate) fn new(
        name: Name,
        location: &'static Location<'static>,
        on_error: OnError,
        slots: Option<Arc<Slots>>,
        runtime: Handle,
    ) -> Self {
        Self {
            name,
            location,
            started: Timestamp::now(),
            on_error,
            slots,
            runtime,
            live: Live::new(),
            failures: Mutex::new(Failures::default()),
        }
    }

    /// The group that a node belongs to, when it is one.
    pub(crate) fn of(node: &Node) -> Option<&Self> {
        node.owner().downcast_ref()
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.live.count()
    }

    /// Counts one task more, unless the group is over.
    pub(crate) fn enter(&self) -> bool {
        self.live.enter() == Entered::Yes
    }

    /// A task has ended. The last one wakes the driver, or, where that is gone, tells the group
    /// further out that waits in its stead.
    pub(crate) fn leave(&self, node: &Node) {
        match self.live.leave() {
            Left::Others => {}
            Left::Empty => node.wake(),
            Left::EmptyOrphaned => leave_enclosing(node),
        }
    }

    /// Closes the group if no task lives; from then on none can enter.
    pub(crate) fn try_close(&self) -> bool {
        self.live.try_close()
    }

    /// The driver is gone while tasks may live: the group further out waits for them.
    pub(crate) fn orphan(&self, node: &Node) {
        if let Some((outer, _)) = enclosing(node) {
            outer.live.enter_always();
        }
        if self.live.orphan() == 0 {
            leave_enclosing(node);
        }
    }

    /// A failure in the group: it ends the group, unless failures are collected.
    pub(crate) fn fail(&self, node: &Node, failure: Failure<AnyError>, watched: bool) {
        self.note(failure, watched);
        if self.on_error == OnError::CancelSiblings {
            node.cancel(Reason::Failed);
        }
    }

    /// Where every error is collected. `watched` says that somebody may still ask for this one.
    pub(crate) fn note(&self, failure: Failure<AnyError>, watched: bool) {
        tracing::debug!(task = %failure.name, spawned = %failure.location, "task failed");
        let mut failures = self.failures.lock();
        if watched || failures.kept.len() < FAILURES_MAX {
            failures.kept.push(failure);
        } else {
            failures.dropped += 1;
            drop(failures);
            drop(failure);
        }
    }

    /// Takes the failure of one task out, for who asked for that task's outcome.
    pub(crate) fn take_failure(&self, id: TaskId) -> Option<Cause<AnyError>> {
        let mut failures = self.failures.lock();
        let at = failures.kept.iter().position(|failure| failure.id == id)?;
        Some(failures.kept.remove(at).cause)
    }

    /// Nobody will ask for this failure any more, so it counts against the maximum again.
    pub(crate) fn unwatch(&self, id: TaskId) {
        let mut failures = self.failures.lock();
        if failures.kept.len() <= FAILURES_MAX {
            return;
        }
        let at = failures.kept.iter().position(|failure| failure.id == id);
        let spare = at.map(|at| failures.kept.remove(at));
        failures.dropped += usize::from(spare.is_some());
        drop(failures);
        drop(spare);
    }

    pub(crate) fn take_failures(&self) -> Failures {
        std::mem::take(&mut *self.failures.lock())
    }

    /// The failure of the group's own body or deadline.
    pub(crate) fn own_failure(&self, name: Name, cause: Cause<AnyError>) -> Failure<AnyError> {
        let elapsed = Timestamp::now().since(self.started);
        Failure {
            id: TaskId::next(),
            name,
            location: self.location,
            elapsed,
            cause,
        }
    }
}

/// The tasks of a group that have not ended.
pub(crate) fn stragglers(node: &Node) -> Vec<Straggler> {
    let children = node.children();
    let tasks = children
        .iter()
        .filter_map(|child| child.owner().downcast_ref::<TaskInfo>());
    tasks
        .map(|task| Straggler {
            id: task.id,
            name: task.name.clone(),
            location: task.location,
        })
        .collect()
}

/// The next group further out, with its node.
fn enclosing(node: &Node) -> Option<(&Core, &Arc<Node>)> {
    let mut outer = node.parent();
    while let Some(node) = outer {
        if let Some(core) = Core::of(node) {
            return Some((core, node));
        }
        outer = node.parent();
    }
    None
}

fn leave_enclosing(node: &Node) {
    if let Some((core, node)) = enclosing(node) {
        core.leave(node);
    }
}
