use std::mem::take;
use std::task::{Context, Poll, Waker, ready};

use shibuya_waitlist::primitives::Mutex;
use tokio::task::coop::poll_proceed;

/// The input, shared by the workers, and the horizon up to which they may take it.
///
/// Each item costs a worker one turn at the lock. What that costs is the cache line, which comes from
/// another thread: so all that a turn needs is on one, and nothing else.
#[repr(align(128))]
pub(super) struct Feed<I>(Mutex<Source<I>>);

#[repr(C)]
struct Source<I> {
    next: usize,
    /// The first place that is too far ahead of the consumer.
    horizon: usize,
    /// Also while the iterator runs: one that panicked is not asked again.
    over: bool,
    items: I,
    standing: Standing,
}

/// The workers that stand at the horizon. Each place that it moves on wakes one: the place is taken
/// by that one, or by another that goes on from it.
struct Standing {
    wakers: Vec<(usize, Waker)>,
    /// By worker, where it is in the list.
    index: Box<[Option<usize>]>,
}

impl<I: Iterator> Feed<I> {
    pub(super) fn new(items: I, workers: usize, horizon: usize) -> Self {
        Self(Mutex::new(Source {
            next: 0,
            horizon,
            over: false,
            items,
            standing: Standing {
                wakers: Vec::new(),
                index: (0..workers).map(|_| None).collect(),
            },
        }))
    }

    /// The next item for `worker`, with its place in the input. Waits while that lies beyond the
    /// horizon. Says `at` which place it is before it asks the iterator.
    #[inline]
    pub(super) fn poll_next(
        &self,
        cx: &mut Context<'_>,
        worker: usize,
        at: &mut usize,
    ) -> Poll<Option<(usize, I::Item)>> {
        // However ready the work is, the thread and a cancellation have their turn.
        let turn = ready!(poll_proceed(cx));
        let mut source = self.0.lock();
        if source.over {
            return Poll::Ready(None);
        }
        // Whoever is polled without being woken must not take the wake of another.
        source.standing.remove(worker);
        let place = source.next;
        if place >= source.horizon {
            source.standing.push(worker, cx.waker());
            return Poll::Pending;
        }
        *at = place;
        source.over = true;
        if let Some(item) = source.items.next() {
            source.over = false;
            source.next = place + 1;
            turn.made_progress();
            return Poll::Ready(Some((place, item)));
        }
        // Those at the horizon are to find the end, too.
        let standing = take(&mut source.standing.wakers);
        drop(source);
        standing.into_iter().for_each(|(_, waker)| waker.wake());
        Poll::Ready(None)
    }

    /// Moves the horizon on by as many places as were consumed, and wakes as many workers. `woken` is
    /// room for them, and empty.
    pub(super) fn advance(&self, consumed: usize, woken: &mut Vec<Waker>) {
        let mut source = self.0.lock();
        source.horizon = source.horizon.saturating_add(consumed);
        woken.extend((0..consumed).map_while(|_| source.standing.pop()));
        drop(source);
        woken.drain(..).for_each(Waker::wake);
    }

    /// How many items there were.
    pub(super) fn taken(&self) -> usize {
        self.0.lock().next
    }
}

impl Standing {
    fn push(&mut self, worker: usize, waker: &Waker) {
        self.index[worker] = Some(self.wakers.len());
        self.wakers.push((worker, waker.clone()));
    }

    fn pop(&mut self) -> Option<Waker> {
        let (worker, waker) = self.wakers.pop()?;
        self.index[worker] = None;
        Some(waker)
    }

    fn remove(&mut self, worker: usize) {
        if self.wakers.is_empty() {
            return;
        }
        if let Some(index) = self.index[worker].take() {
            self.wakers.swap_remove(index);
            if let Some(&(moved, _)) = self.wakers.get(index) {
                self.index[moved] = Some(index);
            }
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_worker_that_is_polled_unasked_takes_no_wake_of_another() {
        let woken: [Arc<Woken>; 3] = Default::default();
        let feed = Feed::new(0.., 3, 0);
        let poll = |worker: usize| {
            let waker = Waker::from(woken[worker].clone());
            feed.poll_next(&mut Context::from_waker(&waker), worker, &mut 0)
        };
        for worker in [0, 1, 2, 0, 2, 2] {
            assert_eq!(poll(worker), Poll::Pending);
        }
        let mut room = Vec::new();
        feed.advance(1, &mut room);
        let counts = || woken.each_ref().map(|woken| woken.0.load(SeqCst));
        assert_eq!(counts(), [0, 0, 1]);
        // It is late, and another comes by.
        assert_eq!(poll(1), Poll::Ready(Some((0, 0))));
        assert_eq!(poll(2), Poll::Pending);
        feed.advance(3, &mut room);
        assert_eq!(counts(), [1, 0, 2]);
        assert!(room.is_empty());
    }
}
