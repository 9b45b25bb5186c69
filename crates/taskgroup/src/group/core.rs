//! What a group keeps, as the owner of its node in the tree of scopes.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use shibuya_cancel::raw::{Node, Owner, Timestamp};
use shibuya_cancel::{Cancelled, Reason, TaskId};
use shibuya_waitlist::primitives::Mutex;
use tokio::runtime::Handle;

use crate::cleanup::{Cleanup, Next, Stack};
use crate::error::{Cause, Failure, Straggler};
use crate::group::failures::Failures;
use crate::group::limit::Slots;
use crate::group::live::{Entered, Left, Live};
use crate::group::roster::Roster;
use crate::{Counts, Name, OnError};

/// A task's own error, until the typed front of the group takes it.
pub(crate) type AnyError = Box<dyn Any + Send>;

/// With so many tasks, memory is given back while they become fewer; what fewer leave behind waits
/// for the next spawn, or the end.
const BURST: usize = 1024;

pub(crate) struct Core {
    pub(crate) id: TaskId,
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
    pub(crate) started: Timestamp,
    pub(crate) on_error: OnError,
    pub(crate) slots: Option<Arc<Slots>>,
    /// Captured at the start, so that a handle spawns from any thread.
    pub(crate) runtime: Handle,
    pub(crate) roster: Roster,
    pub(crate) cleanups: Stack<Cleanup>,
    live: Live,
    failures: Mutex<Failures<AnyError>>,
    /// For show.
    is_body_over: AtomicBool,
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
            id: TaskId::next(),
            name,
            location,
            started: Timestamp::now(),
            on_error,
            slots,
            runtime,
            roster: Roster::new(),
            cleanups: Stack::new(),
            live: Live::new(),
            failures: Mutex::new(Failures::new()),
            is_body_over: AtomicBool::new(false),
        }
    }

    /// The group that a node belongs to, when it is one.
    pub(crate) fn of(node: &Node) -> Option<&Self> {
        node.role().owned()
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.live.count()
    }

    /// The tasks that have not ended, without those that an abort does not reach.
    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        self.living(|node| !node.is_shelter())
    }

    /// Those of the tasks that have not ended.
    pub(crate) fn living(&self, which: impl Fn(&Node) -> bool) -> Vec<Straggler> {
        let mut living = self.roster.living();
        living.retain(|node| which(node));
        let tasks = living.iter().filter_map(|node| node.role().task());
        tasks
            .map(|task| Straggler {
                id: task.id,
                name: task.name.clone(),
                location: task.location,
            })
            .collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            spawned: self.roster.total(),
            living: self.len(),
            failed: self.failures.lock().came(),
        }
    }

    pub(crate) fn body_is_over(&self) {
        self.is_body_over.store(true, Relaxed);
    }

    pub(crate) fn is_body_over(&self) -> bool {
        self.is_body_over.load(Relaxed)
    }

    /// Counts one task more, unless the group is over.
    pub(crate) fn enter(&self) -> bool {
        self.live.enter() == Entered::Yes
    }

    /// Counts one task more, also in a group that is closed, as long as it waits for anything.
    pub(crate) fn adopt(&self) -> bool {
        self.live.adopt()
    }

    /// A task has ended. The last one wakes the driver, or, where that is gone, tells the group
    /// further out that waits in its stead.
    pub(crate) fn leave(&self, node: &Node) {
        let mut left = (self, node);
        loop {
            let (core, node) = left;
            match core.live.leave() {
                Left::Others(living) => {
                    if living >= BURST && living.is_power_of_two() {
                        core.roster.thin_out(living);
                    }
                    return;
                }
                Left::Empty => return node.wake(),
                Left::EmptyOrphaned => {
                    core.roster.clear();
                    match adopter(node) {
                        Some(outer) => left = outer,
                        None => return,
                    }
                }
            }
        }
    }

    /// What the end of the group still waits for, once its body is gone. If it is nothing, the group is
    /// closed: from then on no task can enter, and no clean-up.
    pub(crate) fn wind_up(&self) -> Next<Cleanup> {
        if self.len() > 0 {
            return Next::Tasks;
        }
        self.cleanups.next_or_close(|| self.live.try_close())
    }

    /// The driver is gone while tasks may live: the group further out waits for them.
    pub(crate) fn orphan(&self, node: &Node) {
        let _ = enclosing(node).any(|(outer, _)| outer.adopt());
        if self.live.orphan() == 0 {
            self.roster.clear();
            if let Some((outer, node)) = adopter(node) {
                outer.leave(node);
            }
        }
    }

    /// A failure in the group: it ends the group, unless failures are collected.
    pub(crate) fn fail(&self, node: &Node, failure: Failure<AnyError>, watched: bool) {
        self.note(failure, watched);
        self.react(node);
    }

    /// What a failure means for the others.
    fn react(&self, node: &Node) {
        if self.on_error == OnError::CancelSiblings {
            node.cancel(Reason::Failed);
        }
    }

    /// Whether an error only passes on that its task was cancelled, as `check()?` does.
    pub(crate) fn is_echo(node: &Node, cause: &Cause<AnyError>) -> bool {
        match cause {
            Cause::Error(error) => error.is::<Cancelled>() && node.is_cancelled(),
            _ => false,
        }
    }

    /// Where every error is collected. `watched` says that somebody may still ask for this one.
    pub(crate) fn note(&self, failure: Failure<AnyError>, watched: bool) {
        tracing::debug!(task = %failure.name, spawned = %failure.location, "task failed");
        let spare = self.failures.lock().add(failure, watched);
        drop(spare);
    }

    /// Takes the failure of one task out, for who asked for that task's outcome.
    pub(crate) fn take_failure(&self, id: TaskId) -> Option<Cause<AnyError>> {
        self.failures.lock().take(id)
    }

    /// Nobody will ask for this failure any more, so it counts against the maximum again, and a
    /// shield's becomes the group's.
    pub(crate) fn unwatch(&self, node: &Node, id: TaskId) {
        let spare = self.failures.lock().unwatch(id);
        drop(spare);
        self.react(node);
    }

    /// All failures, in the order in which they came, and how many more there were.
    pub(crate) fn take_failures(&self) -> (Vec<Failure<AnyError>>, usize) {
        let failures = std::mem::replace(&mut *self.failures.lock(), Failures::new());
        failures.in_order()
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

impl Owner for Core {
    fn abort_leaves(&self) {
        self.roster.abort();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is none of a group's tasks, but runs inside: the group waits until this is dropped.
pub(crate) struct Guest {
    group: Arc<Node>,
}

impl Guest {
    /// In the innermost group around `scope` that goes on.
    pub(crate) fn enter(scope: &Arc<Node>) -> Option<Self> {
        let mut nodes = std::iter::successors(Some(scope), |node| node.parent());
        let group = nodes.find(|node| Core::of(node).is_some_and(|core| core.live.adopt()))?;
        let group = group.clone();
        Some(Self { group })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(core) = Core::of(&self.group) {
            core.leave(&self.group);
        }
    }
}

/// The groups further out, the next one first, with their nodes.
fn enclosing(node: &Node) -> impl Iterator<Item = (&Core, &Node)> {
    let nodes = std::iter::successors(node.parent(), |node| node.parent());
    nodes.filter_map(|node| Some((Core::of(node)?, &**node)))
}

/// The one that adopted this group's orphans: it can't be over before they are, and those before
/// it were over then.
fn adopter(node: &Node) -> Option<(&Core, &Node)> {
    enclosing(node).find(|(outer, _)| !outer.live.is_over())
}
