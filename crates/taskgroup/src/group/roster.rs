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
pub(crate) struct Roster(Mutex<Table>);

struct Table {
    nodes: Vec<Weak<Node>>,
    /// As many as nodes, until they are used. None where a task must not be dropped from outside.
    aborts: Vec<Option<AbortHandle>>,
    /// How many the last sweep left.
    swept: usize,
    /// How often it was swept, and places changed.
    sweeps: usize,
    /// How many were ever kept.
    total: usize,
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

/// A table no longer than this is not worth a sweep. The policy has a twin in cancel's `node.rs`: they
/// differ in what they sweep and when it is alive, and the rest is less than an interface for it.
const SWEEP_MIN: usize = 32;

impl Roster {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Table {
            nodes: Vec::new(),
            aborts: Vec::new(),
            swept: 0,
            sweeps: 0,
            total: 0,
            stage: Stage::Open,
        }))
    }

    /// Takes in a task that was just spawned, and gives some memory back from time to time.
    pub(crate) fn keep(&self, node: &Arc<Node>, abort: Option<AbortHandle>) {
        let node = Arc::downgrade(node);
        let mut table = self.0.lock();
        table.total += 1;
        match table.stage {
            Stage::Open => {
                if table.nodes.len() > SWEEP_MIN.max(2 * table.swept) {
                    table.sweep();
                }
                table.nodes.push(node);
                table.aborts.push(abort);
            }
            Stage::Aborted => {
                table.nodes.push(node);
                drop(table);
                // The group was aborted between the spawn and this.
                if let Some(abort) = abort {
                    abort.abort();
                }
            }
            Stage::Over => {}
        }
    }

    /// Has all tasks dropped, and those that come, too.
    pub(crate) fn abort(&self) {
        let mut table = self.0.lock();
        if table.stage == Stage::Open {
            table.stage = Stage::Aborted;
        }
        let aborts = take(&mut table.aborts);
        drop(table);
        // Without the lock: on a runtime that is gone, this may drop the task here.
        for abort in aborts.iter().flatten() {
            abort.abort();
        }
        let mut table = self.0.lock();
        if table.stage == Stage::Aborted {
            // For their memory.
            table.aborts = aborts;
        }
    }

    /// The nodes of the tasks that have not ended.
    pub(crate) fn living(&self) -> Vec<Arc<Node>> {
        let table = self.0.lock();
        let mut living = Vec::with_capacity(table.nodes.len());
        living.extend(table.nodes.iter().filter_map(Weak::upgrade));
        drop(table);
        living.retain(|node| !node.has_ended());
        living
    }

    /// The nodes of the tasks that somebody holds, ended or not: in portions, and with the lock free for
    /// most of the time, so that who spawns does not wait for a walk through all of them.
    pub(crate) fn survey(&self) -> Vec<Arc<Node>> {
        const PORTION: usize = 32;
        const PAUSES: usize = 300;
        const TRIES: usize = 3;
        let mut portion = PORTION;
        for attempt in 0.. {
            let mut found = Vec::new();
            let (mut at, mut sweeps) = (0, None);
            // A sweep moves those behind the ones it takes out: begin again, and at last do it at once.
            if attempt == TRIES {
                portion = usize::MAX;
            }
            loop {
                // Not under the lock, where it would move all that was found.
                found.reserve(PORTION);
                let table = self.0.lock();
                if *sweeps.get_or_insert(table.sweeps) != table.sweeps {
                    break;
                }
                let rest = table.nodes.get(at..).unwrap_or_default();
                let next = &rest[..portion.min(rest.len())];
                at += next.len();
                let is_done = next.len() == rest.len();
                found.extend(next.iter().filter_map(Weak::upgrade));
                drop(table);
                if is_done {
                    return found;
                }
                // Who waits looks now and then; to lock again at once would send it to sleep.
                for _ in 0..PAUSES {
                    std::hint::spin_loop();
                }
            }
        }
        unreachable!("the last try is not disturbed")
    }

    /// How many tasks were spawned.
    pub(crate) fn total(&self) -> usize {
        self.0.lock().total
    }

    /// For when `living` tasks are left and perhaps no more are spawned: call it each time their
    /// number has halved. Some four times as many are kept then, at most.
    pub(crate) fn thin_out(&self, living: usize) {
        let mut table = self.0.lock();
        if table.stage == Stage::Open && table.nodes.len() > SWEEP_MIN + 4 * living {
            table.sweep();
        }
    }

    /// Gives all of the memory back: all tasks have ended.
    pub(crate) fn clear(&self) {
        let mut table = self.0.lock();
        table.stage = Stage::Over;
        let (nodes, aborts) = (take(&mut table.nodes), take(&mut table.aborts));
        drop(table);
        // In the order in which they were allocated.
        nodes.into_iter().zip(aborts).for_each(drop);
    }
}

impl Table {
    /// What is dropped here is memory alone: of a node without handles, and of a task that has neither
    /// future nor waker.
    fn sweep(&mut self) {
        let Self { nodes, aborts, .. } = self;
        let mut kept = 0;
        for at in 0..nodes.len() {
            let is_alive = match &aborts[at] {
                Some(abort) => !abort.is_finished(),
                None => nodes[at].strong_count() > 0,
            };
            if is_alive {
                nodes.swap(kept, at);
                aborts.swap(kept, at);
                kept += 1;
            }
        }
        nodes.truncate(kept);
        aborts.truncate(kept);
        if nodes.capacity() > 8 * kept.max(SWEEP_MIN) {
            nodes.shrink_to(2 * kept);
            aborts.shrink_to(2 * kept);
        }
        self.swept = kept;
        self.sweeps += 1;
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
        let roster = Roster::new();
        let nodes = [node(), node()];
        let tasks = [(); 2].map(|()| tokio::spawn(pending::<()>()));
        roster.keep(&nodes[0], Some(tasks[0].abort_handle()));
        roster.abort();
        roster.keep(&nodes[1], Some(tasks[1].abort_handle()));
        assert_eq!(roster.living().len(), 2, "they are still named");
        for task in tasks {
            assert!(was_aborted(task).await);
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_once_all_is_over() {
        let (roster, node) = (Roster::new(), node());
        let task = tokio::spawn(pending::<()>());
        roster.keep(&node, Some(task.abort_handle()));
        roster.abort();
        assert!(was_aborted(task).await);
        roster.clear();
        roster.keep(&node, None);
        roster.abort();
        let table = roster.0.lock();
        assert!(table.nodes.is_empty() && table.aborts.is_empty());
    }

    #[tokio::test]
    async fn the_living_are_those_that_have_not_ended() {
        let roster = Roster::new();
        let nodes = [node(), node(), node()];
        for node in &nodes {
            roster.keep(node, None);
        }
        nodes[0].end();
        let [_, gone, living] = nodes;
        drop(gone);
        let found = roster.living();
        assert!(found.len() == 1 && Arc::ptr_eq(&found[0], &living));
    }

    #[tokio::test]
    async fn the_table_follows_the_living() {
        let roster = Roster::new();
        let living = node();
        roster.keep(&living, None);
        for _ in 0..100_000 {
            roster.keep(&node(), None);
        }
        let table = roster.0.lock();
        assert!(table.nodes.len() <= 2 * SWEEP_MIN && table.nodes.capacity() <= 8 * SWEEP_MIN);
        assert_eq!(table.nodes.len(), table.aborts.len());
        drop(table);
        assert_eq!(roster.living().len(), 1);
    }

    #[tokio::test]
    async fn a_crowd_that_goes_leaves_no_big_table() {
        const LIVING: usize = 1024;
        let roster = Roster::new();
        let mut crowd: Vec<_> = (0..100_000).map(|_| node()).collect();
        for node in &crowd {
            roster.keep(node, None);
        }
        crowd.truncate(LIVING);
        roster.thin_out(LIVING);
        let table = roster.0.lock();
        assert!(table.nodes.len() <= SWEEP_MIN + 4 * LIVING);
        assert!(table.nodes.capacity() <= 8 * LIVING && table.aborts.capacity() <= 8 * LIVING);
        assert_eq!(table.nodes.len(), table.aborts.len());
        drop(table);
        assert_eq!(roster.living().len(), LIVING);
    }
}
