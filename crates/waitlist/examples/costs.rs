//! What waiting costs, beside `tokio::sync::Semaphore`: `cargo run --release -p shibuya-waitlist --example costs`
//!
//! Futures are polled by hand with a waker that does nothing, so the lists alone are measured. Each figure is the median of
//! several rounds; the contenders take turns within a round.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use shibuya_waitlist::{Serve, WaitList};
use tokio::sync::Semaphore;

const WAITERS: usize = 100_000;
const ROUNDS: usize = 21;

struct Permits(usize);

impl Serve for Permits {
    type Request = usize;
    type Grant = usize;

    fn try_serve(&mut self, n: &mut usize) -> Option<usize> {
        self.0 = self.0.checked_sub(*n)?;
        Some(*n)
    }

    fn take_back(&mut self, n: usize) {
        self.0 += n;
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Nanoseconds per operation.
fn time(operations: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / operations as f64
}

/// Takes a free permit and gives it back.
fn uncontended_waitlist() -> f64 {
    let list = WaitList::new(Permits(1));
    time(WAITERS, || {
        for _ in 0..WAITERS {
            let n = list.try_acquire(1).unwrap();
            black_box(&list).lock().0 += n;
        }
    })
}

fn uncontended_tokio() -> f64 {
    let semaphore = Semaphore::new(1);
    time(WAITERS, || {
        for _ in 0..WAITERS {
            drop(black_box(&semaphore).try_acquire().unwrap());
        }
    })
}

/// One waits, one releases, the first looks.
fn hand_over_waitlist() -> f64 {
    let list = WaitList::new(Permits(0));
    time(WAITERS, || {
        for _ in 0..WAITERS {
            let mut wait = pin!(list.wait(1));
            assert!(poll(wait.as_mut()).is_pending());
            list.lock().0 += 1;
            assert!(poll(wait).is_ready());
        }
    })
}

fn hand_over_tokio() -> f64 {
    let semaphore = Semaphore::new(0);
    time(WAITERS, || {
        for _ in 0..WAITERS {
            let mut wait = pin!(semaphore.acquire());
            assert!(poll(wait.as_mut()).is_pending());
            semaphore.add_permits(1);
            let Poll::Ready(permit) = poll(wait) else {
                panic!("not served")
            };
            permit.unwrap().forget();
        }
    })
}

/// All wait, all are served one by one, all look.
fn queue_waitlist() -> f64 {
    let list = WaitList::new(Permits(0));
    let mut waits: Vec<_> = (0..WAITERS).map(|_| Box::pin(list.wait(1))).collect();
    time(WAITERS, || {
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_pending());
        }
        for _ in 0..WAITERS {
            list.lock().0 += 1;
        }
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_ready());
        }
    })
}

fn queue_tokio() -> f64 {
    let semaphore = Semaphore::new(0);
    let mut waits: Vec<_> = (0..WAITERS)
        .map(|_| Box::pin(semaphore.acquire()))
        .collect();
    time(WAITERS, || {
        for wait in &mut waits {
            assert!(poll(wait.as_mut()).is_pending());
        }
        for _ in 0..WAITERS {
            semaphore.add_permits(1);
        }
        for wait in &mut waits {
            let Poll::Ready(permit) = poll(wait.as_mut()) else {
                panic!("not served")
            };
            permit.unwrap().forget();
        }
    })
}

/// All wait, then leave in an order that has nothing to do with the line's.
fn cancel<F: Future>(wait: impl Fn() -> F) -> f64 {
    let order = shuffled(WAITERS);
    let mut waits: Vec<_> = (0..WAITERS).map(|_| Box::pin(Some(wait()))).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut().as_pin_mut().unwrap()).is_pending());
    }
    time(WAITERS, || {
        for &i in &order {
            waits[i].set(None); // in place, so that the allocator isn't measured
        }
    })
}

fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..n).collect();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for i in (1..n).rev() {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        order.swap(i, (random % (i as u64 + 1)) as usize);
    }
    order
}

fn cancel_waitlist() -> f64 {
    let list = WaitList::new(Permits(0));
    cancel(|| list.wait(1))
}

fn cancel_tokio() -> f64 {
    let semaphore = Semaphore::new(0);
    cancel(|| semaphore.acquire())
}

/// One measurement, in nanoseconds per operation.
type Sample = fn() -> f64;

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    let work: [(&str, Sample, Sample); 4] = [
        (
            "take and release, nobody waits",
            uncontended_waitlist,
            uncontended_tokio,
        ),
        (
            "wait, release, look: one at a time",
            hand_over_waitlist,
            hand_over_tokio,
        ),
        ("the same, 100,000 in line", queue_waitlist, queue_tokio),
        (
            "leave a line of 100,000 anywhere",
            cancel_waitlist,
            cancel_tokio,
        ),
    ];
    println!(
        "{:<36}{:>10}{:>18}",
        "ns per waiter", "WaitList", "tokio Semaphore"
    );
    for (name, waitlist, tokio) in work {
        let (ours, theirs) = (0..ROUNDS)
            .map(|_| (waitlist(), tokio()))
            .collect::<(Vec<_>, Vec<_>)>();
        println!("{name:<36}{:>10.0}{:>18.0}", median(ours), median(theirs));
    }
}
