//! Several lanes around one state: each is FIFO by itself, and what happens in one serves the others.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, panic_any};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use shibuya_waitlist::{Closed, Guard, Serve, TryError, WaitList};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::{poll, waker};

/// A bounded buffer: some put, some take, some wait until it is empty.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) items: VecDeque<usize>,
    pub(crate) capacity: usize,
    /// To put this one panics.
    mine: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Want {
    /// `None` once it is in.
    Put(Option<usize>),
    Take,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Got {
    Put,
    Taken(usize),
    Empty,
}

pub(crate) const PUT: usize = 0;
pub(crate) const TAKE: usize = 1;
pub(crate) const EMPTY: usize = 2;

impl Serve for Buffer {
    type Request = Want;
    type Grant = Got;

    const LANES: usize = 3;

    fn lane(want: &Want) -> usize {
        match want {
            Want::Put(_) => PUT,
            Want::Take => TAKE,
            Want::Empty => EMPTY,
        }
    }

    fn try_serve(&mut self, want: &mut Want) -> Option<Got> {
        match want {
            Want::Put(value) if self.items.len() < self.capacity => {
                if value.is_some() && *value == self.mine {
                    panic_any("mine");
                }
                self.items.extend(value.take());
                Some(Got::Put)
            }
            Want::Put(_) => None,
            Want::Take => self.items.pop_front().map(Got::Taken),
            Want::Empty => self.items.is_empty().then_some(Got::Empty),
        }
    }

    fn take_back(&mut self, got: Got) {
        if let Got::Taken(value) = got {
            self.items.push_front(value);
        }
    }
}

pub(crate) fn buffer(capacity: usize, items: &[usize]) -> WaitList<Buffer> {
    WaitList::new(Buffer {
        items: items.iter().copied().collect(),
        capacity,
        mine: None,
    })
}

type Waiting<'a> = Spawn<shibuya_waitlist::Wait<&'a WaitList<Buffer>>>;

fn waiting(list: &WaitList<Buffer>, want: Want) -> Waiting<'_> {
    let mut wait = spawn(list.wait(want));
    assert_pending!(wait.poll());
    wait
}

fn put(value: usize) -> Want {
    Want::Put(Some(value))
}

fn items(list: &WaitList<Buffer>) -> Vec<usize> {
    list.lock().items.iter().copied().collect()
}

fn waiting_in(list: &WaitList<Buffer>) -> [usize; 3] {
    let guard = list.lock();
    [PUT, TAKE, EMPTY].map(|lane| Guard::waiting(&guard, lane))
}

#[test]
fn a_lane_that_waits_holds_up_no_other() {
    let list = buffer(1, &[1]);
    let mut putter = waiting(&list, put(2));
    let mut emptied = waiting(&list, Want::Empty);
    assert_eq!(waiting_in(&list), [1, 0, 1]);

    assert_eq!(list.try_acquire(put(3)), Err(TryError::Busy(put(3))));
    assert_eq!(list.try_acquire(Want::Take), Ok(Got::Taken(1)));
    assert!(putter.is_woken() && !emptied.is_woken());
    assert_ready_eq!(putter.poll(), Ok(Got::Put));
    assert_eq!(list.try_acquire(Want::Take), Ok(Got::Taken(2)));
    assert_ready_eq!(emptied.poll(), Ok(Got::Empty));
    assert_eq!(list.len(), 0);
}

#[test]
fn each_lane_is_fifo() {
    let list = buffer(2, &[]);
    let mut takers = [(); 3].map(|()| waiting(&list, Want::Take));
    for value in 1..=3 {
        assert_ready_eq!(spawn(list.wait(put(value))).poll(), Ok(Got::Put));
    }
    for (value, taker) in (1..).zip(&mut takers) {
        assert_ready_eq!(taker.poll(), Ok(Got::Taken(value)));
    }
}

#[test]
fn what_a_newcomer_gets_serves_another_lane_at_once() {
    let list = buffer(1, &[1]);
    let mut putter = waiting(&list, put(2));
    assert_ready_eq!(spawn(list.wait(Want::Take)).poll(), Ok(Got::Taken(1)));
    assert!(putter.is_woken());
    assert_ready_eq!(putter.poll(), Ok(Got::Put));
    assert_eq!(items(&list), [2]);
}

#[test]
fn lanes_serve_each_other_to_and_fro_over_several_batches() {
    let list = buffer(0, &[]);
    let mut putters: Vec<_> = (0..100).map(|value| waiting(&list, put(value))).collect();
    let mut takers: Vec<_> = putters.iter().map(|_| waiting(&list, Want::Take)).collect();
    list.lock().capacity = 1;

    assert!(list.is_empty());
    for (value, (putter, taker)) in putters.iter_mut().zip(&mut takers).enumerate() {
        assert_ready_eq!(putter.poll(), Ok(Got::Put));
        assert_ready_eq!(taker.poll(), Ok(Got::Taken(value)));
    }
}

#[test]
fn a_waiter_that_leaves_a_lane_serves_the_others() {
    let list = buffer(1, &[]);
    let unseen = waiting(&list, Want::Take);
    let mut next = waiting(&list, Want::Take);
    list.try_acquire(put(1)).unwrap();
    let mut emptied = spawn(list.wait(Want::Empty));
    assert_ready_eq!(emptied.poll(), Ok(Got::Empty));

    drop(unseen);
    assert_ready_eq!(next.poll(), Ok(Got::Taken(1)));
}

#[test]
fn one_lane_is_closed_and_the_others_go_on() {
    let list = buffer(1, &[1]);
    let mut putters = [waiting(&list, put(2)), waiting(&list, put(3))];
    let mut emptied = waiting(&list, Want::Empty);
    Guard::close_lane(&mut list.lock(), PUT);

    for (value, putter) in (2..).zip(&mut putters) {
        assert_ready_eq!(putter.poll(), Err(Closed(put(value))));
    }
    assert_eq!(waiting_in(&list), [0, 0, 1]);
    assert_eq!(list.try_acquire(put(4)), Err(TryError::Closed(put(4))));
    assert_ready_eq!(spawn(list.wait(put(5))).poll(), Err(Closed(put(5))));

    assert!(!emptied.is_woken() && !list.is_closed());
    assert_eq!(list.try_acquire(Want::Take), Ok(Got::Taken(1)));
    assert_ready_eq!(emptied.poll(), Ok(Got::Empty));
}

#[test]
fn a_list_is_closed_when_all_its_lanes_are() {
    let list = buffer(1, &[]);
    let mut taker = waiting(&list, Want::Take);
    for lane in [PUT, TAKE, EMPTY] {
        assert!(!list.is_closed());
        Guard::close_lane(&mut list.lock(), lane);
    }
    assert!(list.is_closed());
    assert_ready_eq!(taker.poll(), Err(Closed(Want::Take)));

    let list = buffer(1, &[]);
    list.close();
    for want in [put(1), Want::Take, Want::Empty] {
        assert_eq!(list.try_acquire(want), Err(TryError::Closed(want)));
    }
}

/// Where `f` panics, and what it says.
fn panic_of(f: impl FnOnce()) -> (String, u32) {
    let line = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&line);
    let here = std::thread::current().id();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == here {
            *seen.lock().unwrap() = info.location().map_or(0, Location::line);
        }
    }));
    let caught = catch_unwind(AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    let message = *caught.unwrap_err().downcast::<String>().unwrap();
    let line = *line.lock().unwrap();
    (message, line)
}

#[test]
fn a_lane_that_does_not_exist_panics_at_the_caller() {
    let list = buffer(1, &[]);
    let mut guard = list.lock();
    let line = line!() + 1;
    let close = || Guard::close_lane(&mut guard, 3);
    assert_eq!(panic_of(close), ("there is no lane 3, but 3".into(), line));
    let line = line!() + 1;
    let count = || _ = Guard::waiting(&guard, 3);
    assert_eq!(panic_of(count), ("there is no lane 3, but 3".into(), line));
}

/// A state that answers with a lane that it doesn't have: nobody would ever serve it.
struct Lost;

impl Serve for Lost {
    type Request = ();
    type Grant = ();

    const LANES: usize = 2;

    fn lane((): &()) -> usize {
        2
    }

    fn try_serve(&mut self, (): &mut ()) -> Option<()> {
        None
    }

    fn take_back(&mut self, (): ()) {}
}

#[test]
#[should_panic(expected = "there is no lane 2, but 2")]
fn a_request_for_a_lane_that_does_not_exist_is_not_left_waiting() {
    let list = WaitList::new(Lost);
    let _ = poll(&mut list.wait(()), Waker::noop());
}

/// The payload of the panic, which must come.
fn caught<T>(f: impl FnOnce() -> T) -> &'static str {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it didn't panic")
    };
    panic.downcast_ref::<&str>().copied().expect("of this test")
}

#[test]
fn what_a_newcomer_was_about_to_get_is_taken_back_when_a_waker_panics() {
    type Take = fn(&WaitList<Buffer>);
    let ways: [Take; 2] = [
        |list| _ = list.try_acquire(Want::Take),
        |list| _ = poll(&mut list.wait(Want::Take), Waker::noop()),
    ];
    for take in ways {
        let list = buffer(1, &[1]);
        let mut putter = list.wait(put(2));
        assert_pending!(poll(&mut putter, &waker(|| panic_any("waker"))));

        assert_eq!(caught(|| take(&list)), "waker");
        assert_eq!(items(&list), [1, 2], "in its old place");
        assert_ready_eq!(poll(&mut putter, Waker::noop()), Ok(Got::Put));
    }
}

#[test]
fn what_a_newcomer_was_about_to_get_is_taken_back_when_another_cannot_be_served() {
    type Take = fn(&WaitList<Buffer>);
    let ways: [Take; 2] = [
        |list| _ = list.try_acquire(Want::Take),
        |list| _ = poll(&mut list.wait(Want::Take), Waker::noop()),
    ];
    for take in ways {
        let list = buffer(1, &[1]);
        let mut putter = waiting(&list, put(13));
        list.lock().mine = Some(13);

        assert_eq!(caught(|| take(&list)), "mine");
        assert_eq!(items(&list), [1]);
        assert!(!putter.is_woken());
        assert_eq!(waiting_in(&list), [1, 0, 0], "it keeps its place");

        list.lock().mine = None;
        assert_eq!(list.try_acquire(Want::Take), Ok(Got::Taken(1)));
        assert_ready_eq!(putter.poll(), Ok(Got::Put));
    }
}
