use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Waker;

use shibuya_waitlist::primitives::{AtomicBool, AtomicU64, Mutex};

/// The way of values from many workers to one consumer.
///
/// Each worker has a lane of its own, so they seldom meet; a bit for each lane with something in it
/// tells the consumer where to look. How much can pile up is the business of the
/// [`Feed`](super::feed::Feed), whose horizon the consumer moves.
pub(super) struct Outlet<U> {
    lanes: Box<[Lane<U>]>,
    filled: Box<[AtomicU64]>,
    consumer: Mutex<Option<Waker>>,
    /// The consumer waits; set before it looks a last time.
    parked: AtomicBool,
}

/// On cache lines of its own.
#[repr(align(64))]
struct Lane<U>(Mutex<Vec<(usize, U)>>);

impl<U> Outlet<U> {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            lanes: (0..workers).map(|_| Lane(Mutex::new(Vec::new()))).collect(),
            filled: (0..workers.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            consumer: Mutex::new(None),
            parked: AtomicBool::new(false),
        }
    }

    /// Hands a value to the consumer, and wakes it if it waits.
    pub(super) fn push(&self, worker: usize, place: usize, value: U) {
        let mut lane = self.lanes[worker].0.lock();
        let was_empty = lane.is_empty();
        lane.push((place, value));
        drop(lane);
        if was_empty {
            self.filled[worker / 64].fetch_or(1 << (worker % 64), SeqCst);
            loom_fence();
            if self.parked.load(SeqCst) && self.parked.swap(false, SeqCst) {
                let consumer = self.consumer.lock().take();
                if let Some(consumer) = consumer {
                    consumer.wake();
                }
            }
        }
    }

    /// Takes all that is there.
    pub(super) fn take_all(&self, into: &mut VecDeque<(usize, U)>) {
        for (word, filled) in self.filled.iter().enumerate() {
            if filled.load(SeqCst) == 0 {
                continue;
            }
            let mut bits = filled.swap(0, SeqCst);
            while bits != 0 {
                let worker = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                into.extend(self.lanes[worker].0.lock().drain(..));
            }
        }
    }

    /// Registers the consumer. It must look once more afterwards: what is pushed from here on wakes
    /// it.
    pub(super) fn park(&self, waker: &Waker) {
        let stale = self.consumer.lock().replace(waker.clone());
        self.parked.store(true, SeqCst);
        loom_fence();
        drop(stale);
    }
}

/// Who fills a lane and who parks must not miss each other: both write, then look at what the other
/// one writes. `SeqCst` sees to that; loom takes it for less than it is, and knows the fence alone.
fn loom_fence() {
    #[cfg(shibuya_loom)]
    shibuya_waitlist::primitives::fence(SeqCst);
}
