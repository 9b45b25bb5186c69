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
use shibuya_waitlist::{Closed, Guard, Serve, TryError, Wait, WaitList};

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

/// A buffer for one, with a lane for those who put, one for those who take, and one for those who wait until it is empty.
struct Buffer(Option<u32>);

enum Want {
    Put(Option<u32>),
    Take,
    Empty,
}

impl Serve for Buffer {
    type Request = Want;
    type Grant = Option<u32>;

    const LANES: usize = 3;

    fn lane(want: &Want) -> usize {
        match want {
            Want::Put(_) => 0,
            Want::Take => 1,
            Want::Empty => 2,
        }
    }

    fn try_serve(&mut self, want: &mut Want) -> Option<Option<u32>> {
        match want {
            Want::Put(value) if self.0.is_none() => {
                self.0 = value.take();
                Some(None)
            }
            Want::Put(_) => None,
            Want::Take => self.0.take().map(Some),
            Want::Empty => self.0.is_none().then_some(None),
        }
    }

    fn take_back(&mut self, taken: Option<u32>) {
        if taken.is_some() {
            assert!(self.0.is_none(), "its room was given away, too");
            self.0 = taken;
        }
    }
}

type Shared = Arc<WaitList<Buffer>>;

fn buffer(item: Option<u32>) -> Shared {
    Arc::new(WaitList::new(Buffer(item)))
}

fn enters(list: &Shared, want: Want) -> Wait<Shared> {
    let mut wait = Wait::new(Arc::clone(list), want);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
    wait
}

fn take(list: &Shared) -> u32 {
    block_on(list.wait(Want::Take))
        .ok()
        .flatten()
        .expect("an item")
}

fn put(list: &Shared, value: u32) {
    assert!(block_on(list.wait(Want::Put(Some(value)))).is_ok());
}

#[test]
fn one_puts_one_takes_and_one_who_would_put_leaves() {
    loom::model(|| {
        let list = buffer(Some(1));
        let leaves = enters(&list, Want::Put(Some(2)));
        let taker = {
            let list = Arc::clone(&list);
            thread::spawn(move || [take(&list), take(&list)])
        };
        let leaver = thread::spawn(move || drop(leaves));
        put(&list, 3);
        let taken = taker.join().unwrap();
        leaver.join().unwrap();
        // Nobody passes the one who would put: it was in, or it was gone.
        let left = list.lock().0;
        assert!(matches!((taken, left), ([1, 2], Some(3)) | ([1, 3], None)));
    });
}

#[test]
fn one_puts_and_the_one_who_was_to_take_leaves() {
    loom::model(|| {
        let list = buffer(None);
        let leaves = enters(&list, Want::Take);
        let putter = {
            let list = Arc::clone(&list);
            thread::spawn(move || list.lock().0 = Some(1))
        };
        let leaver = thread::spawn(move || drop(leaves));
        assert_eq!(take(&list), 1);
        putter.join().unwrap();
        leaver.join().unwrap();
        assert!(list.is_empty());
    });
}

#[test]
fn what_one_lane_gets_another_learns() {
    loom::model(|| {
        let list = buffer(Some(1));
        let other = Arc::clone(&list);
        let taker = thread::spawn(move || take(&other));
        assert!(block_on(list.wait(Want::Empty)).is_ok());
        assert_eq!(taker.join().unwrap(), 1);
    });
}

#[test]
fn one_lane_closes_while_another_serves_it() {
    loom::model(|| {
        let list = buffer(Some(1));
        let putter = enters(&list, Want::Put(Some(2)));
        let closer = {
            let list = Arc::clone(&list);
            thread::spawn(move || Guard::close_lane(&mut list.lock(), 0))
        };
        assert_eq!(take(&list), 1);
        let is_in = block_on(putter).is_ok();
        closer.join().unwrap();
        assert_eq!(list.lock().0, is_in.then_some(2));
    });
}
