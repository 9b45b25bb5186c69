//! Tasks that their group waits for and nothing further out drops: a shield's, and a clean-up's.

use std::future::Future;
use std::iter::successors;
use std::sync::Arc;

use shibuya_cancel::raw::{Label, Node, Role};

use crate::Task;
use crate::error::Cause;
use crate::group::core::Core;
use crate::task::child::Child;
use crate::task::fate;

/// What is heard inside of cancellations and deadlines from further out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Hears {
    /// All, as in any task.
    All,
    /// Nothing: it has a time of its own, and began because of the cancellation.
    Nothing,
}

/// The nearest group, from `scope` outwards, that still waits for anything: it is made to wait for
/// one task more. An orphaned group counts, as the task that is just dropped in it is still there.
pub(crate) fn nearest_group(scope: Option<&Arc<Node>>) -> Option<Arc<Node>> {
    let mut line = successors(scope, |node| node.parent());
    line.find(|node| Core::of(node).is_some_and(Core::adopt))
        .cloned()
}

/// Spawns a task into a group that waits for it already. It takes none of the group's slots: it may
/// be what a task that holds one waits for.
pub(crate) fn spawn<T, E, F>(group: Arc<Node>, label: Label, hears: Hears, fut: F) -> Task<T, E>
where
    F: Future<Output = Result<T, Cause<E>>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let role = Role::Task(label);
    let node = match hears {
        Hears::All => Node::shelter(group.clone(), group.bound(), group.grace(), role),
        Hears::Nothing => Node::apart(group.clone(), role),
    };
    if hears == Hears::All {
        fate::shield(&node);
    }
    let core = Core::of(&group).expect("a group's node has a core");
    let handle = core.runtime.spawn(Child::new(node.clone(), fut));
    core.roster.keep(&node, None);
    Task::new(node, Some(handle))
}
