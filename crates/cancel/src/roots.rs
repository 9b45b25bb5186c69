//! The nodes that have no parent, so that whoever looks for all that runs finds where to begin.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::children::Children;
use crate::node::{BURST, Node};

// Of the standard library also under loom, whose primitives a static can't hold: no model looks here.
static ROOTS: Mutex<Children> = Mutex::new(Children::new());
static LIVING: AtomicUsize = AtomicUsize::new(0);

/// Every scope and group outside of any other that somebody holds.
pub fn roots() -> Vec<Arc<Node>> {
    table().living()
}

pub(crate) fn add(node: &Arc<Node>) {
    LIVING.fetch_add(1, Relaxed);
    table().push(node);
}

/// A root is dropped. Who adds one sweeps the table; so that a burst of them leaves nothing behind if
/// no more come, it is swept here as well each time their number has halved.
pub(crate) fn forget_one() {
    let living = LIVING.fetch_sub(1, Relaxed) - 1;
    if living >= BURST && living.is_power_of_two() {
        let mut table = table();
        if table.len() > 4 * living {
            table.sweep();
        }
    }
}

fn table() -> MutexGuard<'static, Children> {
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner)
}
