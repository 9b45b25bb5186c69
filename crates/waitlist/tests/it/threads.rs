//! Real threads that take, release, give up and meet in the same list.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::support::{Semaphore, poll, release, semaphore};

const THREADS: usize = 8;
const ROUNDS: usize = 5_000;
const PERMITS: usize = 4;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Takes `n` permits, one way or another, or gives up half way.
fn take(list: &Semaphore, n: usize, round: usize) -> Option<usize> {
    match round % 4 {
        0 => list.try_acquire(n).ok(),
        1 => {
            let mut impatient = list.wait(n);
            match poll(&mut impatient, Waker::noop()) {
                Poll::Ready(granted) => granted.ok(),
                Poll::Pending => None, // perhaps granted meanwhile
            }
        }
        _ => block_on(list.wait(n)).ok(),
    }
}

#[test]
fn permits_are_neither_lost_nor_doubled() {
    let list = semaphore(PERMITS);
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (list, taken) = (&list, &taken);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let Some(n) = take(list, 1 + (id + round) % 3, id + round) else {
                        continue;
                    };
                    assert!(taken.fetch_add(n, SeqCst) + n <= PERMITS);
                    if round % 8 == 0 {
                        thread::yield_now();
                    }
                    taken.fetch_sub(n, SeqCst);
                    release(list, n);
                }
            });
        }
    });
    assert_eq!(list.lock().0, PERMITS);
    assert!(list.is_empty());
}

#[test]
fn a_close_reaches_every_thread() {
    for _ in 0..100 {
        let list = semaphore(1);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while let Ok(n) = block_on(list.wait(1)) {
                        release(&list, n);
                    }
                });
            }
            list.close();
        });
        assert_eq!(list.lock().0, 1);
    }
}
