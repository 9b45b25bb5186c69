//! What each thread does with tasks, written by that thread and read by others.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use shibuya_cancel::TaskId;
use shibuya_cancel::raw::{Label, Node};

use super::ended::{Ended, EndedAs, Ring};
use super::{coarse, watchdog};

// The primitives are the standard library's also under loom: what stands here is read for show alone,
// and a static can't hold loom's.

pub(super) struct Desk {
    /// The address of the node of the task or group that is polled right now, which says who it is for as
    /// long as that lives; 0 for none.
    polled: AtomicUsize,
    /// Grows with each poll, so that two polls of one task are told apart.
    polls: AtomicU64,
    ended: Mutex<Ring>,
    pub(super) thread: String,
}

static DESKS: Mutex<Vec<Weak<Desk>>> = Mutex::new(Vec::new());

thread_local! {
    static DESK: Arc<Desk> = Desk::open();
}

impl Desk {
    fn open() -> Arc<Self> {
        let thread = std::thread::current();
        let desk = Arc::new(Self {
            polled: AtomicUsize::new(0),
            polls: AtomicU64::new(0),
            ended: Mutex::new(Ring::new()),
            thread: thread
                .name()
                .map_or_else(|| format!("{:?}", thread.id()), str::to_owned),
        });
        let mut desks = lock(&DESKS);
        desks.retain(|desk| desk.strong_count() > 0);
        desks.push(Arc::downgrade(&desk));
        drop(desks);
        watchdog::start();
        desk
    }

    /// What is polled there, and the number of that poll.
    pub(super) fn poll(&self) -> (usize, u64) {
        (self.polled.load(Relaxed), self.polls.load(Relaxed))
    }

    pub(super) fn ended(&self) -> Vec<Ended> {
        lock(&self.ended).iter().cloned().collect()
    }
}

/// What a node is known by on a desk.
pub(super) fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node).addr()
}

/// The desks of all threads that poll tasks, or did.
pub(super) fn all() -> Vec<Arc<Desk>> {
    lock(&DESKS).iter().filter_map(Weak::upgrade).collect()
}

/// Says that this thread polls a task or a group's body, until it is dropped.
#[must_use = "it ends when it is dropped"]
pub(crate) struct Polling {
    outer: usize,
    /// It must drop on the thread that it was made on.
    here: PhantomData<Cell<*const ()>>,
}

impl Polling {
    #[inline]
    pub(crate) fn begin(node: &Arc<Node>) -> Self {
        let outer = DESK.try_with(|desk| {
            let outer = desk.polled.load(Relaxed);
            desk.polls
                .store(desk.polls.load(Relaxed).wrapping_add(1), Relaxed);
            desk.polled.store(address(node), Relaxed);
            outer
        });
        watchdog::stay_awake();
        Self {
            // While the thread ends there is no desk, and nothing to restore.
            outer: outer.unwrap_or(0),
            here: PhantomData,
        }
    }

    /// The time, for what was polled to keep.
    pub(crate) fn stamp(&self) -> u32 {
        coarse::stamp()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        let _ = DESK.try_with(|desk| desk.polled.store(self.outer, Relaxed));
    }
}

/// Remembers a task that ended on this thread.
#[inline]
pub(crate) fn ended(task: &Label, group: TaskId, ending: EndedAs) {
    let _ = DESK.try_with(|desk| lock(&desk.ended).push(Ended::new(task, group, ending)));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
