//! As `model`, for a state with three lanes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};

use proptest::prelude::*;
use proptest::sample::Index;
use shibuya_waitlist::{Closed, Guard, TryError, Wait, WaitList};

use crate::lanes::{Buffer, EMPTY, Got, PUT, TAKE, Want, buffer};
use crate::support::{poll, waker};

#[derive(Clone, Debug)]
enum Op {
    /// Creates a waiter and polls it once. A value to put is the operation's number.
    Enqueue(usize),
    TryAcquire(usize),
    Grow,
    Poll(Index),
    Drop(Index),
    CloseLane(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let lane = || prop_oneof![4 => Just(PUT), 4 => Just(TAKE), 1 => Just(EMPTY)];
    prop_oneof![
        16 => lane().prop_map(Op::Enqueue),
        4 => lane().prop_map(Op::TryAcquire),
        2 => Just(Op::Grow),
        8 => any::<Index>().prop_map(Op::Poll),
        8 => any::<Index>().prop_map(Op::Drop),
        1 => (0..3_usize).prop_map(Op::CloseLane),
        1 => Just(Op::Close),
    ]
}

type Id = usize;

#[derive(Default)]
struct Model {
    items: VecDeque<usize>,
    capacity: usize,
    closed: [bool; 3],
    lines: [VecDeque<(Id, Want)>; 3],
    settled: HashMap<Id, Result<Got, Closed<Want>>>,
}

fn lane_of(want: Want) -> usize {
    match want {
        Want::Put(_) => PUT,
        Want::Take => TAKE,
        Want::Empty => EMPTY,
    }
}

impl Model {
    fn serve(&mut self, want: Want) -> Option<Got> {
        match want {
            Want::Put(value) if self.items.len() < self.capacity => {
                self.items.extend(value);
                Some(Got::Put)
            }
            Want::Put(_) => None,
            Want::Take => self.items.pop_front().map(Got::Taken),
            Want::Empty => self.items.is_empty().then_some(Got::Empty),
        }
    }

    fn try_acquire(&mut self, want: Want) -> Result<Got, TryError<Want>> {
        let lane = lane_of(want);
        if self.closed[lane] {
            return Err(TryError::Closed(want));
        }
        let served = if self.lines[lane].is_empty() {
            self.serve(want)
        } else {
            None
        };
        self.settle();
        served.ok_or(TryError::Busy(want))
    }

    fn enqueue(&mut self, id: Id, want: Want) -> Poll<Result<Got, Closed<Want>>> {
        match self.try_acquire(want) {
            Ok(got) => Poll::Ready(Ok(got)),
            Err(TryError::Closed(want)) => Poll::Ready(Err(Closed(want))),
            Err(TryError::Busy(want)) => {
                self.lines[lane_of(want)].push_back((id, want));
                Poll::Pending
            }
        }
    }

    /// Settles one head after the other, an earlier lane's first.
    fn settle(&mut self) {
        while (0..3).any(|lane| self.settle_head(lane)) {}
    }

    fn settle_head(&mut self, lane: usize) -> bool {
        let Some(&(id, want)) = self.lines[lane].front() else {
            return false;
        };
        let outcome = match self.closed[lane] {
            true => Some(Err(Closed(want))),
            false => self.serve(want).map(Ok),
        };
        let settles = outcome.is_some();
        if let Some(outcome) = outcome {
            self.lines[lane].pop_front();
            self.settled.insert(id, outcome);
        }
        settles
    }

    fn drop(&mut self, id: Id) {
        for line in &mut self.lines {
            line.retain(|&(waiting, _)| waiting != id);
        }
        if let Some(Ok(Got::Taken(value))) = self.settled.remove(&id) {
            self.items.push_front(value);
        }
        self.settle();
    }
}

struct Waiter<'a> {
    id: Id,
    wait: Wait<&'a WaitList<Buffer>>,
    wakes: Arc<AtomicUsize>,
    waker: Waker,
}

fn run(capacity: usize, ops: Vec<Op>) {
    let list = buffer(capacity, &[]);
    let mut model = Model {
        capacity,
        ..Model::default()
    };
    let mut waiters: Vec<Waiter<'_>> = Vec::new();

    for (id, op) in ops.into_iter().enumerate() {
        let want = |lane| [Want::Put(Some(id)), Want::Take, Want::Empty][lane];
        match op {
            Op::Enqueue(lane) => {
                let wakes = Arc::new(AtomicUsize::new(0));
                let count = Arc::clone(&wakes);
                let waker = waker(move || _ = count.fetch_add(1, SeqCst));
                let mut wait = list.wait(want(lane));
                let polled = poll(&mut wait, &waker);
                assert_eq!(polled, model.enqueue(id, want(lane)));
                if polled.is_pending() {
                    waiters.push(Waiter {
                        id,
                        wait,
                        wakes,
                        waker,
                    });
                }
            }
            Op::TryAcquire(lane) => {
                assert_eq!(list.try_acquire(want(lane)), model.try_acquire(want(lane)));
            }
            Op::Grow => {
                list.lock().capacity += 1;
                model.capacity += 1;
                model.settle();
            }
            Op::Poll(index) if !waiters.is_empty() => {
                let i = index.index(waiters.len());
                let waiter = &mut waiters[i];
                let outcome = model.settled.remove(&waiter.id);
                let expected = outcome.map_or(Poll::Pending, Poll::Ready);
                assert_eq!(poll(&mut waiter.wait, &waiter.waker), expected);
                if expected.is_ready() {
                    waiters.swap_remove(i);
                }
            }
            Op::Drop(index) if !waiters.is_empty() => {
                let waiter = waiters.swap_remove(index.index(waiters.len()));
                model.drop(waiter.id);
            }
            Op::Poll(_) | Op::Drop(_) => {}
            Op::CloseLane(lane) => {
                Guard::close_lane(&mut list.lock(), lane);
                model.closed[lane] = true;
                model.settle();
            }
            Op::Close => {
                list.close();
                model.closed = [true; 3];
                model.settle();
            }
        }
        compare(&list, &model, &waiters);
    }
}

fn compare(list: &WaitList<Buffer>, model: &Model, waiters: &[Waiter<'_>]) {
    let guard = list.lock();
    assert_eq!(guard.items, model.items);
    for (lane, line) in model.lines.iter().enumerate() {
        assert_eq!(Guard::waiting(&guard, lane), line.len());
    }
    drop(guard);
    assert_eq!(list.is_closed(), model.closed == [true; 3]);
    for waiter in waiters {
        let settled = model.settled.contains_key(&waiter.id);
        let woken = waiter.wakes.load(SeqCst);
        assert_eq!(woken, usize::from(settled), "once, when it is settled");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lanes_behave_as_the_model(capacity in 0..4_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(capacity, ops);
    }
}
