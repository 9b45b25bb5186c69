//! The hand-over in every order in which threads can meet:
//! `RUSTFLAGS="--cfg shibuya_loom" cargo test --release -p shibuya-waitlist --test loom`
#![cfg(shibuya_loom)]

use std::pin::Pin;
use std::sync::atomic::AtomicUsize; // counts under loom's schedule, without adding to what it explores
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use shibuya_waitlist::{Closed, Serve, TryError, Wait, WaitList};

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

type Semaphore = Arc<WaitList<Permits>>;
type Waiter = Wait<Semaphore>;

fn semaphore(permits: usize) -> Semaphore {
    Arc::new(WaitList::new(Permits(permits)))
}

fn poll(waiter: &mut Waiter, waker: &Waker) -> Poll<Result<usize, Closed<usize>>> {
    Pin::new(waiter).poll(&mut Context::from_waker(waker))
}

fn waiting(list: &Semaphore, n: usize) -> Waiter {
    let mut waiter = Wait::new(Arc::clone(list), n);
    assert!(poll(&mut waiter, Waker::noop()).is_pending());
    waiter
}

/// Releases `n` permits on a thread of its own.
fn releaser(list: &Semaphore, n: usize) -> thread::JoinHandle<()> {
    let list = Arc::clone(list);
    thread::spawn(move || list.lock().0 += n)
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn handed_but_never_polled_passes_on() {
    loom::model(|| {
        let list = semaphore(0);
        let first = waiting(&list, 1);
        let second = waiting(&list, 1);
        let releaser = releaser(&list, 1);
        let leaver = thread::spawn(move || drop(first));
        assert_eq!(block_on(second), Ok(1));
        releaser.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(list.lock().0, 0);
    });
}

#[test]
fn two_releasers_serve_two_who_wait() {
    loom::model(|| {
        let list = semaphore(0);
        let waiters = [waiting(&list, 1), waiting(&list, 1)];
        let other = releaser(&list, 1);
        list.lock().0 += 1;
        for waiter in waiters {
            assert_eq!(block_on(waiter), Ok(1));
        }
        other.join().unwrap();
        assert_eq!(list.lock().0, 0);
    });
}

#[test]
fn two_releases_serve_two_who_arrive() {
    loom::model(|| {
        let list = semaphore(0);
        let give_and_take = |list: &Semaphore| {
            list.lock().0 += 1;
            assert_eq!(block_on(list.wait(1)), Ok(1));
        };
        let other = thread::spawn({
            let list = Arc::clone(&list);
            move || give_and_take(&list)
        });
        give_and_take(&list);
        other.join().unwrap();
        assert_eq!(list.lock().0, 0);
    });
}

#[test]
fn close_meets_enqueue() {
    loom::model(|| {
        let list = semaphore(0);
        let closer = thread::spawn({
            let list = Arc::clone(&list);
            move || list.close()
        });
        assert_eq!(block_on(list.wait(1)), Err(Closed(1)));
        closer.join().unwrap();
        assert!(list.is_empty());
    });
}

#[test]
fn close_meets_release() {
    loom::model(|| {
        let list = semaphore(0);
        let waiter = waiting(&list, 1);
        let closer = thread::spawn({
            let list = Arc::clone(&list);
            move || list.close()
        });
        list.lock().0 += 1;
        let left = match block_on(waiter) {
            Ok(_) => 0,
            Err(Closed(_)) => 1,
        };
        closer.join().unwrap();
        assert_eq!(list.lock().0, left);
    });
}

#[test]
fn the_head_leaves_while_it_or_the_next_is_served() {
    loom::model(|| {
        let list = semaphore(0);
        let large = waiting(&list, 2);
        let small = waiting(&list, 1);
        let releaser = releaser(&list, 1);
        let leaver = thread::spawn(move || drop(large));
        assert_eq!(block_on(small), Ok(1));
        releaser.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(list.lock().0, 0);
    });
}

#[test]
fn a_replaced_waker_misses_nothing() {
    loom::model(|| {
        let list = semaphore(0);
        let mut waiter = waiting(&list, 1);
        let releaser = releaser(&list, 1);
        let woken = std::sync::Arc::new(Count::default());
        let polled = poll(&mut waiter, &Waker::from(std::sync::Arc::clone(&woken)));
        releaser.join().unwrap();
        match polled {
            Poll::Ready(granted) => assert_eq!(granted, Ok(1)),
            Poll::Pending => {
                assert_eq!(woken.0.load(SeqCst), 1);
                assert_eq!(poll(&mut waiter, Waker::noop()), Poll::Ready(Ok(1)));
            }
        }
    });
}

#[test]
fn try_acquire_never_takes_what_a_waiter_was_promised() {
    loom::model(|| {
        let list = semaphore(0);
        let waiter = waiting(&list, 1);
        let releaser = releaser(&list, 1);
        assert_eq!(list.try_acquire(1), Err(TryError::Busy(1)));
        assert_eq!(block_on(waiter), Ok(1));
        releaser.join().unwrap();
    });
}
