//! The hand-overs that need no runtime, in every order in which threads can meet:
//! `RUSTFLAGS="--cfg shibuya_loom" cargo test --release -p shibuya-taskgroup --test loom`
#![cfg(shibuya_loom)]

// They are private, and depend on nothing else in the crate.
#[path = "../src/several/arrivals.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is tested")]
mod arrivals;
#[path = "../src/map/feed.rs"]
#[allow(dead_code, reason = "a part of it is tested")]
mod feed;
#[path = "../src/group/limit.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is tested")]
mod limit;
#[path = "../src/group/live.rs"]
#[allow(dead_code, reason = "a part of it is tested")]
mod live;
#[path = "../src/map/outlet.rs"]
#[allow(dead_code, reason = "a part of it is tested")]
mod outlet;
#[path = "../src/cleanup/stack.rs"]
#[allow(dead_code, reason = "a part of it is tested")]
mod stack;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize; // counts under loom's schedule, without adding to what it explores
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

use arrivals::Arrivals;
use feed::Feed;
use limit::{Free, Slot, Slotted, TakeSlot};
use live::{Entered, Left, Live};
use loom::future::block_on;
use loom::thread;
use outlet::Outlet;
use shibuya_waitlist::primitives::Mutex;
use stack::{Next, Stack};

/// A group as far as its count goes: who drives it sleeps until it may close.
struct Group {
    live: Live,
    driver: Mutex<Option<Waker>>,
}

impl Group {
    fn new(tasks: usize) -> Arc<Self> {
        let live = Live::new();
        for _ in 0..tasks {
            assert_eq!(live.enter(), Entered::Yes);
        }
        Arc::new(Self {
            live,
            driver: Mutex::new(None),
        })
    }

    /// As `Run` does it: registers first, looks after that.
    fn close(&self) {
        block_on(poll_fn(|cx| {
            *self.driver.lock() = Some(cx.waker().clone());
            match self.live.try_close() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
    }

    /// As a task does it, in a group within `outer`.
    fn leave(&self, outer: Option<&Self>) {
        match self.live.leave() {
            Left::Others(_) => {}
            Left::Empty => {
                let driver = self.driver.lock().clone();
                if let Some(driver) = driver {
                    driver.wake();
                }
            }
            Left::EmptyOrphaned => outer.expect("somebody adopted it").leave(None),
        }
    }

    /// As the drop of `Run` does it.
    fn orphan(&self, outer: &Self) {
        assert!(outer.live.adopt());
        if self.live.orphan() == 0 {
            outer.leave(None);
        }
    }
}

#[test]
fn the_last_task_wakes_the_driver() {
    loom::model(|| {
        let group = Group::new(2);
        let tasks = [0, 1].map(|_| {
            let group = group.clone();
            thread::spawn(move || group.leave(None))
        });
        group.close();
        assert_eq!(group.live.count(), 0);
        assert_eq!(group.live.enter(), Entered::Closed);
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

/// As `Core::wind_up` and `Run` do it, with clean-ups that are over at once. Gives how many ran.
fn wind_up(group: &Group, cleanups: &Stack<()>) -> usize {
    let mut ran = 0;
    block_on(poll_fn(|cx| {
        *group.driver.lock() = Some(cx.waker().clone());
        loop {
            if group.live.count() > 0 {
                return Poll::Pending;
            }
            match cleanups.next_or_close(|| group.live.try_close()) {
                Next::Tasks => return Poll::Pending,
                Next::Cleanup(()) => ran += 1,
                Next::Nothing => return Poll::Ready(()),
            }
        }
    }));
    ran
}

#[test]
fn a_clean_up_is_run_or_refused() {
    loom::model(|| {
        let (group, cleanups) = (Group::new(1), Arc::new(Stack::new()));
        // One from a task on its way out, which is always in time, and one from elsewhere.
        let (own, others) = (group.clone(), cleanups.clone());
        let task = thread::spawn(move || {
            assert!(others.push(()).is_ok());
            own.leave(None);
        });
        let others = cleanups.clone();
        let stranger = thread::spawn(move || usize::from(others.push(()).is_ok()));
        let ran = wind_up(&group, &cleanups);
        task.join().unwrap();
        assert_eq!(ran, 1 + stranger.join().unwrap());
        assert!(cleanups.push(()).is_err());
    });
}

#[test]
fn a_dropped_group_hands_its_clean_ups_over_or_refuses_them() {
    loom::model(|| {
        let (group, cleanups) = (Group::new(0), Arc::new(Stack::new()));
        let others = cleanups.clone();
        let stranger = thread::spawn(move || usize::from(others.push(()).is_ok()));
        let ran = match cleanups.close_if_empty() {
            true => 0,
            false => wind_up(&group, &cleanups),
        };
        assert_eq!(ran, stranger.join().unwrap());
    });
}

#[test]
fn no_task_enters_a_group_that_closes() {
    loom::model(|| {
        let group = Group::new(0);
        let entered = Arc::new(AtomicUsize::new(0));
        let (other, inside) = (group.clone(), entered.clone());
        let task = thread::spawn(move || {
            if other.live.enter() == Entered::Yes {
                inside.fetch_add(1, SeqCst);
                thread::yield_now();
                inside.fetch_sub(1, SeqCst);
                other.leave(None);
            }
        });
        group.close();
        assert_eq!(
            entered.load(SeqCst),
            0,
            "a task runs in a group that is over"
        );
        assert!(group.live.is_over() && !group.live.adopt());
        task.join().unwrap();
    });
}

#[test]
fn the_outer_group_waits_for_orphans_and_counts_them_once() {
    loom::model(|| {
        // The outer group's one task drives the inner group, and drops it while a task in it ends.
        let (outer, inner) = (Group::new(1), Group::new(1));
        let (o, i) = (outer.clone(), inner.clone());
        let task = thread::spawn(move || i.leave(Some(&o)));
        let (o, i) = (outer.clone(), inner.clone());
        let driver = thread::spawn(move || {
            i.orphan(&o);
            o.leave(None);
        });
        outer.close();
        assert_eq!((inner.live.count(), outer.live.count()), (0, 0));
        assert!(inner.live.is_over());
        task.join().unwrap();
        driver.join().unwrap();
        assert!(outer.live.is_over(), "the count was touched again");
    });
}

#[test]
fn a_spawn_that_meets_the_drop_of_the_group() {
    loom::model(|| {
        let (outer, inner) = (Group::new(1), Group::new(0));
        let (o, i) = (outer.clone(), inner.clone());
        let spawner = thread::spawn(move || {
            if i.live.enter() == Entered::Yes {
                i.leave(Some(&o));
            }
        });
        inner.orphan(&outer);
        outer.leave(None);
        outer.close();
        assert_eq!(inner.live.count(), 0);
        spawner.join().unwrap();
    });
}

/// A task queues for its slot while it is spawned, with no waker to speak of, and is polled elsewhere while the slot gets
/// free.
#[test]
fn a_slot_that_gets_free_before_the_first_poll() {
    loom::model(|| {
        let slots = Free::slots(1);
        let held = Slot::try_take(&slots).expect("it is free");
        let task = Slotted::in_line(slots.clone(), async { 7 });
        let other = thread::spawn(move || drop(held));
        assert_eq!(block_on(task), 7);
        other.join().unwrap();
        assert!(Slot::try_take(&slots).is_some(), "the slot is lost");
    });
}

#[test]
fn one_runs_at_a_time_and_no_slot_is_lost_when_one_gives_up() {
    loom::model(|| {
        let slots = Free::slots(1);
        let running = Arc::new(AtomicUsize::new(0));
        let waiting = {
            let (slots, running) = (slots.clone(), running.clone());
            thread::spawn(move || {
                let _slot = block_on(TakeSlot::new(slots));
                assert_eq!(running.fetch_add(1, SeqCst), 0);
                thread::yield_now();
                running.fetch_sub(1, SeqCst);
            })
        };
        {
            // Polled once, then dropped, wherever it stands by then.
            let mut cx = Context::from_waker(Waker::noop());
            let mut gives_up = pin!(TakeSlot::new(slots.clone()));
            if let Poll::Ready(_slot) = gives_up.as_mut().poll(&mut cx) {
                assert_eq!(running.fetch_add(1, SeqCst), 0);
                running.fetch_sub(1, SeqCst);
            }
        }
        waiting.join().unwrap();
        assert!(Slot::try_take(&slots).is_some(), "the slot is lost");
    });
}

/// All orders with up to two preemptions: the rest take minutes, and find no more.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Takes so many values, as the streams do: looks, parks, looks again, sleeps.
fn consume(outlet: &Outlet<usize>, count: usize) -> VecDeque<(usize, usize)> {
    let mut taken = VecDeque::new();
    block_on(poll_fn(|cx| {
        outlet.take_all(&mut taken);
        if taken.len() < count {
            outlet.park(cx.waker());
            outlet.take_all(&mut taken);
        }
        match taken.len() < count {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }));
    taken
}

#[test]
fn each_value_reaches_the_consumer() {
    bounded(|| {
        let outlet = Arc::new(Outlet::new());
        let workers = [0, 1].map(|worker| {
            let outlet = outlet.clone();
            thread::spawn(move || outlet.push(worker, worker, worker))
        });
        let mut taken = consume(&outlet, 2);
        taken.make_contiguous().sort_unstable();
        assert_eq!(taken, [(0, 0), (1, 1)]);
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_worker_that_pushes_again_while_its_lane_is_emptied() {
    bounded(|| {
        let outlet = Arc::new(Outlet::new());
        let pushing = outlet.clone();
        let worker = thread::spawn(move || {
            pushing.push(0, 0, 10);
            pushing.push(0, 1, 11);
        });
        assert_eq!(consume(&outlet, 2), [(0, 10), (1, 11)]);
        worker.join().unwrap();
    });
}

#[test]
fn a_worker_that_changes_its_thread() {
    bounded(|| {
        let outlet = Arc::new(Outlet::new());
        let pushing = outlet.clone();
        let worker = thread::spawn(move || {
            pushing.push(0, 0, 10);
            pushing.push(1, 1, 11);
        });
        let mut taken = consume(&outlet, 2);
        taken.make_contiguous().sort_unstable();
        assert_eq!(taken, [(0, 10), (1, 11)]);
        worker.join().unwrap();
    });
}

/// All that a worker of the feed gets.
fn work(feed: &Feed<Range<usize>>, worker: usize) -> Vec<usize> {
    let (mut at, mut got) = (0, Vec::new());
    while let Some((place, item)) = block_on(poll_fn(|cx| feed.poll_next(cx, worker, &mut at))) {
        assert_eq!((place, at), (item, item));
        got.push(item);
    }
    got
}

#[test]
fn workers_at_the_horizon_are_woken_as_it_moves() {
    bounded(|| {
        let feed = Arc::new(Feed::new(0..1, 2, 0));
        let workers = [0, 1].map(|worker| {
            let feed = feed.clone();
            thread::spawn(move || work(&feed, worker))
        });
        // A place for the item, and one for whoever finds the end, who tells the other.
        feed.advance(1, &mut Vec::new());
        feed.advance(1, &mut Vec::new());
        let [a, b] = workers.map(|worker| worker.join().unwrap());
        assert_eq!(a.len() + b.len(), 1);
        assert_eq!(feed.taken(), 1);
    });
}

/// Whoever waits for so many is woken by the last of them, however pushes and looks meet.
#[test]
fn who_wants_all_that_come_is_woken() {
    loom::model(|| {
        let arrivals = Arc::new(Arrivals::new());
        let pushing = [1, 2].map(|n| {
            let arrivals = arrivals.clone();
            thread::spawn(move || arrivals.push(n))
        });
        let mut come = VecDeque::new();
        block_on(poll_fn(|cx| arrivals.poll_take(&mut come, 2, cx)));
        come.make_contiguous().sort_unstable();
        assert_eq!(come, [1, 2]);
        for pusher in pushing {
            pusher.join().unwrap();
        }
    });
}

/// One at a time, as the reader of a stream does, that takes what is there and waits for more.
#[test]
fn who_takes_what_has_come_misses_none() {
    loom::model(|| {
        let arrivals = Arc::new(Arrivals::new());
        let pushing = [1, 2].map(|n| {
            let arrivals = arrivals.clone();
            thread::spawn(move || arrivals.push(n))
        });
        let (mut come, mut sum) = (VecDeque::new(), 0);
        while sum < 3 {
            block_on(poll_fn(|cx| arrivals.poll_take(&mut come, 1, cx)));
            assert!(!come.is_empty());
            sum += come.drain(..).sum::<i32>();
        }
        for pusher in pushing {
            pusher.join().unwrap();
        }
    });
}

/// What comes after the reader is gone is let go, by whoever brings it.
#[test]
fn what_comes_to_nobody_is_dropped() {
    loom::model(|| {
        let (arrivals, token) = (Arc::new(Arrivals::new()), Arc::new(()));
        let pushing = {
            let (arrivals, token) = (arrivals.clone(), token.clone());
            thread::spawn(move || arrivals.push(token))
        };
        arrivals.close();
        pushing.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}
