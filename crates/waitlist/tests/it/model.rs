//! Random operations, compared step by step with a model that is too simple to be wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};

use proptest::prelude::*;
use shibuya_waitlist::{Closed, TryError, Wait};

use crate::support::{Semaphore, poll, release, semaphore, waker};

#[derive(Clone, Debug)]
enum Op {
    /// Creates a waiter and polls it once.
    Enqueue(usize),
    TryAcquire(usize),
    Release(usize),
    /// Polls a waiter, with the waker that it has or with a new one.
    Poll {
        waiter: prop::sample::Index,
        new_waker: bool,
    },
    Drop(prop::sample::Index),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..5_usize).prop_map(Op::Enqueue),
        2 => (1..5_usize).prop_map(Op::TryAcquire),
        5 => (0..7_usize).prop_map(Op::Release),
        4 => any::<(prop::sample::Index, bool)>().prop_map(|(waiter, new_waker)| Op::Poll { waiter, new_waker }),
        4 => any::<prop::sample::Index>().prop_map(Op::Drop),
        1 => Just(Op::Close),
    ]
}

type Id = usize;

#[derive(Default)]
struct Model {
    permits: usize,
    closed: bool,
    line: VecDeque<(Id, usize)>,
    settled: HashMap<Id, Result<usize, Closed<usize>>>,
}

impl Model {
    fn try_acquire(&mut self, n: usize) -> Result<usize, TryError<usize>> {
        if self.closed {
            Err(TryError::Closed(n))
        } else if self.line.is_empty() && n <= self.permits {
            self.permits -= n;
            Ok(n)
        } else {
            Err(TryError::Busy(n))
        }
    }

    fn enqueue(&mut self, id: Id, n: usize) -> Poll<Result<usize, Closed<usize>>> {
        match self.try_acquire(n) {
            Ok(n) => Poll::Ready(Ok(n)),
            Err(TryError::Closed(n)) => Poll::Ready(Err(Closed(n))),
            Err(TryError::Busy(n)) => {
                self.line.push_back((id, n));
                Poll::Pending
            }
        }
    }

    fn release(&mut self, n: usize) {
        self.permits += n;
        while let Some(&(id, n)) = self.line.front() {
            if self.closed {
                self.settled.insert(id, Err(Closed(n)));
            } else if n <= self.permits {
                self.permits -= n;
                self.settled.insert(id, Ok(n));
            } else {
                break;
            }
            self.line.pop_front();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.release(0);
    }

    fn drop(&mut self, id: Id) {
        self.line.retain(|&(waiting, _)| waiting != id);
        let returned = match self.settled.remove(&id) {
            Some(Ok(n)) => n,
            Some(Err(_)) | None => 0,
        };
        self.release(returned);
    }
}

struct Waiter<'a> {
    id: Id,
    wait: Wait<&'a Semaphore>,
    waker: Waker,
    wakes: Arc<AtomicUsize>,
    /// Wakers that were replaced: never to be called again.
    stale: Vec<Arc<AtomicUsize>>,
}

fn counting_waker() -> (Waker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wakes);
    (waker(move || _ = count.fetch_add(1, SeqCst)), wakes)
}

impl Waiter<'_> {
    fn replace_waker(&mut self) {
        let (waker, wakes) = counting_waker();
        self.waker = waker;
        self.stale.push(std::mem::replace(&mut self.wakes, wakes));
    }
}

fn run(permits: usize, ops: Vec<Op>) {
    let list = semaphore(permits);
    let mut model = Model {
        permits,
        ..Model::default()
    };
    let mut waiters: Vec<Waiter<'_>> = Vec::new();

    for (id, op) in ops.into_iter().enumerate() {
        match op {
            Op::Enqueue(n) => {
                let (waker, wakes) = counting_waker();
                let mut wait = list.wait(n);
                let polled = poll(&mut wait, &waker);
                assert_eq!(polled, model.enqueue(id, n));
                if polled.is_pending() {
                    waiters.push(Waiter {
                        id,
                        wait,
                        waker,
                        wakes,
                        stale: Vec::new(),
                    });
                }
            }
            Op::TryAcquire(n) => assert_eq!(list.try_acquire(n), model.try_acquire(n)),
            Op::Release(n) => {
                release(&list, n);
                model.release(n);
            }
            Op::Poll { waiter, new_waker } if !waiters.is_empty() => {
                let i = waiter.index(waiters.len());
                let waiter = &mut waiters[i];
                // A settled waiter has been woken; its new waker never will be.
                if new_waker && !model.settled.contains_key(&waiter.id) {
                    waiter.replace_waker();
                }
                let expected = model
                    .settled
                    .remove(&waiter.id)
                    .map_or(Poll::Pending, Poll::Ready);
                assert_eq!(poll(&mut waiter.wait, &waiter.waker), expected);
                if expected.is_ready() {
                    waiters.swap_remove(i);
                }
            }
            Op::Drop(waiter) if !waiters.is_empty() => {
                let waiter = waiters.swap_remove(waiter.index(waiters.len()));
                model.drop(waiter.id);
            }
            Op::Poll { .. } | Op::Drop(_) => {}
            Op::Close => {
                list.close();
                model.close();
            }
        }
        compare(&list, &model, &waiters);
    }
}

fn compare(list: &Semaphore, model: &Model, waiters: &[Waiter<'_>]) {
    assert_eq!(list.lock().0, model.permits);
    assert_eq!(list.len(), model.line.len());
    assert_eq!(list.is_closed(), model.closed);
    for waiter in waiters {
        let settled = model.settled.contains_key(&waiter.id);
        assert_eq!(
            waiter.wakes.load(SeqCst),
            usize::from(settled),
            "woken once, when it is settled"
        );
        assert!(waiter.stale.iter().all(|wakes| wakes.load(SeqCst) == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_model(permits in 0..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(permits, ops);
    }
}
