//! The hand-overs, in every order in which threads can meet:
//! `RUSTFLAGS="--cfg shibuya_loom" cargo test --release -p shibuya-sync --test loom`
#![cfg(shibuya_loom)]

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use shibuya_sync::queue::{Closed, TryGetError};
use shibuya_sync::{
    Barrier, Batcher, Broken, Condvar, Event, KeyedMutex, Mutex, Queue, SingleFlight,
};

/// All orders with up to three preemptions: the rest take minutes.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn who_waits_for_an_event_is_let_through() {
    bounded(|| {
        let event = Arc::new(Event::new());
        let other = event.clone();
        let setter = thread::spawn(move || other.set());
        block_on(event.wait());
        assert!(setter.join().unwrap() && event.is_set());
    });
}

#[test]
fn an_event_that_is_cleared_at_once_lets_those_through_who_waited() {
    bounded(|| {
        let event = Arc::new(Event::new());
        let mut wait = Box::pin(event.wait());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let other = event.clone();
        let pulse = thread::spawn(move || {
            other.set();
            other.clear();
        });
        block_on(wait);
        pulse.join().unwrap();
    });
}

#[test]
fn two_meet_at_a_barrier() {
    bounded(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = barrier.clone();
        let task = thread::spawn(move || block_on(other.wait()).unwrap());
        let here = block_on(barrier.wait()).unwrap();
        let there = task.join().unwrap();
        assert_eq!(here.index() + there.index(), 1);
    });
}

#[test]
fn one_gives_up_while_the_other_comes() {
    bounded(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = barrier.clone();
        let task = thread::spawn(move || block_on(other.wait()));
        let gave_up = {
            let mut wait = pin!(barrier.wait());
            let mut cx = Context::from_waker(Waker::noop());
            wait.as_mut().poll(&mut cx).is_pending()
        };
        // Alone it can't have come through, and it is not waited for.
        let there = task.join().unwrap();
        if !gave_up {
            assert!(there.is_ok());
        } else if there.is_err() {
            assert_eq!(there, Err(Broken));
            assert!(barrier.is_broken());
        }
    });
}

#[test]
fn one_holds_a_key_at_a_time_and_the_last_one_takes_it_along() {
    bounded(|| {
        let locks = Arc::new(KeyedMutex::new());
        // Two steps, and relaxed: the key alone sees to it that none is lost.
        let turns = Arc::new(AtomicUsize::new(0));
        let take_turn = |turns: &AtomicUsize| turns.store(turns.load(Relaxed) + 1, Relaxed);
        let (other, others) = (locks.clone(), turns.clone());
        let task = thread::spawn(move || {
            let _guard = block_on(other.lock(1));
            take_turn(&others);
        });
        let guard = block_on(locks.lock(1));
        take_turn(&turns);
        drop(guard);
        task.join().unwrap();
        assert_eq!(turns.load(Relaxed), 2);
        assert!(locks.is_empty());
    });
}

#[test]
fn one_gives_up_a_key_while_it_is_handed_over() {
    bounded(|| {
        let locks = Arc::new(KeyedMutex::new());
        let held = locks.try_lock(1).expect("it is free");
        let other = locks.clone();
        let task = thread::spawn(move || {
            let mut wait = pin!(other.lock(1));
            let mut cx = Context::from_waker(Waker::noop());
            drop(wait.as_mut().poll(&mut cx));
        });
        drop(held);
        drop(block_on(locks.lock(1)));
        task.join().unwrap();
        assert!(locks.is_empty());
    });
}

#[test]
fn two_ask_for_a_key() {
    bounded(|| {
        let flights = Arc::new(SingleFlight::new());
        let other = flights.clone();
        let task = thread::spawn(move || block_on(other.run(1, || async { "there" })));
        let here = block_on(flights.run(1, || async { "here" }));
        let there = task.join().unwrap();
        assert!(here == "here" || here == there);
        assert!(flights.is_empty());
    });
}

#[test]
fn one_gives_up_its_call_while_another_asks() {
    bounded(|| {
        let flights = Arc::new(SingleFlight::new());
        let other = flights.clone();
        let task = thread::spawn(move || {
            let mut run = Box::pin(other.run(1, std::future::pending));
            let mut cx = Context::from_waker(Waker::noop());
            let _ = run.as_mut().poll(&mut cx);
        });
        assert_eq!(block_on(flights.run(1, || async { 7 })), 7);
        task.join().unwrap();
        assert!(flights.is_empty());
    });
}

// Condvar. Tokio's mutex is no model of loom's: threads meet at the condition variable's own line.

#[test]
fn what_is_changed_under_the_mutex_is_not_missed() {
    bounded(|| {
        let (ready, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
        let (ready_2, changed_2) = (ready.clone(), changed.clone());
        let task = thread::spawn(move || {
            *block_on(ready_2.lock()) = true;
            changed_2.notify_one();
        });
        let seen = block_on(async {
            let ready = ready.lock().await;
            *changed.wait_while(ready, |ready| !*ready).await
        });
        task.join().unwrap();
        assert!(seen && changed.waiting() == 0);
    });
}

#[test]
fn one_gives_up_while_it_is_notified_and_the_other_is() {
    bounded(|| {
        let (ready, changed) = (Arc::new(Mutex::new(())), Arc::new(Condvar::new()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(changed.wait(ready.try_lock().unwrap()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut second = Box::pin(changed.wait(ready.try_lock().unwrap()));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let notifies = changed.clone();
        let task = thread::spawn(move || notifies.notify_one());
        drop(first);
        drop(block_on(second));
        task.join().unwrap();
        assert_eq!(changed.waiting(), 0);
    });
}

#[test]
fn one_gives_up_on_its_way_back_to_the_mutex() {
    bounded(|| {
        let (ready, changed) = (Arc::new(Mutex::new(())), Arc::new(Condvar::new()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(changed.wait(ready.try_lock().unwrap()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut second = Box::pin(changed.wait(ready.try_lock().unwrap()));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let held = ready.try_lock().unwrap();
        let notifies = changed.clone();
        let task = thread::spawn(move || notifies.notify_one());
        let _ = first.as_mut().poll(&mut cx);
        drop(first);
        drop(held);
        drop(block_on(second));
        task.join().unwrap();
    });
}

#[test]
fn two_notifications_wake_two() {
    bounded(|| {
        let (ready, changed) = (Arc::new(Mutex::new(())), Arc::new(Condvar::new()));
        let mut cx = Context::from_waker(Waker::noop());
        let waits = [(); 2].map(|()| {
            let mut wait = Box::pin(changed.wait(ready.try_lock().unwrap()));
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            wait
        });
        let notifies = changed.clone();
        let task = thread::spawn(move || notifies.notify_one());
        changed.notify_one();
        for wait in waits {
            drop(block_on(wait));
        }
        task.join().unwrap();
    });
}

// Batcher.

#[test]
fn each_item_that_two_add_is_flushed_once() {
    bounded(|| {
        let batcher = Arc::new(Batcher::new(1, Duration::MAX));
        let adds = batcher.clone();
        let task = thread::spawn(move || {
            block_on(adds.add(1)).unwrap();
            block_on(adds.add(2)).unwrap();
            adds.close();
        });
        let flushed = RefCell::new(Vec::new());
        block_on(batcher.run(async |mut batch| flushed.borrow_mut().append(&mut batch)));
        task.join().unwrap();
        assert_eq!(flushed.into_inner(), [1, 2]);
    });
}

#[test]
fn one_adds_while_the_batcher_is_closed() {
    bounded(|| {
        let batcher = Arc::new(Batcher::new(1, Duration::MAX));
        let adds = batcher.clone();
        let task = thread::spawn(move || block_on(adds.add(1)).is_ok());
        batcher.close();
        let accepted = task.join().unwrap();
        let flushed = RefCell::new(Vec::new());
        block_on(batcher.run(async |mut batch| flushed.borrow_mut().append(&mut batch)));
        assert_eq!(flushed.into_inner().len(), usize::from(accepted));
    });
}

/// A future of a queue that was polled once, and waits.
fn waiting<T, F: Future<Output = T>>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    future
}

fn pop(queue: &Queue<u32>) -> Result<u32, Closed> {
    block_on(queue.pop())
}

/// A put, by value.
fn put(queue: &Queue<u32>, value: u32) -> impl Future<Output = Result<(), Closed<u32>>> + use<> {
    let queue = queue.clone();
    async move { queue.put(value).await }
}

/// A get, by value, that is done at once.
fn get(queue: &Queue<u32>) -> impl Future<Output = Result<u32, Closed>> + use<> {
    let queue = queue.clone();
    async move { queue.get().await.map(|item| *item) }
}

#[test]
fn values_go_through_a_queue_for_one_in_order() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let other = queue.clone();
        let putter = thread::spawn(move || {
            for value in 0..3 {
                block_on(other.put(value)).unwrap();
            }
        });
        for value in 0..3 {
            assert_eq!(pop(&queue), Ok(value));
        }
        putter.join().unwrap();
    });
}

#[test]
fn a_getter_gives_up_while_it_is_woken() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let leaves = waiting(get(&queue));
        let putter = thread::spawn({
            let put = put(&queue, 1);
            move || block_on(put)
        });
        let leaver = thread::spawn(move || drop(leaves));
        assert_eq!(block_on(get(&queue)), Ok(1));
        assert!(putter.join().unwrap().is_ok());
        leaver.join().unwrap();
        assert_eq!(queue.stats().in_hand, 0);
    });
}

#[test]
fn a_putter_gives_up_while_it_is_served() {
    bounded(|| {
        let queue = Queue::bounded(1);
        queue.try_put(0).unwrap();
        let leaves = waiting(put(&queue, 1));
        let leaver = thread::spawn(move || drop(leaves));
        assert_eq!(pop(&queue), Ok(0));
        leaver.join().unwrap();
        let left = queue.try_pop();
        assert!(matches!(left, Ok(1) | Err(TryGetError::Empty)));
        queue.try_put(2).unwrap();
        let stats = queue.stats();
        assert_eq!((stats.len, stats.waiting_to_put), (1, 0));
    });
}

#[test]
fn the_last_item_that_is_done_ends_a_join() {
    bounded(|| {
        let queue = Queue::bounded(2);
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        let item = queue.try_get().unwrap();
        let other = queue.clone();
        let popper = thread::spawn(move || pop(&other));
        let worker = thread::spawn(move || drop(item));
        assert_eq!(block_on(queue.join()), Ok(()));
        assert_eq!(popper.join().unwrap(), Ok(2));
        worker.join().unwrap();
    });
}

#[test]
fn a_shutdown_meets_a_put_and_a_get() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let putter = thread::spawn({
            let put = put(&queue, 1);
            move || block_on(put)
        });
        let other = queue.clone();
        let closer = thread::spawn(move || other.shutdown());
        let got = pop(&queue);
        closer.join().unwrap();
        match putter.join().unwrap() {
            Ok(()) => assert_eq!(got, Ok(1)),
            Err(Closed(value)) => assert_eq!((value, got), (1, Err(Closed(())))),
        }
    });
}

#[test]
fn a_shutdown_meets_one_who_waits_for_room() {
    bounded(|| {
        let queue = Queue::bounded(1);
        queue.try_put(0).unwrap();
        let putter = waiting(put(&queue, 1));
        let other = queue.clone();
        let closer = thread::spawn(move || other.shutdown());
        assert_eq!(pop(&queue), Ok(0));
        let got = pop(&queue);
        assert_eq!(block_on(putter).is_ok(), got.is_ok());
        closer.join().unwrap();
    });
}

#[test]
fn what_is_handed_back_was_taken_by_nobody() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let getter = waiting(get(&queue));
        let putter = thread::spawn({
            let put = put(&queue, 1);
            move || block_on(put)
        });
        let getter = thread::spawn(move || block_on(getter));
        let back = queue.shutdown_now().len();
        let got = usize::from(getter.join().unwrap().is_ok());
        let refused = usize::from(putter.join().unwrap().is_err());
        assert_eq!(back + got + refused, 1);
    });
}

#[test]
fn room_that_is_given_up_goes_to_one_who_waits() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let slot = queue.try_reserve().unwrap();
        let other = thread::spawn(move || drop(slot));
        assert_eq!(block_on(put(&queue, 1)), Ok(()));
        other.join().unwrap();
        let stats = queue.stats();
        assert_eq!((stats.len, stats.reserved), (1, 0));
    });
}

#[test]
fn room_that_is_kept_across_a_shutdown_is_waited_for() {
    bounded(|| {
        let queue = Queue::bounded(1);
        let slot = queue.try_reserve().unwrap();
        let other = thread::spawn(move || slot.put(1));
        let closes = queue.clone();
        let closer = thread::spawn(move || closes.shutdown());
        assert_eq!(pop(&queue), Ok(1));
        assert_eq!(other.join().unwrap(), Ok(()));
        closer.join().unwrap();
    });
}
