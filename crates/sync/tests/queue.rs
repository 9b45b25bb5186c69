//! What can go wrong around a queue, and what it does then.
#![cfg(not(shibuya_loom))]

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, StreamExt, stream};
use shibuya_sync::Queue;
use shibuya_sync::queue::{
    Aborted, BuildError, Closed, GetTimeoutError, Item, PutTimeoutError, TryGetError, TryPutError,
};
use shibuya_testkit::PanicOnDrop;
use tokio::task::yield_now;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};

/// A future that was polled once and found to wait.
fn waiting<F: Future>(future: F) -> Spawn<Pin<Box<F>>> {
    let mut future = spawn(Box::pin(future));
    assert!(future.poll().is_pending());
    future
}

/// What `f` says when it panics, which it must.
fn caught<T>(f: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it didn't panic")
    };
    match panic.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(panic) => *panic.downcast::<String>().expect("a text"),
    }
}

// ---- what can't be

#[test]
fn what_cannot_be_panics_at_the_caller() {
    fn place_of(f: impl FnOnce()) -> (String, u32) {
        let line = Arc::new(Mutex::new(0));
        let seen = line.clone();
        let here = std::thread::current().id();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == here {
                *seen.lock().unwrap() = info.location().map_or(0, Location::line);
            }
        }));
        let said = caught(f);
        std::panic::set_hook(hook);
        let line = *line.lock().unwrap();
        (said, line)
    }

    let line = line!() + 1;
    let (said, at) = place_of(|| _ = Queue::<u8>::bounded(0));
    assert_eq!(at, line);
    assert!(said.starts_with("a capacity of 0 holds nothing"), "{said}");

    let builder = Queue::<u8>::builder().capacity(0);
    let line = line!() + 1;
    let (_, at) = place_of(|| _ = builder.build());
    assert_eq!(at, line);

    let queue = Queue::<u8>::unbounded();
    let mut items = Vec::new();
    let line = line!() + 1;
    let (said, at) = place_of(|| drop(queue.get_many(&mut items, 0)));
    assert_eq!(
        (said.as_str(), at),
        ("a limit of 0 items waits for nothing", line)
    );
}

#[test]
fn what_cannot_be_configured_says_what_would_be_right() {
    let no_capacity = Queue::<u8>::builder().capacity(0).try_build().unwrap_err();
    assert_eq!(no_capacity, BuildError::NoCapacity);
    assert_eq!(
        no_capacity.to_string(),
        "a capacity of 0 holds nothing: let it be 1 or more, or leave it away for no bound"
    );
    let no_step = Queue::<u8>::builder().aging(Duration::ZERO, |_| 0);
    let no_step = no_step.try_build().unwrap_err();
    assert_eq!(no_step, BuildError::NoStep);
    assert_eq!(
        no_step.to_string(),
        "a step of zero makes all levels equal: let it be longer, or take the order of arrival"
    );
    let changed_its_mind = Queue::<u8>::builder().aging(Duration::ZERO, |_| 0).fifo();
    assert!(changed_its_mind.try_build().is_ok());
}

#[test]
fn errors_say_what_happened() {
    assert_eq!(Closed("a").to_string(), "the queue is shut down");
    assert_eq!(TryPutError::Full("a").to_string(), "the queue is full");
    assert_eq!(
        TryPutError::Closed("a").to_string(),
        "the queue is shut down"
    );
    assert_eq!(
        PutTimeoutError::Timeout("a").to_string(),
        "the queue stayed full for too long"
    );
    assert_eq!(
        PutTimeoutError::Closed("a").to_string(),
        "the queue is shut down"
    );
    assert_eq!(TryGetError::Empty.to_string(), "the queue is empty");
    assert_eq!(TryGetError::Closed.to_string(), "the queue is shut down");
    assert_eq!(
        GetTimeoutError::Timeout.to_string(),
        "the queue stayed empty for too long"
    );
    assert_eq!(
        GetTimeoutError::Closed.to_string(),
        "the queue is shut down"
    );
    assert_eq!(
        Aborted.to_string(),
        "the queue was shut down with items left undone"
    );
    assert!(TryPutError::Full(()).is_full() && !TryPutError::Full(()).is_closed());
    assert!(TryPutError::Closed(()).is_closed() && !TryPutError::Closed(()).is_full());
    assert!(PutTimeoutError::Timeout(()).is_timeout() && !PutTimeoutError::Timeout(()).is_closed());
    assert!(PutTimeoutError::Closed(()).is_closed() && !PutTimeoutError::Closed(()).is_timeout());
    assert!(TryGetError::Empty.is_empty() && !TryGetError::Empty.is_closed());
    assert!(TryGetError::Closed.is_closed() && !TryGetError::Closed.is_empty());
    assert!(GetTimeoutError::Timeout.is_timeout() && !GetTimeoutError::Timeout.is_closed());
    assert!(GetTimeoutError::Closed.is_closed() && !GetTimeoutError::Closed.is_timeout());
    // Neither needs a value that can be printed.
    struct Mute;
    let debug = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        Closed(Mute),
        TryPutError::Full(Mute),
        TryPutError::Closed(Mute),
        PutTimeoutError::Timeout(Mute),
        PutTimeoutError::Closed(Mute)
    );
    assert_eq!(
        debug,
        "Closed(..) Full(..) Closed(..) Timeout(..) Closed(..)"
    );
}

// ---- who is first

#[test]
fn nobody_passes_those_who_wait_for_room_while_they_are_being_woken() {
    /// Puts as soon as somebody else is woken, when the lock is free and the rest are not served yet.
    struct Passer(Queue<u32>, AtomicUsize);

    impl Wake for Passer {
        fn wake(self: Arc<Self>) {
            let put = self.0.try_put(u32::MAX);
            let reserved = self.0.try_reserve().map(drop);
            let refused = [put.map_err(drop), reserved.map_err(drop)];
            self.1
                .fetch_add(refused.into_iter().filter(Result::is_err).count(), SeqCst);
        }
    }

    let queue = Queue::bounded(100);
    for i in 0..100 {
        queue.try_put(i).unwrap();
    }
    let passer = Arc::new(Passer(queue.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(passer.clone());
    let mut putters: Vec<_> = (100..180).map(|i| Box::pin(queue.put(i))).collect();
    for putter in &mut putters {
        let polled = putter.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }

    let mut first = Vec::new();
    let mut all = spawn(queue.get_many(&mut first, 80));
    assert_eq!(assert_ready!(all.poll()), Ok(80));
    drop(all);
    assert_eq!(queue.stats().waiting_to_put, 0);
    let refused = passer.1.load(SeqCst);
    assert_eq!(refused, 160, "all attempts, two for each who was woken");

    let rest: Vec<_> = std::iter::from_fn(|| queue.try_pop().ok()).collect();
    assert_eq!(rest, (80..180).collect::<Vec<_>>());
}

// ---- shutting down

#[tokio::test]
async fn a_closed_queue_takes_nothing_and_hands_it_back() {
    let queue = Queue::bounded(1);
    let slot = queue.try_reserve().unwrap();
    let mut put = waiting(queue.put("a"));
    let mut reserve = waiting(queue.reserve());
    queue.shutdown();
    assert_eq!(assert_ready!(put.poll()), Err(Closed("a")));
    assert!(assert_ready!(reserve.poll()).is_err());
    drop(slot);

    assert!(queue.is_shut_down());
    assert_eq!(queue.put("b").await, Err(Closed("b")));
    assert_eq!(queue.put("b").await.unwrap_err().into_inner(), "b");
    assert_eq!(queue.try_put("c"), Err(TryPutError::Closed("c")));
    let late = queue.put_timeout("d", Duration::MAX).await;
    assert_eq!(late, Err(PutTimeoutError::Closed("d")));
    assert!(queue.reserve().await.is_err());
    assert!(queue.try_reserve().unwrap_err().is_closed());
    assert!(queue.pop().await.is_err());
    assert_eq!(queue.try_pop(), Err(TryGetError::Closed));
    let late = queue.get_timeout(Duration::MAX).await;
    assert!(late.unwrap_err().is_closed());
    assert_eq!(queue.get_many(&mut Vec::new(), 1).await, Err(Closed(())));
    assert_eq!(queue.stats().put, 0);
}

#[tokio::test]
async fn a_second_shutdown_changes_nothing() {
    let queue = Queue::unbounded();
    queue.put(1).await.unwrap();
    queue.shutdown();
    let before = queue.stats();
    queue.shutdown();
    assert_eq!(queue.stats(), before);
    assert_eq!(queue.pop().await, Ok(1));

    assert!(queue.shutdown_now().is_empty());
    assert!(queue.shutdown_now().is_empty());
    queue.shutdown();
    assert_eq!(queue.join().await, Ok(()), "nothing was handed back");
}

#[tokio::test]
async fn a_shutdown_that_takes_too_long_is_cut_short() {
    let queue = Queue::unbounded();
    for i in 0..3 {
        queue.put(i).await.unwrap();
    }
    queue.shutdown();
    let item = queue.get().await.unwrap();
    assert_eq!(queue.shutdown_now(), [1, 2]);
    assert!(queue.pop().await.is_err());

    let mut join = waiting(queue.join());
    drop(item);
    assert_eq!(assert_ready!(join.poll()), Err(Aborted));
    assert_eq!(
        queue.join().await,
        Err(Aborted),
        "and for whoever asks later"
    );
}

#[test]
fn what_is_left_is_handed_back_in_its_order() {
    let values = [3_u32, 1, 2];
    for (builder, left) in [
        (Queue::builder().fifo(), [3, 1, 2]),
        (Queue::builder().lifo(), [2, 1, 3]),
        (Queue::builder().priority(), [1, 2, 3]),
        (
            Queue::builder().priority_by_key(|level| level % 3),
            [3, 1, 2],
        ),
        (
            Queue::builder().aging(Duration::from_secs(1), |&level| 10 - level),
            [3, 2, 1],
        ),
    ] {
        let queue = builder.build();
        for value in values {
            queue.try_put(value).unwrap();
        }
        assert_eq!(queue.shutdown_now(), left);
        assert_eq!(queue.stats().len, 0);
    }
}

#[test]
fn a_woken_getter_finds_the_queue_cut() {
    let queue = Queue::unbounded();
    let mut getter = waiting(queue.get());
    let mut popper = waiting(queue.pop());
    let mut stream = spawn(queue.stream());
    assert_pending!(stream.poll_next());
    for i in 0..3 {
        queue.try_put(i).unwrap();
    }
    assert!(getter.is_woken() && popper.is_woken() && stream.is_woken());
    assert_eq!(queue.shutdown_now(), [0, 1, 2]);
    assert!(assert_ready!(getter.poll()).is_err());
    assert!(assert_ready!(popper.poll()).is_err());
    assert!(assert_ready!(stream.poll_next()).is_none());
    assert!(
        assert_ready!(stream.poll_next()).is_none(),
        "again, if asked again"
    );
}

#[tokio::test]
async fn an_item_is_put_back_after_a_shutdown_but_not_after_a_cut() {
    let queue = Queue::bounded(1);
    queue.put("a").await.unwrap();
    let item = queue.get().await.unwrap();
    queue.shutdown();
    item.requeue().unwrap();
    let item = queue.get().await.unwrap();
    assert_eq!((*item, queue.stats().put), ("a", 2));

    assert!(queue.shutdown_now().is_empty());
    assert_eq!(item.requeue(), Err(Closed("a")));
    assert_eq!(queue.join().await, Err(Aborted), "it was never done");
    assert_eq!(queue.stats().in_hand, 0);
}

#[test]
fn an_item_is_put_back_beyond_the_capacity() {
    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let item = queue.try_get().unwrap();
    queue.try_put(2).unwrap();
    let mut put = waiting(queue.put(3));
    item.requeue().unwrap();
    assert_eq!((queue.len(), queue.is_full()), (2, true));
    assert_eq!(queue.try_pop(), Ok(2));
    assert!(!put.is_woken(), "there is still no room");
    assert_eq!(queue.try_pop(), Ok(1));
    assert_ready_ok!(put.poll());
}

#[test]
fn a_slot_that_is_kept_across_a_shutdown_is_waited_for() {
    for uses in [true, false] {
        let queue = Queue::bounded(2);
        let slot = queue.try_reserve().unwrap();
        queue.shutdown();
        let mut getter = waiting(queue.get());
        assert_eq!(queue.try_get().unwrap_err(), TryGetError::Empty);
        if uses {
            slot.put(7).unwrap();
            assert_eq!(assert_ready!(getter.poll()).unwrap().into_inner(), 7);
        } else {
            drop(slot);
            assert!(assert_ready!(getter.poll()).is_err());
        }
        assert_eq!(queue.try_get().unwrap_err(), TryGetError::Closed);
    }
}

#[test]
fn a_slot_that_is_kept_across_a_cut_refuses() {
    let queue = Queue::bounded(1);
    let slot = queue.try_reserve().unwrap();
    let mut getter = waiting(queue.get());
    assert!(queue.shutdown_now().is_empty());
    assert!(assert_ready!(getter.poll()).is_err(), "nobody waits for it");
    assert_eq!(slot.put(7), Err(Closed(7)));
    assert_eq!(queue.stats().reserved, 0);
}

// ---- foreign code that panics

#[tokio::test]
async fn an_item_is_done_when_its_holder_panics() {
    let queue = Queue::unbounded();
    queue.put(1).await.unwrap();
    let taker = queue.clone();
    let worker = tokio::spawn(async move {
        let _item = taker.get().await;
        panic!("on the job");
    });
    queue.join().await.unwrap();
    assert!(worker.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn an_item_is_done_when_its_destructor_panics() {
    let queue = Queue::unbounded();
    queue.put(PanicOnDrop::new("item")).await.unwrap();
    let item = queue.get().await.unwrap();
    let join = waiting(queue.join());
    assert_eq!(caught(|| drop(item)), "item");
    assert!(join.is_woken());
    assert_eq!(join.into_inner().await, Ok(()));
}

/// Its order panics while it is armed.
#[derive(Clone, Debug)]
struct Touchy(u32, Arc<AtomicBool>);

impl Ord for Touchy {
    fn cmp(&self, other: &Self) -> Ordering {
        assert!(!self.1.load(SeqCst), "no order");
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Touchy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Touchy {}

/// A queue of those, with a few in it, and the switch.
fn touchy(capacity: usize, values: &[u32]) -> (Queue<Touchy>, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let queue = Queue::builder().capacity(capacity).priority().build();
    for &value in values {
        queue.try_put(Touchy(value, armed.clone())).unwrap();
    }
    (queue, armed)
}

/// Takes all, and sees them done. After a panic their order is anybody's guess.
async fn drained(queue: &Queue<Touchy>) -> Vec<u32> {
    let taken: Vec<_> = std::iter::from_fn(|| queue.try_get().ok()).collect();
    let mut values: Vec<_> = taken.iter().map(|item| item.0).collect();
    values.sort_unstable();
    drop(taken);
    queue.join().await.unwrap();
    let stats = queue.stats();
    assert_eq!((stats.len, stats.in_hand, stats.waiting_to_put), (0, 0, 0));
    values
}

#[tokio::test]
async fn an_order_that_panics_in_a_put_goes_to_who_puts() {
    let (queue, armed) = touchy(10, &[1, 3]);
    armed.store(true, SeqCst);
    let put = || queue.try_put(Touchy(2, armed.clone()));
    assert_eq!(caught(put), "no order");
    armed.store(false, SeqCst);
    queue.put(Touchy(0, armed)).await.unwrap();
    let values = drained(&queue).await;
    assert!(values == [0, 1, 3] || values == [0, 1, 2, 3], "{values:?}");
}

#[tokio::test]
async fn a_key_that_panics_is_as_an_order_that_does() {
    let armed = Arc::new(AtomicBool::new(false));
    let panics = armed.clone();
    let by_key = Queue::builder().capacity(3).priority_by_key(move |n| {
        assert!(!panics.load(SeqCst), "no key");
        Reverse(*n)
    });
    let queue = by_key.build();
    for n in 1..=3 {
        queue.try_put(n).unwrap();
    }
    let mut waits = waiting(queue.put(4));
    armed.store(true, SeqCst);
    assert_eq!(caught(|| queue.try_get()), "no key");
    armed.store(false, SeqCst);
    while let Ok(item) = queue.try_get() {
        assert!((1..=4).contains(&*item));
    }
    assert_ready!(waits.poll()).unwrap();
    queue.join().await.unwrap();
    let stats = queue.stats();
    assert_eq!((stats.len, stats.in_hand, stats.waiting_to_put), (0, 0, 0));
    queue.put(5).await.unwrap();
    assert_eq!(queue.pop().await, Ok(5));
}

#[tokio::test]
async fn an_order_that_panics_in_a_get_goes_to_who_gets() {
    type Get = fn(&Queue<Touchy>);
    let ways: [Get; 4] = [
        |queue| _ = queue.try_get(),
        |queue| _ = queue.try_pop(),
        |queue| _ = spawn(queue.get()).poll(),
        |queue| _ = spawn(queue.stream()).poll_next(),
    ];
    for get in ways {
        let (queue, armed) = touchy(10, &[1, 2, 3, 4, 5]);
        armed.store(true, SeqCst);
        assert_eq!(caught(|| get(&queue)), "no order");
        armed.store(false, SeqCst);
        assert!(drained(&queue).await.len() >= 4, "one may be dropped");
    }
}

#[tokio::test]
async fn an_order_that_panics_for_a_putter_who_waits_leaves_nothing_in_hand() {
    type Get = fn(&Queue<Touchy>);
    let ways: [Get; 5] = [
        |queue| _ = queue.try_get(),
        |queue| _ = queue.try_pop(),
        |queue| _ = spawn(queue.get()).poll(),
        |queue| _ = spawn(queue.stream()).poll_next(),
        |queue| _ = spawn(queue.get_many(&mut Vec::new(), 1)).poll(),
    ];
    for get in ways {
        let (queue, armed) = touchy(2, &[1, 2]); // to take one of two needs no comparison, to put one does
        let mut putter = waiting(queue.put(Touchy(3, armed.clone())));
        armed.store(true, SeqCst);
        assert_eq!(caught(|| get(&queue)), "no order");
        armed.store(false, SeqCst);

        assert_eq!(queue.stats().in_hand, 0, "what it took is done");
        let mut values = drained(&queue).await;
        assert_ready_ok!(putter.poll());
        values.extend(drained(&queue).await);
        assert_eq!(values, [2, 3], "put once");
    }
}

#[test]
fn who_was_put_by_a_panic_is_not_refused() {
    let (queue, armed) = touchy(2, &[1, 2]);
    let mut putter = waiting(queue.put(Touchy(3, armed.clone())));
    armed.store(true, SeqCst);
    assert_eq!(caught(|| queue.try_pop()), "no order");
    armed.store(false, SeqCst);
    queue.shutdown();
    assert_ready_ok!(putter.poll());
    assert_eq!(queue.try_pop().unwrap().0, 2);
    assert_eq!(queue.try_pop().unwrap().0, 3);
}

#[test]
fn who_was_put_by_a_panic_waits_for_no_more_room() {
    let (queue, armed) = touchy(2, &[1, 2]);
    let mut putter = waiting(queue.put(Touchy(3, armed.clone())));
    armed.store(true, SeqCst);
    assert_eq!(caught(|| queue.try_pop()), "no order");
    armed.store(false, SeqCst);
    assert!(queue.is_full());
    assert_ready_ok!(putter.poll());
}

#[test]
fn an_order_that_panics_when_all_is_handed_back_leaves_the_queue_cut() {
    let (queue, armed) = touchy(10, &[1, 2, 3, 4, 5]);
    let mut join = waiting(queue.join());
    armed.store(true, SeqCst);
    assert_eq!(caught(|| queue.shutdown_now()), "no order");
    assert_eq!(queue.stats().len, 0);
    assert_eq!(assert_ready!(join.poll()), Err(Aborted));
    assert!(assert_ready!(spawn(queue.get()).poll()).is_err());
}

/// A waker that panics is another's fault: whoever unlocked bears it, but nothing stays in hand.
#[test]
fn a_waker_that_panics_leaves_nothing_in_hand() {
    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }

    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let mut putter = Box::pin(queue.put(2));
    let bomb = Waker::from(Arc::new(Bomb));
    let mut cx = Context::from_waker(&bomb);
    assert!(putter.as_mut().poll(&mut cx).is_pending());
    assert_eq!(caught(|| queue.try_get()), "waker");
    let stats = queue.stats();
    assert_eq!((stats.len, stats.in_hand, stats.taken), (1, 0, 1));
}

/// While a crowd is woken batch by batch, whoever reserves in between unlocks for those who are left.
#[test]
fn a_waker_that_panics_keeps_no_room() {
    struct Reserves(Queue<u32>);

    impl Wake for Reserves {
        fn wake(self: Arc<Self>) {
            drop(self.0.try_reserve());
        }
    }

    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }

    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let item = queue.try_get().unwrap();
    let reserves = Waker::from(Arc::new(Reserves(queue.clone())));
    let bomb = Waker::from(Arc::new(Bomb));
    let mut joins: Vec<_> = (0..100).map(|_| Box::pin(queue.join())).collect();
    for (i, join) in joins.iter_mut().enumerate() {
        let waker = match i {
            0 => &reserves,
            99 => &bomb,
            _ => Waker::noop(),
        };
        let polled = join.as_mut().poll(&mut Context::from_waker(waker));
        assert!(polled.is_pending());
    }
    assert_eq!(caught(|| drop(item)), "waker");
    assert_eq!(queue.stats().reserved, 0);
}

#[tokio::test]
async fn a_level_that_panics_leaks_nothing() {
    let armed = Arc::new(AtomicBool::new(false));
    let panics = armed.clone();
    let level = move |_: &u32| {
        assert!(!panics.load(SeqCst), "no level");
        0
    };
    let queue = Queue::builder()
        .capacity(3)
        .aging(Duration::from_secs(1), level)
        .build();
    queue.put(1).await.unwrap();
    let item = queue.get().await.unwrap();
    let slot = queue.reserve().await.unwrap();
    queue.put(2).await.unwrap();

    armed.store(true, SeqCst);
    assert_eq!(caught(|| queue.try_put(3)), "no level");
    assert_eq!(caught(|| spawn(queue.put(3)).poll()), "no level");
    let timeout = Duration::from_secs(1);
    assert_eq!(
        caught(|| spawn(queue.put_timeout(3, timeout)).poll()),
        "no level"
    );
    assert_eq!(caught(|| slot.put(3)), "no level");
    assert_eq!(caught(|| item.requeue()), "no level");
    let stats = queue.stats();
    assert_eq!((stats.len, stats.reserved, stats.in_hand), (1, 0, 0));
    assert_eq!((stats.put, stats.taken), (2, 1));

    armed.store(false, SeqCst);
    queue.put(3).await.unwrap();
    assert_eq!(queue.pop().await, Ok(2));
    assert_eq!(queue.pop().await, Ok(3));
    queue.join().await.unwrap();
}

// ---- values that use the queue in their destructor

/// When it is dropped it looks at a queue and puts a number there.
struct Echo(Queue<Note>, u32);

enum Note {
    Echo(#[allow(dead_code, reason = "it is dropped")] Echo),
    Number(u32),
}

impl Drop for Echo {
    fn drop(&mut self) {
        assert!(!format!("{:?}", self.0).is_empty());
        let _ = self.0.try_put(Note::Number(self.1));
    }
}

fn numbers(queue: &Queue<Note>) -> Vec<u32> {
    let notes = std::iter::from_fn(|| queue.try_pop().ok());
    notes
        .map(|note| match note {
            Note::Number(number) => number,
            Note::Echo(_) => u32::MAX,
        })
        .collect()
}

#[test]
fn a_value_may_use_its_queue_when_it_is_dropped() {
    let queue = Queue::bounded(2);
    let echo = |number| Note::Echo(Echo(queue.clone(), number));

    // With a put that is dropped while it waits.
    let slots = [(); 2].map(|()| queue.try_reserve().unwrap());
    let put = waiting(queue.put(echo(1)));
    drop(slots);
    assert!(put.is_woken(), "it is in");
    drop(put);
    assert!(matches!(queue.try_pop(), Ok(Note::Echo(_))));
    assert_eq!(numbers(&queue), [1]);
    let slots = [(); 2].map(|()| queue.try_reserve().unwrap());
    drop(waiting(queue.put(echo(2))));
    drop(waiting(queue.put(echo(3))));
    drop(slots);
    assert_eq!(numbers(&queue), [], "there was no room then");

    // With a refused put, and an item.
    assert!(queue.try_put(echo(4)).is_ok());
    drop(queue.try_get().unwrap());
    assert_eq!(numbers(&queue), [4]);

    // With what is handed back.
    assert!(queue.try_put(echo(5)).is_ok());
    assert_eq!(queue.shutdown_now().len(), 1);
    drop(queue.try_put(echo(6)));
}

#[tokio::test]
async fn what_an_item_puts_when_it_is_dropped_is_waited_for() {
    let queue = Queue::unbounded();
    assert!(queue.try_put(Note::Echo(Echo(queue.clone(), 1))).is_ok());
    let item = queue.get().await.unwrap();
    let join = waiting(queue.join());
    drop(item);
    assert!(!join.is_woken(), "it was put before the item was done");
    assert_eq!(numbers(&queue), [1]);
    join.into_inner().await.unwrap();
}

#[test]
fn the_last_handle_drops_what_is_left_without_a_lock() {
    let heir = Queue::unbounded();
    let queue = Queue::unbounded();
    for number in 0..3 {
        assert!(queue.try_put(Echo(heir.clone(), number)).is_ok());
    }
    let other = queue.clone();
    drop(queue);
    assert!(heir.is_empty(), "a handle is left");
    drop(other);
    assert_eq!(numbers(&heir), [0, 1, 2]);
}

// ---- crowds

#[test]
fn a_million_waiters_leave_at_once() {
    const CROWD: usize = 1_000_000;
    let began = Instant::now();
    let mut cx = Context::from_waker(Waker::noop());
    let queue = Queue::bounded(1);

    let mut getters: Vec<_> = (0..CROWD).map(|_| Box::pin(queue.pop())).collect();
    for getter in &mut getters {
        assert!(getter.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(queue.stats().waiting_to_get, CROWD);
    queue.try_put(0).unwrap();
    drop(getters);
    assert_eq!(queue.stats().waiting_to_get, 0);
    assert!(queue.is_full());

    let mut putters: Vec<_> = (0..CROWD).map(|i| Box::pin(queue.put(i))).collect();
    for putter in &mut putters {
        assert!(putter.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(queue.stats().waiting_to_put, CROWD);
    drop(putters);
    assert_eq!(queue.stats().waiting_to_put, 0);
    assert_eq!(queue.try_pop(), Ok(0));
    assert!(queue.is_empty());

    // What looks at all the others whenever one leaves takes hours.
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_and_consumers_on_two_threads() {
    const EACH: usize = 5_000;
    let queue = Queue::bounded(8);
    let producers: Vec<_> = (0..4)
        .map(|id| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for i in 0..EACH {
                    let value = id * EACH + i;
                    match i % 4 {
                        0 => queue.put(value).await.unwrap(),
                        1 => queue.reserve().await.unwrap().put(value).unwrap(),
                        2 => {
                            let time = Duration::from_secs(600);
                            queue.put_timeout(value, time).await.unwrap();
                        }
                        _ => {
                            // Gives up once, perhaps.
                            drop(tokio::time::timeout(Duration::ZERO, queue.reserve()).await);
                            queue.put(value).await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..4)
        .map(|id| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    // Gives up now and then.
                    drop(tokio::time::timeout(Duration::ZERO, queue.reserve()).await);
                    let item = match id % 2 {
                        0 => queue.get().await.map(Item::into_inner),
                        _ => queue.pop().await,
                    };
                    match item {
                        Ok(value) => seen.push(value),
                        Err(Closed(())) => return seen,
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    queue.join().await.unwrap();
    queue.shutdown();
    let mut all = Vec::new();
    for consumer in consumers {
        let seen = consumer.await.unwrap();
        // First in, first out: of each producer, each consumer sees what came later later.
        for id in 0..4 {
            let of_one = seen.iter().filter(|&&value| value / EACH == id);
            assert!(of_one.is_sorted());
        }
        all.extend(seen);
    }
    all.sort_unstable();
    assert_eq!(all, (0..4 * EACH).collect::<Vec<_>>());
}

// ---- time

#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_one_attempt() {
    let queue = Queue::bounded(1);
    let began = tokio::time::Instant::now();
    let got = queue.get_timeout(Duration::ZERO).await;
    assert!(got.unwrap_err().is_timeout());
    queue.put_timeout("a", Duration::ZERO).await.unwrap();
    let full = queue.put_timeout("b", Duration::ZERO).await.unwrap_err();
    assert!(full.is_timeout());
    assert_eq!(full.into_inner(), "b");
    assert_eq!(*queue.get_timeout(Duration::ZERO).await.unwrap(), "a");
    // The timer's grain is a millisecond.
    assert!(
        began.elapsed() <= Duration::from_millis(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        queue.stats().waiting_to_get + queue.stats().waiting_to_put,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn all_the_time_in_the_world_is_no_limit() {
    let queue = Queue::bounded(1);
    let mut get = waiting(queue.get_timeout(Duration::MAX));
    tokio::time::advance(Duration::from_secs(1 << 30)).await;
    assert_pending!(get.poll());
    queue.try_put(1).unwrap();
    assert_eq!(assert_ready!(get.poll()).unwrap().into_inner(), 1);

    queue.try_put(2).unwrap();
    let mut put = waiting(queue.put_timeout(3, Duration::MAX));
    assert_eq!(queue.try_pop(), Ok(2));
    assert_ready_ok!(put.poll());
    assert_eq!(queue.try_pop(), Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_up_leaves_the_line() {
    let queue = Queue::bounded(1);
    let second = Duration::from_secs(1);
    let began = tokio::time::Instant::now();
    assert!(queue.get_timeout(second).await.unwrap_err().is_timeout());
    assert_eq!(began.elapsed(), second);
    queue.try_put(1).unwrap();
    let late = queue.put_timeout(2, second).await.unwrap_err();
    assert_eq!((late.is_timeout(), late.into_inner()), (true, 2));
    assert_eq!(began.elapsed(), 2 * second);
    assert_eq!(
        queue.stats().waiting_to_get + queue.stats().waiting_to_put,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_counts_where_there_are_levels() {
    let queue = Queue::builder()
        .aging(Duration::from_secs(10), |&(level, _)| level)
        .build();
    queue.put((1, "early")).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    queue.put((0, "passes")).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    queue.put((0, "late")).await.unwrap();
    let order = ["passes", "early", "late"];
    for expected in order {
        assert_eq!(queue.pop().await.unwrap().1, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_as_old_as_its_put() {
    let queue = Queue::builder()
        .capacity(1)
        .aging(Duration::from_secs(10), |&(level, _)| level)
        .build();
    queue.put((0, "first")).await.unwrap();
    let mut waits = waiting(queue.put((1, "waits")));
    tokio::time::advance(Duration::from_secs(11)).await;
    let first = queue.get().await.unwrap();
    assert_ready_ok!(waits.poll());
    first.requeue().unwrap(); // as if it came now
    assert_eq!(queue.pop().await.unwrap().1, "waits");
    assert_eq!(queue.pop().await.unwrap().1, "first");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_for_some_time_is_as_old_as_its_put() {
    let queue = Queue::builder()
        .capacity(1)
        .aging(Duration::from_secs(10), |&(level, _)| level)
        .build();
    queue.put((0, "first")).await.unwrap();
    let mut waits = waiting(queue.put_timeout((1, "waits"), Duration::MAX));
    tokio::time::advance(Duration::from_secs(11)).await;
    let first = queue.get().await.unwrap();
    assert_ready_ok!(waits.poll());
    first.requeue().unwrap(); // as if it came now
    assert_eq!(queue.pop().await.unwrap().1, "waits");
    assert_eq!(queue.pop().await.unwrap().1, "first");
}

// ---- taking turns

/// Runs `busy`, which never has to wait, beside another task on one thread until that one had its turn.
async fn gives_way(mut busy: impl AsyncFnMut()) {
    let turn = Arc::new(AtomicBool::new(false));
    let other = turn.clone();
    tokio::spawn(async move { other.store(true, SeqCst) });
    for _ in 0..1_000_000 {
        if turn.load(SeqCst) {
            return;
        }
        busy().await;
    }
    panic!("the other task never had its turn");
}

#[tokio::test]
async fn who_never_has_to_wait_gives_way_to_others() {
    let queue = Queue::unbounded();
    queue.try_put(0_u8).unwrap();
    let refill = || queue.try_put(0).unwrap();
    gives_way(async || refill_after(queue.pop().await.is_ok(), refill)).await;
    gives_way(async || refill_after(queue.get().await.is_ok(), refill)).await;
    gives_way(async || refill_after(queue.get_timeout(Duration::MAX).await.is_ok(), refill)).await;
    gives_way(async || {
        let some = queue.get_many(&mut Vec::new(), 1).await.is_ok();
        refill_after(some, refill);
    })
    .await;
    gives_way(async || refill_after(queue.stream().next().await.is_some(), refill)).await;

    gives_way(async || queue.put(0).await.unwrap()).await;
    gives_way(async || drop(queue.reserve().await.unwrap())).await;
    gives_way(async || queue.put_timeout(0, Duration::MAX).await.unwrap()).await;
    let mut sink = queue.sink();
    gives_way(async || sink.feed(0).await.unwrap()).await;
}

fn refill_after(taken: bool, refill: impl Fn()) {
    assert!(taken);
    refill();
}

// ---- streams and sinks

#[tokio::test]
async fn a_stream_flows_into_a_sink() {
    let (from, to) = (Queue::bounded(2), Queue::bounded(2));
    let pump = from.stream().map(|item: Item<i32>| Ok(item.into_inner()));
    let pump = tokio::spawn(pump.forward(to.sink()));
    let reader = to.clone();
    let reader = tokio::spawn(async move { reader.stream().map(Item::into_inner).collect().await });

    let mut source = stream::iter(0..100).map(Ok);
    from.sink().send_all(&mut source).await.unwrap();
    from.shutdown();
    pump.await.unwrap().unwrap();
    assert!(!to.is_shut_down(), "closing a sink leaves its queue alone");
    assert_eq!(to.stats().reserved, 0);
    to.join().await.unwrap();
    to.shutdown();
    let all: Vec<i32> = reader.await.unwrap();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn streams_in_several_tasks_share_the_items() {
    let queue = Queue::bounded(4);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let stream = queue.stream();
            tokio::spawn(async move {
                let mut stream = stream;
                let mut mine = Vec::new();
                while let Some(item) = stream.next().await {
                    mine.push(*item);
                    yield_now().await;
                }
                mine
            })
        })
        .collect();
    let mut sinks = [queue.sink(), queue.sink()];
    for i in 0..100 {
        sinks[i % 2].send(i).await.unwrap();
    }
    queue.join().await.unwrap();
    queue.shutdown();
    let mut all = HashSet::new();
    for task in tasks {
        let mine = task.await.unwrap();
        assert!(!mine.is_empty() && mine.is_sorted());
        all.extend(mine);
    }
    assert_eq!(all.len(), 100);
}

#[tokio::test]
async fn a_sink_learns_of_a_shutdown() {
    let queue = Queue::bounded(1);
    let mut sink = queue.sink();
    queue.shutdown();
    assert_eq!(sink.send(1).await, Err(Closed(())));
    assert_eq!(sink.close().await, Ok(()));

    let queue = Queue::bounded(1);
    let mut early = queue.sink();
    std::future::poll_fn(|cx| early.poll_ready_unpin(cx))
        .await
        .unwrap();
    let mut waits = queue.sink();
    let mut send = spawn(waits.send(2));
    assert_pending!(send.poll());
    queue.shutdown();
    assert_eq!(assert_ready!(send.poll()), Err(Closed(())));
    early.start_send_unpin(1).unwrap(); // it had room already
    assert_eq!(queue.try_pop(), Ok(1));
}

#[test]
fn a_sink_gives_up_its_room_when_it_is_closed_or_dropped() {
    let queue = Queue::bounded(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut sink = queue.sink();
    for _ in 0..2 {
        let mut ready = || Pin::new(&mut sink).poll_ready(&mut cx);
        assert_ready_ok!(ready());
        assert_ready_ok!(ready(), "and it stays");
        assert_eq!(queue.stats().reserved, 1);
        assert_ready_ok!(Pin::new(&mut sink).poll_flush(&mut cx));
        assert_ready_ok!(Pin::new(&mut sink).poll_close(&mut cx));
        assert_eq!(queue.stats().reserved, 0, "and the sink can be used again");
    }
    assert_ready_ok!(Pin::new(&mut sink).poll_ready(&mut cx));
    drop(sink);
    assert!(!queue.is_full());
    assert!(!queue.is_shut_down());

    queue.try_put(1).unwrap();
    let mut sink = queue.sink();
    assert!(Pin::new(&mut sink).poll_ready(&mut cx).is_pending());
    assert_eq!(queue.stats().waiting_to_put, 1);
    drop(sink);
    assert_eq!(queue.stats().waiting_to_put, 0);
}

#[test]
fn a_sink_that_is_not_ready_takes_nothing() {
    let queue = Queue::bounded(1);
    let mut sink = queue.sink();
    let said = caught(|| Pin::new(&mut sink).start_send(1));
    assert_eq!(said, "`start_send` without `poll_ready` before it");
    assert!(queue.is_empty());
}

#[test]
fn a_stream_that_is_dropped_takes_nothing_along() {
    let queue = Queue::unbounded();
    let mut stream = spawn(queue.stream());
    assert_pending!(stream.poll_next());
    let mut next = waiting(queue.get());
    queue.try_put(1).unwrap();
    assert!(stream.is_woken() && !next.is_woken());
    drop(stream);
    assert_eq!(assert_ready!(next.poll()).unwrap().into_inner(), 1);
}

// ---- small things

#[test]
fn many_are_taken_up_to_a_limit() {
    let queue = Queue::unbounded();
    for i in 0..5 {
        queue.try_put(i).unwrap();
    }
    let mut items = Vec::new();
    for (limit, count) in [(3, 3), (3, 2)] {
        assert_eq!(
            assert_ready!(spawn(queue.get_many(&mut items, limit)).poll()),
            Ok(count)
        );
    }
    let values: Vec<_> = items.drain(..).map(Item::into_inner).collect();
    assert_eq!(values, [0, 1, 2, 3, 4]);
    let mut waits = waiting(queue.get_many(&mut items, 2));
    queue.try_put(5).unwrap();
    assert_eq!(assert_ready!(waits.poll()), Ok(1));
}

#[test]
fn what_is_promised_is_left_alone() {
    let queue = Queue::unbounded();
    let mut getter = waiting(queue.get());
    queue.try_put(1).unwrap();
    assert!(getter.is_woken());
    assert_eq!(queue.try_pop(), Err(TryGetError::Empty));
    queue.try_put(2).unwrap();
    let mut items = Vec::new();
    let mut many = spawn(queue.get_many(&mut items, 10));
    assert_eq!(assert_ready!(many.poll()), Ok(1));
    assert_eq!(
        assert_ready!(getter.poll()).unwrap().into_inner(),
        2,
        "whose turn it is takes what is first"
    );
}

#[test]
fn debug_shows_what_is_in_it() {
    let queue = Queue::bounded(2);
    queue.try_put(1).unwrap();
    let shown = "Queue { len: 1, capacity: 2, in_hand: 0, is_shut_down: false, .. }";
    assert_eq!(format!("{queue:?}"), shown);
    assert_eq!(
        format!("{:?}", queue.stream()),
        format!("QueueStream {{ queue: {shown} }}")
    );
    assert_eq!(
        format!("{:?}", queue.sink()),
        format!("QueueSink {{ queue: {shown} }}")
    );
    assert_eq!(format!("{:?}", queue.try_reserve().unwrap()), "Slot");
    assert_eq!(format!("{:?}", queue.try_get().unwrap()), "Item(1)");
    assert!(!format!("{:?}", Queue::<u8>::unbounded()).contains("capacity"));
    let builder = Queue::<u8>::builder().capacity(3).lifo();
    assert_eq!(
        format!("{builder:?}"),
        "Builder { capacity: Some(3), order: lifo }"
    );
}

#[test]
fn an_item_can_be_changed_before_it_is_put_back() {
    let queue = Queue::unbounded();
    queue.try_put((0, "job")).unwrap();
    let mut item = queue.try_get().unwrap();
    item.0 += 1; // attempts
    item.requeue().unwrap();
    assert_eq!(queue.try_pop(), Ok((1, "job")));
}
