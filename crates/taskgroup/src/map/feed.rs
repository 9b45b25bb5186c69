use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};

use shibuya_waitlist::primitives::{AtomicUsize, Mutex};

use crate::{GroupError, Name};

/// The input, shared by the workers, and the horizon up to which they may take it.
pub(super) struct Feed<I> {
    source: Mutex<Source<I>>,
    /// What each worker is at, for the name of a failure.
    current: Box<[Current]>,
}

struct Source<I> {
    items: I,
    next: usize,
    /// The first place that is too far ahead of the consumer.
    horizon: usize,
    /// Workers that stand at the horizon. When it moves all of them are woken: they are no more than
    /// the limit, and it moves by many places at a time.
    standing: Vec<Waker>,
    /// Also while the iterator runs: one that panicked is not asked again.
    over: bool,
}

/// On a cache line of its own, since each worker writes its own for every item.
#[repr(align(64))]
struct Current(AtomicUsize);

impl<I: Iterator> Feed<I> {
    pub(super) fn new(items: I, workers: usize, horizon: usize) -> Self {
        let source = Source {
            items,
            next: 0,
            horizon,
            standing: Vec::new(),
            over: false,
        };
        Self {
            source: Mutex::new(source),
            current: (0..workers).map(|_| Current(AtomicUsize::new(0))).collect(),
        }
    }

    /// The next item, with its place in the input. Waits while that lies beyond the horizon.
    pub(super) async fn next(&self, worker: usize) -> Option<(usize, I::Item)> {
        poll_fn(|cx| {
            let mut source = self.source.lock();
            if source.over {
                return Poll::Ready(None);
            }
            let place = source.next;
            if place >= source.horizon {
                source.standing.push(cx.waker().clone());
                return Poll::Pending;
            }
            self.current[worker].0.store(place, Relaxed);
            source.over = true;
            let Some(item) = source.items.next() else {
                // Those at the horizon are to find the end, too.
                let standing = std::mem::take(&mut source.standing);
                drop(source);
                standing.into_iter().for_each(Waker::wake);
                return Poll::Ready(None);
            };
            source.over = false;
            source.next = place + 1;
            Poll::Ready(Some((place, item)))
        })
        .await
    }

    /// Moves the horizon on by as many places as were consumed.
    pub(super) fn advance(&self, consumed: usize) {
        let mut source = self.source.lock();
        source.horizon = source.horizon.saturating_add(consumed);
        let standing = std::mem::take(&mut source.standing);
        drop(source);
        standing.into_iter().for_each(Waker::wake);
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
