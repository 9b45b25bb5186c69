//! What is tried, the same for all, and the loop that tries it.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::meter::{Clock, Lap};

/// An answer is ready at the first poll.
pub(super) async fn ask(request: u64) -> Answer {
    SERVER.answer(request)
}

pub(super) type Answer = Result<u64, Unavailable>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unavailable")
    }
}

impl std::error::Error for Unavailable {}

static SERVER: Server = Server {
    failures: AtomicUsize::new(0),
    left: AtomicUsize::new(0),
    asked: AtomicUsize::new(0),
};

/// Fails so many times before each answer.
struct Server {
    failures: AtomicUsize,
    left: AtomicUsize,
    asked: AtomicUsize,
}

impl Server {
    fn reset(&self, failures: usize) {
        self.failures.store(failures, Relaxed);
        self.left.store(failures, Relaxed);
        self.asked.store(0, Relaxed);
    }

    /// Out of line, so that nobody's loop can be folded into nothing.
    ///
    /// Plain loads and stores, since one thread asks: a locked instruction would cost more than what is measured.
    #[inline(never)]
    fn answer(&self, request: u64) -> Answer {
        self.asked.store(self.asked.load(Relaxed) + 1, Relaxed);
        match self.left.load(Relaxed) {
            0 => {
                self.left.store(self.failures.load(Relaxed), Relaxed);
                Ok(!request)
            }
            left => {
                self.left.store(left - 1, Relaxed);
                Err(Unavailable)
            }
        }
    }
}

/// Makes `n` calls one after the other, each of which fails `failures` times before it succeeds.
pub(super) async fn calls<F, E>(n: usize, failures: usize, mut call: impl FnMut(u64) -> F) -> Lap
where
    F: Future<Output = Result<u64, E>>,
{
    SERVER.reset(failures);
    let clock = Clock::start();
    let mut count = 0;
    for request in 0..n as u64 {
        let answer = call(black_box(request)).await;
        count += usize::from(black_box(answer).is_ok_and(|answer| answer == !request));
    }
    let lap = clock.stop(count);
    assert_eq!(SERVER.asked.load(Relaxed), n * (failures + 1), "attempts");
    lap
}
