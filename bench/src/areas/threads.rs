//! What threads share, without a runtime.

use std::hint::black_box;
use std::thread;

use crate::meter::{Clock, Lap};

/// Does `step` `n` times in all, on so many threads at once, and counts those that say yes.
pub(super) async fn on_threads(
    threads: usize,
    n: usize,
    step: impl Fn() -> bool + Send + Sync,
) -> Lap {
    let share = || {
        let yes = (0..n / threads).filter(|_| black_box(black_box(&step)()));
        yes.count()
    };
    let clock = Clock::start();
    let count = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        let joined = |other: thread::ScopedJoinHandle<'_, usize>| other.join().expect("no panic");
        share() + others.into_iter().map(joined).sum::<usize>()
    });
    clock.stop(count)
}
