use std::mem::take;
use std::sync::{Arc, Weak};

use shibuya_cancel::raw::Node;
use shibuya_waitlist::primitives::Mutex;
use tokio::task::AbortHandle;

/// The tasks of a group, as the group sees them: to have them dropped, to name them, and to give
/// their memory back.
///
/// Whoever spawns sweeps the table, since memory is cheapest to free on the thread that asked for it.
/// If the workers freed what the spawner allocates, both would stand in line for the allocator's lock:
/// with glibc's, on two workers, that made a spawn cost 1.6 times as much. What is kept is no more
/// than twice what the last sweep left; the futures in it are gone.
pub(crate) struct Cells(Mutex<Table>);

struct Table {
    cells: Vec<Cell>,
    /// How many the last sweep left.
    swept: usize,
    /// What was aborted, for its memory.
    spent: Vec<AbortHandle>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Open,
    /// Who comes is dropped.
    Aborted,
    /// All tasks have ended. Whatever comes is let go.
    Over,
}

struct Cell {
    node: Weak<Node>,
    /// None where a task must not be dropped from outside, or was.
    abort: Option<AbortHandle>,
}

/// A table no longer than this is not worth a sweep.
const SWEEP_MIN: usize = 32;

impl Cells {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Table {
            cells: Vec::new(),
            swept: 0,
            spent: Vec::new(),
            stage: Stage::Open,
        }))
    }

    /// Takes in a task that was just spawned, and gives some memory back from time to time.
    pub(crate) fn keep(&self, node: &Arc<Node>, mut abort: Option<AbortHandle>) {
        let node = Arc::downgrade(node);
        let mut table = self.0.lock();
        if table.stage == Stage::Over {
            return;
        }
        // The group was aborted between the spawn and this.
        let late = match table.stage {
            Stage::Aborted => abort.take(),
            _ => None,
        };
        if table.cells.len() > SWEEP_MIN.max(2 * table.swept) {
            table.sweep();
        }
        table.cells.push(Cell { node, abort });
        drop(table);
        if let Some(late) = late {
            late.abort();
        }
    }

    /// Has all tasks dropped, and those that come, too.
    pub(crate) fn abort(&self) {
        let mut table = self.0.lock();
        if table.stage == Stage::Open {
            table.stage = Stage::Aborted;
        }
        let handles = table.cells.iter_mut().map(|cell| cell.abort.take());
        let handles: Vec<_> = handles.flatten().collect();
        drop(table);
        // Without the lock: on a runtime that is gone, this may drop the task here.
        for handle in &handles {
            handle.abort();
        }
        let mut table = self.0.lock();
        if table.stage != Stage::Over {
            table.spent = handles;
        }
    }

    /// The nodes of the tasks that have not ended.
    pub(crate) fn living(&self) -> Vec<Arc<Node>> {
        let table = self.0.lock();
        let mut living = Vec::with_capacity(table.cells.len());
        living.extend(table.cells.iter().filter_map(|cell| cell.node.upgrade()));
        drop(table);
        living.retain(|node| !node.has_ended());
        living
    }

    /// For when `living` tasks are left and perhaps no more are spawned: call it each time their
    /// number has halved.
    pub(crate) fn thin_out(&self, living: usize) {
        let mut table = self.0.lock();
        if table.cells.len() > SWEEP_MIN + 4 * living {
            table.sweep();
        }
    }

    /// Gives all of the memory back: all tasks have ended.
    pub(crate) fn clear(&self) {
        let mut table = self.0.lock();
        table.stage = Stage::Over;
        let spare = (take(&mut table.cells), take(&mut table.spent));
        drop(table);
        drop(spare);
    }
}

impl Table {
    /// What is dropped here is memory alone: of a node without handles, and of a task that has neither
    /// future nor waker.
    fn sweep(&mut self) {
        self.cells.retain(Cell::is_alive);
        self.swept = self.cells.len();
        if self.cells.capacity() > 8 * self.swept.max(SWEEP_MIN) {
            self.cells.shrink_to(2 * self.swept);
        }
    }
}

impl Cell {
    fn is_alive(&self) -> bool {
        match &self.abort {
            Some(abort) => !abort.is_finished(),
            None => self.node.strong_count() > 0,
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use shibuya_cancel::raw::{Bound, Role};
    use tokio::task::JoinHandle;

    use super::*;

    fn node() -> Arc<Node> {
        Node::root(Bound::NONE, Duration::ZERO, Role::Run)
    }

    async fn was_aborted(task: JoinHandle<()>) -> bool {
        task.await.is_err_and(|error| error.is_cancelled())
    }

    #[tokio::test]
    async fn an_abort_meets_also_who_comes_late() {
        let cells = Cells::new();
        let nodes = [node(), node()];
        let tasks = [(); 2].map(|()| tokio::spawn(pending::<()>()));
        cells.keep(&nodes[0], Some(tasks[0].abort_handle()));
        cells.abort();
        cells.keep(&nodes[1], Some(tasks[1].abort_handle()));
        assert_eq!(cells.living().len(), 2, "they are still named");
        for task in tasks {
            assert!(was_aborted(task).await);
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_once_all_is_over() {
        let (cells, node) = (Cells::new(), node());
        let task = tokio::spawn(pending::<()>());
        cells.keep(&node, Some(task.abort_handle()));
        cells.abort();
        assert!(was_aborted(task).await);
        cells.clear();
        cells.keep(&node, None);
        cells.abort();
        let table = cells.0.lock();
        assert!(table.cells.is_empty() && table.spent.is_empty());
    }

    #[tokio::test]
    async fn the_living_are_those_that_have_not_ended() {
        let cells = Cells::new();
        let nodes = [node(), node(), node()];
        for node in &nodes {
            cells.keep(node, None);
        }
        nodes[0].end();
        let [_, gone, living] = nodes;
        drop(gone);
        let found = cells.living();
        assert!(found.len() == 1 && Arc::ptr_eq(&found[0], &living));
    }

    #[tokio::test]
    async fn the_table_follows_the_living() {
        let cells = Cells::new();
        let living = node();
        cells.keep(&living, None);
        for _ in 0..100_000 {
            cells.keep(&node(), None);
        }
        let table = cells.0.lock();
        assert!(table.cells.len() <= 2 * SWEEP_MIN && table.cells.capacity() <= 8 * SWEEP_MIN);
        drop(table);
        assert_eq!(cells.living().len(), 1);
    }
}
