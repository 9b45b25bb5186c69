use std::sync::{Arc, Weak};

use crate::node::Node;

/// A table no longer than this is not worth a sweep. The policy has a twin in taskgroup's `roster.rs`.
pub(crate) const SWEEP_MIN: usize = 32;

/// Nodes that are kept by others: a table to walk, which forgets those that are gone.
#[derive(Default)]
pub(crate) struct Children {
    nodes: Vec<Weak<Node>>,
    /// How many the last sweep left.
    swept: usize,
}

impl Children {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            swept: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[cfg(all(test, not(shibuya_loom)))]
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.capacity()
    }

    /// Whoever makes children sweeps the table, as it also has their memory at hand.
    pub(crate) fn push(&mut self, node: &Arc<Node>) {
        if self.nodes.len() > SWEEP_MIN.max(2 * self.swept) {
            self.sweep();
        }
        self.nodes.push(Arc::downgrade(node));
    }

    /// Takes dropped children out of the table: constant work per child, since as many must have
    /// come or gone as it keeps.
    pub(crate) fn sweep(&mut self) {
        // Only counted, never upgraded: the last handle must not go under the lock.
        self.nodes.retain(|node| node.strong_count() > 0);
        self.swept = self.nodes.len();
        if self.nodes.capacity() > 8 * self.swept.max(SWEEP_MIN) {
            self.nodes.shrink_to(2 * self.swept);
        }
    }

    /// Those that somebody still holds. Drop them outside of the lock.
    pub(crate) fn living(&self) -> Vec<Arc<Node>> {
        let mut living = Vec::with_capacity(self.nodes.len());
        living.extend(self.nodes.iter().filter_map(Weak::upgrade));
        living
    }
}
