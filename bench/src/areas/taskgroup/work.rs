//! What the tasks do: as little as possible, but provably.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A task that is ready at its first poll. Its future has 16 bytes.
pub(super) async fn ready(value: u64) -> io::Result<u64> {
    RAN.hit();
    Ok(black_box(value))
}

/// A task that is polled twice. Tokio's own `yield_now` leaves the wake to the runtime, as a socket or a timer does; a
/// future that wakes itself while it is polled would let combinators within one task go on without ever giving way.
pub(super) async fn yields(value: u64) -> io::Result<u64> {
    tokio::task::yield_now().await;
    RAN.hit();
    Ok(black_box(value))
}

/// The tasks that ran.
pub(super) static RAN: Tally = Tally::new();

/// Counts events of tasks on all threads without making the threads contend for the counter: that would add the same to
/// every contender and so draw all ratios towards 1.
pub(super) struct Tally {
    shards: [Shard; SHARDS],
}

const SHARDS: usize = 8;

/// Alone on its cache lines.
#[repr(align(128))]
struct Shard(AtomicUsize);

thread_local! {
    static MINE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Relaxed) % SHARDS
    };
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self {
            shards: [const { Shard(AtomicUsize::new(0)) }; SHARDS],
        }
    }

    pub(super) fn hit(&self) {
        MINE.with(|&mine| self.shards[mine].0.fetch_add(1, Relaxed));
    }

    pub(super) fn sum(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.load(Relaxed)).sum()
    }

    /// The sum, and back to zero for the next lap.
    pub(super) fn take(&self) -> usize {
        let taken = self.shards.iter().map(|shard| shard.0.swap(0, Relaxed));
        taken.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_task_has_sixteen_bytes() {
        assert_eq!(size_of_val(&ready(1)), 16);
    }

    #[test]
    fn a_tally_misses_no_thread() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| tally.hit());
            }
        });
        assert_eq!((tally.sum(), tally.take(), tally.take()), (20, 20, 0));
    }
}
