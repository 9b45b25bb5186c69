use shibuya_waitlist::primitives::Mutex;
use tokio::task::AbortHandle;

/// Tokio's memory of a group's tasks, kept until whoever spawns gives it back.
///
/// Memory is cheapest to free on the thread that asked for it. If the workers freed what the spawner
/// allocates, both would stand in line for the allocator's lock: with glibc's, on two workers, that
/// made a spawn cost 1.6 times as much. What is kept is no more than twice what lives; the futures in
/// it are gone.
pub(crate) struct Cells(Mutex<Table>);

struct Table {
    handles: Vec<AbortHandle>,
    /// How many the last sweep left.
    swept: usize,
}

/// A table no longer than this is not worth a sweep.
const SWEEP_MIN: usize = 32;

impl Cells {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Table {
            handles: Vec::new(),
            swept: 0,
        }))
    }

    /// Keeps the memory of a task that was just spawned, and gives some back from time to time.
    pub(crate) fn keep(&self, task: AbortHandle) {
        let mut table = self.0.lock();
        if table.handles.len() > SWEEP_MIN.max(2 * table.swept) {
            table.sweep();
        }
        table.handles.push(task);
    }

    /// For when `living` tasks are left and perhaps no more are spawned: call it each time their
    /// number has halved.
    pub(crate) fn thin_out(&self, living: usize) {
        let mut table = self.0.lock();
        if table.handles.len() > SWEEP_MIN + 4 * living {
            table.sweep();
        }
    }

    /// Gives all of it back.
    pub(crate) fn clear(&self) {
        let handles = std::mem::take(&mut self.0.lock().handles);
        drop(handles);
    }
}

impl Table {
    /// What is dropped here is memory alone: a finished task has neither future nor waker.
    fn sweep(&mut self) {
        self.handles.retain(|task| !task.is_finished());
        self.swept = self.handles.len();
        if self.handles.capacity() > 8 * self.swept.max(SWEEP_MIN) {
            self.handles.shrink_to(2 * self.swept);
        }
    }
}
