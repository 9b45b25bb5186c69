//! Lets go of a long line of nodes without recursion: each holds the next one further out.

use std::cell::RefCell;
use std::sync::Arc;

use crate::node::Node;

thread_local! {
    /// Last handles that this thread has yet to drop; `None` while it drops none.
    static PENDING: RefCell<Option<Vec<Arc<Node>>>> = const { RefCell::new(None) };
}

/// Drops a handle. Where it is the last one, within the drop of another node, that has to wait until
/// the other is done.
pub(crate) fn release(node: Arc<Node>) {
    // Nearly always others hold the parent. Two threads may both see each other here: that costs one
    // level of recursion.
    if Arc::strong_count(&node) > 1 {
        return;
    }
    let mut last = Some(node);
    let is_outermost = PENDING.try_with(|pending| match &mut *pending.borrow_mut() {
        Some(pending) => {
            pending.extend(last.take());
            false
        }
        none => {
            *none = Some(Vec::new());
            true
        }
    });
    // While the thread ends there is no list, and the handle drops as handles do.
    if is_outermost == Ok(true) {
        let _done = Done;
        while let Some(node) = last {
            drop(node);
            last = PENDING.with_borrow_mut(|pending| pending.as_mut()?.pop());
        }
    }
}

/// Closes the list, also when an owner's destructor panics.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        let rest = PENDING.take();
        drop(rest);
    }
}
