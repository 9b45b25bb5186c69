use std::future::{Future, poll_fn};
use std::sync::atomic::Ordering::Relaxed;

use shibuya_waitlist::primitives::AtomicUsize;

use super::feed::Feed;
use crate::{GroupError, Name};

/// What the workers of a map share.
pub(super) struct Crew<I, F> {
    pub(super) feed: Feed<I>,
    pub(super) f: F,
    at: Box<[At]>,
}

/// The place that a worker is at, for the name of a failure. On a cache line of its own, since it is
/// written for every item.
#[repr(align(64))]
struct At(AtomicUsize);

impl<I: Iterator, F> Crew<I, F> {
    pub(super) fn new(items: I, f: F, workers: usize, horizon: usize) -> Self {
        Self {
            feed: Feed::new(items, workers, horizon),
            f,
            at: (0..workers).map(|_| At(AtomicUsize::new(0))).collect(),
        }
    }

    /// The next item for this worker, with its place in the input.
    #[inline]
    pub(super) fn next(&self, worker: usize) -> impl Future<Output = Option<(usize, I::Item)>> {
        let at = &self.at[worker].0;
        poll_fn(move |cx| self.feed.poll_next(cx, worker, at))
    }

    /// Calls the failures after the items where they happened, not after the workers.
    pub(super) fn name_failures<E>(&self, error: GroupError<E>) -> GroupError<E> {
        error.rename(|name| match name.as_worker() {
            Some(worker) => Name::item(self.at[worker].0.load(Relaxed)),
            None => name,
        })
    }
}
