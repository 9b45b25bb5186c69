use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use shibuya_waitlist::primitives::{AtomicBool, AtomicU32, Mutex};

/// The way of values from many workers to one consumer.
///
/// Each thread has a lane of its own, so that its workers meet nobody there but the consumer, which
/// comes for many values at a time. How much can pile up is the business of the
/// [`Feed`](super::feed::Feed), whose horizon the consumer moves.
pub(super) struct Outlet<U> {
    lanes: [Lane<U>; LANES],
    /// A bit for each lane that was ever used.
    used: AtomicU32,
    /// The consumer waits. Set before it looks into the lanes a last time, and read after a value was
    /// put into one: their locks see to it that one of the two notices the other.
    waits: AtomicBool,
    /// Where it waits. Also held while one of the words above is set, so that the order of that is
    /// known.
    consumer: Mutex<Option<Waker>>,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Lane<U>(Mutex<VecDeque<(usize, U)>>);

/// With more threads than this, some share a lane.
const LANES: usize = if cfg!(shibuya_loom) { 2 } else { 16 };

impl<U> Outlet<U> {
    pub(super) fn new() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Lane(Mutex::new(VecDeque::new()))),
            used: AtomicU32::new(0),
            waits: AtomicBool::new(false),
            consumer: Mutex::new(None),
        }
    }

    /// Hands a value to the consumer, and wakes it if it waits. Any `lane` will do; it is meant to be
    /// the [thread's](here).
    pub(super) fn push(&self, lane: usize, place: usize, value: U) {
        let lane = lane % LANES;
        if self.used.load(Relaxed) & 1 << lane == 0 {
            let _order = self.consumer.lock();
            self.used.fetch_or(1 << lane, Relaxed);
        }
        self.lanes[lane].0.lock().push_back((place, value));
        if self.waits.load(Relaxed) && self.waits.swap(false, Relaxed) {
            let consumer = self.consumer.lock().take();
            if let Some(consumer) = consumer {
                consumer.wake();
            }
        }
    }

    /// Takes all that is there.
    pub(super) fn take_all(&self, into: &mut VecDeque<(usize, U)>) {
        let mut used = self.used.load(Relaxed);
        while used != 0 {
            into.append(&mut self.lanes[used.trailing_zeros() as usize].0.lock());
            used &= used - 1;
        }
    }

    /// Registers the consumer. It must look once more afterwards: what is pushed from here on wakes
    /// it.
    pub(super) fn park(&self, waker: &Waker) {
        let mut consumer = self.consumer.lock();
        let stale = consumer.replace(waker.clone());
        self.waits.store(true, Relaxed);
        drop(consumer);
        drop(stale);
    }
}

/// The lane of this thread.
pub(super) fn here() -> usize {
    use std::sync::atomic::AtomicUsize;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HERE: usize = THREADS.fetch_add(1, Relaxed);
    }
    // A thread that ends has lost it, and then any will do.
    HERE.try_with(|&here| here).unwrap_or(0)
}
