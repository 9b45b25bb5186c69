//! From the roots down through all nodes, without recursion: groups may nest deeper than a stack.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use shibuya_cancel::raw::{Label, Node, Role, StepLabel, Timestamp, roots};
use shibuya_cancel::{Name, TaskId};

use super::ended::Ended;
use super::snapshot::{Kind, State, TaskInfo, TreeSnapshot};
use super::{coarse, desk};
use crate::group::core::Core;
use crate::task::fate;

/// Looks at all groups, tasks and steps of the process. It needs no runtime, and may be called from
/// any thread.
///
/// Nothing stands still for it: a group's tasks are listed in portions, between which others may spawn.
/// Its time and memory follow the number of what lives.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::{TaskGroup, dump, step};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// TaskGroup::builder()
///     .name("import")
///     .run(async |g| {
///         g.task("customers").spawn(async {
///             step("wait for the lock", std::future::pending::<()>()).await;
///             Ok::<_, std::io::Error>(())
///         });
///         tokio::task::yield_now().await; // the task runs
///         println!("{}", dump());
///         g.cancel("seen enough".into());
///         Ok(())
///     })
///     .await
///     .unwrap();
/// # }
/// ```
///
/// prints
///
/// ```text
/// import: group of 1 task, running (src/main.rs:7)
/// └─ customers: idle (src/main.rs:8)
///    └─ step wait for the lock (src/main.rs:9)
/// ```
pub fn dump() -> TreeSnapshot {
    let now = Timestamp::now();
    let desks = desk::all();
    let running: HashSet<usize> = desks.iter().map(|desk| desk.poll().0).collect();
    let mut entries = Vec::new();
    walk(|place| {
        entries.push(place.info(now, &running));
        true
    });
    let mut ended: Vec<Ended> = desks.iter().flat_map(|desk| desk.ended()).collect();
    ended.sort_by_key(|ended| (ended.at, ended.id));
    TreeSnapshot { entries, ended }
}

/// The task, or the group, that is known by that on a desk.
pub(super) fn find(polled: usize) -> Option<(TaskId, Name, &'static Location<'static>)> {
    let mut found = None;
    walk(|place| {
        if desk::address(&place.node) == polled {
            let (id, name, location) = place.thing().label();
            found = Some((id, name.clone(), location));
        }
        found.is_none()
    });
    found
}

/// Shows each that is to be seen, before what is inside it, until `show` gives `false`.
fn walk(mut show: impl FnMut(&Place) -> bool) {
    let mut pending = Vec::new();
    push(&mut pending, roots(), None, 0);
    while let Some(place) = pending.pop() {
        if !show(&place) {
            return;
        }
        let parent = place.thing().label().0;
        push(
            &mut pending,
            inside(&place.node),
            Some(parent),
            place.depth + 1,
        );
    }
}

/// Adds those of `nodes` that are to be seen, so that the first of them is popped first. In the place of
/// one that isn't stands what is inside it.
fn push(pending: &mut Vec<Place>, mut nodes: Vec<Arc<Node>>, parent: Option<TaskId>, depth: usize) {
    let first = pending.len();
    while let Some(node) = nodes.pop() {
        if Thing::of(&node).is_some_and(|thing| thing.is_shown(&node)) {
            pending.push(Place {
                node,
                parent,
                depth,
            });
        } else {
            nodes.extend(inside(&node));
        }
    }
    pending[first..].sort_unstable_by_key(|place| std::cmp::Reverse(place.thing().label().0));
}

/// What somebody holds in there, ended or not.
fn inside(node: &Node) -> Vec<Arc<Node>> {
    let Some(core) = Core::of(node) else {
        return node.inside();
    };
    let mut inside = core.roster.survey();
    // The living tasks are on the roster. What a task left running is only in the node's own table, where
    // the task stands as long as that goes on.
    let is_left = |node: &Arc<Node>| node.role().task().is_none() || node.has_ended();
    inside.extend(node.inside().into_iter().filter(is_left));
    inside.sort_unstable_by_key(desk::address);
    inside.dedup_by_key(|node| desk::address(node));
    inside
}

/// A node that is shown.
struct Place {
    node: Arc<Node>,
    parent: Option<TaskId>,
    depth: usize,
}

/// What a node is, as far as it is shown.
enum Thing<'a> {
    Group(&'a Core),
    Task(&'a Label),
    Step(&'a StepLabel),
}

impl<'a> Thing<'a> {
    fn of(node: &'a Node) -> Option<Self> {
        match node.role() {
            Role::Owned(_) => Core::of(node).map(Self::Group),
            Role::Task(label) => Some(Self::Task(label)),
            Role::Step(label) => Some(Self::Step(label)),
            Role::Outside | Role::Scope(_) | Role::Run => None,
        }
    }

    fn is_shown(&self, node: &Node) -> bool {
        let has_living = matches!(self, Self::Group(core) if core.len() > 0);
        !node.has_ended() || has_living
    }

    fn label(&self) -> (TaskId, &'a Name, &'static Location<'static>) {
        match *self {
            Self::Group(core) => (core.id, &core.name, core.location),
            Self::Task(label) => (label.id, &label.name, label.location),
            Self::Step(label) => (label.id, &label.name, label.location),
        }
    }
}

impl Place {
    fn thing(&self) -> Thing<'_> {
        Thing::of(&self.node).expect("only such are shown")
    }

    fn info(&self, now: Timestamp, running: &HashSet<usize>) -> TaskInfo {
        let thing = self.thing();
        let (id, name, location) = thing.label();
        let reason = self.node.reason();
        let is_running = running.contains(&desk::address(&self.node));
        let calm = match reason {
            Some(_) => State::Cancelling,
            None => State::Idle,
        };
        let mut info = TaskInfo {
            id,
            kind: Kind::Step,
            name: name.clone(),
            location,
            parent: self.parent,
            depth: self.depth,
            state: calm,
            reason,
            age: Duration::ZERO,
            polls: 0,
            idle: None,
            counts: None,
        };
        match thing {
            Thing::Step(label) => info.age = now.since(label.begun),
            Thing::Group(core) => {
                info.kind = Kind::Group;
                info.age = now.since(core.started);
                info.counts = Some(core.counts());
                if is_running {
                    info.state = State::Running;
                } else if core.is_body_over() {
                    info.state = State::Waiting;
                }
            }
            Thing::Task(label) => {
                info.kind = Kind::Task;
                info.age = now.since(label.created);
                let (polls, polled) = self.node.polls();
                info.polls = polls;
                let is_idle = info.polls > 0 && !is_running;
                info.idle = is_idle.then(|| coarse::since(polled));
                info.state = if is_running {
                    State::Running
                } else if fate::waits_for(&self.node, fate::BLOCKING) {
                    State::Blocking
                } else if fate::waits_for(&self.node, fate::QUEUED) {
                    State::Queued
                } else if info.polls == 0 {
                    State::Created
                } else if self.node.is_shelter() {
                    State::Shielded
                } else {
                    calm
                };
            }
        }
        info
    }
}
