use std::sync::atomic::Ordering::Relaxed;

use shibuya_waitlist::primitives::{AtomicUsize, Mutex};

use crate::{GroupError, Name};

/// The input, shared by the workers.
pub(super) struct Feed<I> {
    source: Mutex<Source<I>>,
    /// What each worker is at, for the name of a failure.
    current: Box<[Current]>,
}

struct Source<I> {
    items: I,
    next: usize,
    /// Also while `next` runs: an iterator that panicked is not asked again.
    over: bool,
}

/// On a cache line of its own, since each worker writes its own for every item.
#[repr(align(64))]
struct Current(AtomicUsize);

impl<I: Iterator> Feed<I> {
    pub(super) fn new(items: I, workers: usize) -> Self {
        Self {
            source: Mutex::new(Source {
                items,
                next: 0,
                over: false,
            }),
            current: (0..workers).map(|_| Current(AtomicUsize::new(0))).collect(),
        }
    }

    /// The next item, with its place in the input.
    pub(super) fn next(&self, worker: usize) -> Option<(usize, I::Item)> {
        let mut source = self.source.lock();
        if source.over {
            return None;
        }
        let index = source.next;
        self.current[worker].0.store(index, Relaxed);
        source.over = true;
        let item = source.items.next()?;
        source.over = false;
        source.next = index + 1;
        Some((index, item))
    }

    /// How many items there were.
    pub(super) fn taken(&self) -> usize {
        self.source.lock().next
    }

    /// Calls the failures after the items where they happened, not after the workers.
    pub(super) fn name_failures<E>(&self, error: GroupError<E>) -> GroupError<E> {
        error.rename(|name| match name.as_worker() {
            Some(worker) => Name::item(self.current[worker].0.load(Relaxed)),
            None => name,
        })
    }
}
