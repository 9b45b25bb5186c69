use std::future::{Future, poll_fn};
use std::sync::atomic::Ordering::Relaxed;

use shibuya_waitlist::primitives::AtomicUsize;

use super::feed::Feed;
use crate::{GroupError, Name};

/// What the workers of a map share.
pub(super) struct Crew<I, F> {
    pub(super) feed: Feed<I>,
    pub(super) f: F,
    /// The last place of each worker, for the name of a failure.
    last: Box<[AtomicUsize]>,
}

/// A worker, and the place that it is at. However it ends, it leaves that behind.
pub(super) struct Worker<'a> {
    number: usize,
    place: usize,
    last: &'a AtomicUsize,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.last.store(self.place, Relaxed);
    }
}

impl<I: Iterator, F> Crew<I, F> {
    pub(super) fn new(items: I, f: F, workers: usize, horizon: usize) -> Self {
        Self {
            feed: Feed::new(items, workers, horizon),
            f,
            last: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    pub(super) fn worker(&self, number: usize) -> Worker<'_> {
        Worker {
            number,
            place: 0,
            last: &self.last[number],
        }
    }

    /// The next item for a worker, with its place in the input.
    #[inline]
    pub(super) fn next(
        &self,
        worker: &mut Worker<'_>,
    ) -> impl Future<Output = Option<(usize, I::Item)>> {
        poll_fn(move |cx| self.feed.poll_next(cx, worker.number, &mut worker.place))
    }

    /// Calls the failures after the items where they happened, not after the workers.
    pub(super) fn name_failures<E>(&self, error: GroupError<E>) -> GroupError<E> {
        error.rename(|failure| {
            let worker = failure.name().as_worker()?;
            Some(Name::item(self.last[worker].load(Relaxed)))
        })
    }
}
