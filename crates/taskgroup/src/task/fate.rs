//! What became of a task and of its handle: bits that its node keeps.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use shibuya_cancel::raw::{Node, with_scope};

/// The failure was reported to the group.
const FAILED: u8 = 1;
/// The handle is gone, so nobody will ask for the outcome.
const UNWATCHED: u8 = 1 << 1;
/// The handle has given the value.
const TAKEN: u8 = 1 << 2;
/// The failure is the handle's own, as long as there is one.
const SHIELD: u8 = 1 << 3;
/// It waits for a slot.
pub(crate) const QUEUED: u8 = 1 << 4;
/// It waits for a thread that blocks.
pub(crate) const BLOCKING: u8 = 1 << 5;

/// Who a failure is for.
pub(crate) enum Heir {
    Group,
    Handle,
    /// It ends the group, and somebody may still ask for it.
    Both,
}

/// Before the task is spawned.
pub(crate) fn shield(task: &Node) {
    task.fate().store(SHIELD, Relaxed);
}

/// Says that the task failed, and gives who is to hear of it.
pub(crate) fn fail(task: &Node) -> Heir {
    match task.fate().fetch_or(FAILED, AcqRel) & (UNWATCHED | SHIELD) {
        0 => Heir::Both,
        SHIELD => Heir::Handle,
        _ => Heir::Group,
    }
}

/// Whether the failure was reported to the group.
pub(crate) fn has_failed(task: &Node) -> bool {
    task.fate().load(Acquire) & FAILED != 0
}

/// Gives whether there is a failure that nobody will ask for.
pub(crate) fn unwatch(task: &Node) -> bool {
    task.fate().fetch_or(UNWATCHED, AcqRel) & FAILED != 0
}

/// Whether nobody will ask for the outcome.
pub(crate) fn is_unwatched(task: &Node) -> bool {
    task.fate().load(Acquire) & UNWATCHED != 0
}

/// The task is over by now, so the word is its handle's alone.
pub(crate) fn take(task: &Node) {
    task.fate().store(TAKEN, Relaxed);
}

pub(crate) fn was_taken(task: &Node) -> bool {
    task.fate().load(Relaxed) & TAKEN != 0
}

/// Whether the task waits for that.
pub(crate) fn waits_for(task: &Node, bit: u8) -> bool {
    task.fate().load(Relaxed) & bit != 0
}

/// The task that runs here says what it waits for, or that it doesn't any more.
pub(crate) fn say(bit: u8, on: bool) {
    with_scope(|scope| {
        if let Some(task) = scope.filter(|node| node.role().task().is_some()) {
            match on {
                true => task.fate().fetch_or(bit, Relaxed),
                false => task.fate().fetch_and(!bit, Relaxed),
            };
        }
    });
}
