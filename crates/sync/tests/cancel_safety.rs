//! Every public future is dropped after each of its polls and after each wake that follows.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::stream::{self, Stream, StreamExt};
use shibuya_sync::queue::{Closed, Item, Slot};
use shibuya_sync::{
    Arrival, Barrier, BarrierWait, Batch, Batcher, Broken, Condvar, Event, EventWait, KeyedGuard,
    KeyedLock, KeyedMutex, Mutex, OwnedKeyedGuard, OwnedKeyedLock, Queue, SingleFlight, batches,
    debounce, throttle,
};
use shibuya_testkit::{Ending, Harness, Report, cancel_at_every_poll};
use tokio::task::{JoinHandle, yield_now};

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test]
async fn an_event_lets_the_others_through() {
    let report = cancel_at_every_poll(
        "Event::wait",
        async || {
            let event = Arc::new(Event::new());
            let (sets, through) = (event.clone(), Arc::new(AtomicUsize::new(0)));
            let count = through.clone();
            let neighbour = tokio::spawn({
                let event = event.clone();
                async move {
                    event.wait().await;
                    count.fetch_add(1, SeqCst);
                }
            });
            // Once the future, which is polled next, and the neighbour have been polled.
            tokio::spawn(async move {
                yield_now().await;
                sets.set();
            });
            let future = {
                let event = event.clone();
                async move {
                    let wait: EventWait<'_> = event.wait();
                    wait.await
                }
            };
            ((event, neighbour, through), future)
        },
        async |(event, neighbour, through), _ending| {
            event.set();
            neighbour.await.unwrap();
            assert_eq!((event.waiting(), through.load(SeqCst)), (0, 1));
            event.wait().await;
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn a_barrier_keeps_nobody_waiting() {
    let report = cancel_at_every_poll(
        "Barrier::wait",
        async || {
            let barrier = Arc::new(Barrier::new(2));
            let other = barrier.clone();
            let neighbour = tokio::spawn(async move {
                yield_now().await;
                let wait: BarrierWait<'_> = other.wait();
                wait.await
            });
            let future = {
                let barrier = barrier.clone();
                async move { barrier.wait().await }
            };
            ((barrier, neighbour), future)
        },
        async |(barrier, neighbour), ending: Ending<Result<Arrival, Broken>>| {
            if let Ending::Completed(arrival) = &ending {
                assert!(arrival.is_ok());
            } else if !barrier.is_broken() {
                // It never came, or all had come: whoever waits now waits for one more.
                while barrier.waiting() == 0 && !neighbour.is_finished() {
                    yield_now().await;
                }
                if !neighbour.is_finished() {
                    barrier.wait().await.unwrap();
                }
            }
            let _ = neighbour.await.unwrap();
            assert_eq!(barrier.waiting(), 0);
            barrier.reset();
            let (a, b) = tokio::join!(barrier.wait(), barrier.wait());
            assert!(a.is_ok() && b.is_ok());
        },
    );
    really_waited(report.await);
}

async fn a_key_goes_on(
    harness: Harness,
    lock: impl AsyncFn(Arc<KeyedMutex<u8>>) + Clone + 'static,
) {
    let report = harness.run(
        async || {
            let locks = Arc::new(KeyedMutex::new());
            let (held, other, lock) = (locks.clone(), locks.clone(), lock.clone());
            let ready = Arc::new(Event::new());
            let taken = ready.clone();
            tokio::spawn(async move {
                let _guard: KeyedGuard<'_, u8> = held.lock(1).await;
                taken.set();
                yield_now().await;
            });
            ready.wait().await;
            (locks, async move { lock(other).await })
        },
        async |locks, _ending| {
            drop(locks.lock(1).await);
            assert!(locks.is_empty());
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn a_key_goes_to_the_next() {
    let lock = async |locks: Arc<KeyedMutex<u8>>| {
        let lock: KeyedLock<'_, u8> = locks.lock(1);
        drop(lock.await);
    };
    a_key_goes_on(Harness::new("KeyedMutex::lock"), lock).await;
}

#[tokio::test]
async fn an_owned_key_goes_to_the_next() {
    let lock = async |locks: Arc<KeyedMutex<u8>>| {
        let lock: OwnedKeyedLock<u8> = locks.lock_owned(1);
        let guard: OwnedKeyedGuard<u8> = lock.await;
        drop(guard);
    };
    a_key_goes_on(Harness::new("KeyedMutex::lock_owned"), lock).await;
}

#[tokio::test]
async fn a_call_goes_to_the_next_who_waits() {
    let report = cancel_at_every_poll(
        "SingleFlight::run",
        async || {
            let flights = Arc::new(SingleFlight::new());
            let (leads, follows) = (flights.clone(), flights.clone());
            let future = async move {
                let first = leads.run(1, || async {
                    yield_now().await;
                    "here"
                });
                first.await
            };
            let neighbour = tokio::spawn(async move {
                follows
                    .run(1, || async {
                        yield_now().await;
                        "there"
                    })
                    .await
            });
            ((flights, neighbour), future)
        },
        async |(flights, neighbour), _ending| {
            let result = neighbour.await.unwrap();
            assert!(result == "here" || result == "there");
            assert!(flights.is_empty());
            assert_eq!(flights.run(1, || async { "again" }).await, "again");
        },
    );
    really_waited(report.await);
}

/// One token and the two who wait for it: the future under test, and a neighbour behind it in line.
#[derive(Default)]
struct Token {
    there: Mutex<bool>,
    came: Condvar,
}

impl Token {
    async fn take(&self) {
        let there = self.there.lock().await;
        *self.came.wait_while(there, |there| !*there).await = false;
    }
}

/// Exactly one is told of the token, while the mutex is held, so that it has to wait twice. Whoever gives up at
/// any time leaves both the token and its notification to the neighbour.
async fn a_token_and_its_notification_go_to_the_next(
    harness: Harness,
    take: impl AsyncFn(Arc<Token>) + Clone + 'static,
) {
    let report = harness.run(
        async || {
            let token = Arc::new(Token::default());
            let (first, brings) = (token.clone(), token.clone());
            let take = take.clone();
            let future = async move { take(first).await };
            let neighbour = token.clone();
            let neighbour = tokio::spawn(async move {
                // Behind the future under test, if that comes at all.
                yield_now().await;
                neighbour.take().await;
            });
            tokio::spawn(async move {
                // Until both are in line; or the neighbour, when the other is gone.
                while brings.came.waiting() < Arc::strong_count(&brings).min(4) - 2 {
                    yield_now().await;
                }
                let mut there = brings.there.lock().await;
                *there = true;
                brings.came.notify_one();
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            ((token, neighbour), future)
        },
        async |(token, neighbour), ending| {
            if let Ending::Completed(()) = ending {
                *token.there.lock().await = true;
                token.came.notify_one();
            }
            neighbour.await.unwrap();
            assert_eq!(
                (*token.there.lock().await, token.came.waiting()),
                (false, 0)
            );
        },
    );
    let report = report.await;
    assert!(
        report.polls >= 3,
        "it never waited for the mutex: {report:?}"
    );
}

#[tokio::test]
async fn a_notification_goes_to_the_next() {
    a_token_and_its_notification_go_to_the_next(Harness::new("Condvar::wait"), async |token| {
        let mut there = token.there.lock().await;
        while !*there {
            there = token.came.wait(there).await;
        }
        *there = false;
    })
    .await;
}

#[tokio::test]
async fn a_notification_goes_to_the_next_of_those_with_a_condition() {
    let take = async |token: Arc<Token>| token.take().await;
    a_token_and_its_notification_go_to_the_next(Harness::new("Condvar::wait_while"), take).await;
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_notification_goes_to_the_next_of_those_who_have_a_limit() {
    a_token_and_its_notification_go_to_the_next(
        Harness::new("Condvar::wait_timeout"),
        async |token| {
            let mut there = token.there.lock().await;
            while !*there {
                there = token.came.wait_timeout(there, LONG).await.0;
            }
            *there = false;
        },
    )
    .await;
}

#[tokio::test]
async fn a_notification_goes_to_the_next_of_those_with_a_condition_and_a_limit() {
    a_token_and_its_notification_go_to_the_next(
        Harness::new("Condvar::wait_timeout_while"),
        async |token| {
            let there = token.there.lock().await;
            let came = &token.came;
            let (mut there, _) = came.wait_timeout_while(there, LONG, |there| !*there).await;
            *there = false;
        },
    )
    .await;
}

/// Runs a batcher until it is closed and empty.
async fn flush_all(batcher: &Batcher<u32>) -> Vec<u32> {
    let flushed = Mutex::new(Vec::new());
    let run = batcher.run(async |mut batch| flushed.lock().await.append(&mut batch));
    run.await;
    flushed.into_inner()
}

#[tokio::test]
async fn an_item_is_accepted_or_goes_with_its_future() {
    let report = cancel_at_every_poll(
        "Batcher::add",
        async || {
            let batcher = Arc::new(Batcher::new(1, LONG));
            batcher.try_add(1).unwrap();
            let (adds, runs) = (batcher.clone(), batcher.clone());
            let future = async move { adds.add(2).await.unwrap() };
            let neighbour = batcher.clone();
            let neighbour = tokio::spawn(async move { neighbour.add(3).await });
            let flushed = tokio::spawn(async move {
                yield_now().await;
                flush_all(&runs).await
            });
            ((batcher, neighbour, flushed), future)
        },
        async |(batcher, neighbour, flushed), ending| {
            neighbour.await.unwrap().unwrap();
            batcher.close();
            let flushed = flushed.await.unwrap();
            assert!(flushed == [1, 2, 3] || (ending.is_dropped() && flushed == [1, 3]));
        },
    );
    really_waited(report.await);
}

/// Five items are added, and flushed in parts. Whatever a dropped run left is flushed by another.
async fn no_item_goes_with(
    harness: Harness,
    run: impl AsyncFn(Arc<Batcher<u32>>, Flushed) + Clone + 'static,
) {
    let report = harness.run(
        async || {
            let batcher = Arc::new(Batcher::new(2, Duration::from_millis(1)));
            let flushed = Flushed::default();
            let adds = batcher.clone();
            let adds = tokio::spawn(async move {
                for item in 0..5 {
                    yield_now().await;
                    adds.add(item).await.unwrap();
                }
            });
            let (run, runs, flushes) = (run.clone(), batcher.clone(), flushed.clone());
            let future = async move { run(runs, flushes).await };
            ((batcher, flushed, adds), future)
        },
        async |(batcher, flushed, adds), _ending| {
            let end = async {
                adds.await.unwrap();
                batcher.close();
            };
            let (rest, ()) = tokio::join!(flush_all(&batcher), end);
            flushed.lock().unwrap().extend(rest);
            assert_eq!(*flushed.lock().unwrap(), [0, 1, 2, 3, 4]);
        },
    );
    really_waited(report.await);
}

type Flushed = Arc<std::sync::Mutex<Vec<u32>>>;

async fn flush_in_parts(batcher: &Batcher<u32>, flushed: &Flushed, mut batch: Batch<'_, u32>) {
    yield_now().await;
    flushed.lock().unwrap().push(batch.remove(0));
    yield_now().await;
    flushed.lock().unwrap().append(&mut batch);
    close_if_all(batcher, flushed);
}

fn close_if_all(batcher: &Batcher<u32>, flushed: &Flushed) {
    if flushed.lock().unwrap().len() == 5 {
        batcher.close();
    }
}

#[tokio::test]
async fn no_item_goes_with_a_run() {
    no_item_goes_with(Harness::new("Batcher::run"), async |batcher, flushed| {
        let flush = batcher.run(async |batch| flush_in_parts(&batcher, &flushed, batch).await);
        flush.await;
    })
    .await;
}

#[tokio::test]
async fn no_item_goes_with_a_run_that_fails() {
    let run = async |batcher: Arc<Batcher<u32>>, flushed: Flushed| {
        let calls = AtomicUsize::new(0);
        let flush = async |mut batch: Batch<'_, u32>| {
            match calls.fetch_add(1, SeqCst) % 3 {
                0 => return Err("at once"),
                1 => {
                    flushed.lock().unwrap().push(batch.remove(0));
                    yield_now().await;
                    return Err("after the first");
                }
                _ => flush_in_parts(&batcher, &flushed, batch).await,
            }
            Ok(())
        };
        while batcher.try_run(flush).await.is_err() {
            close_if_all(&batcher, &flushed);
        }
    };
    no_item_goes_with(Harness::new("Batcher::try_run"), run).await;
}

/// Gives its items with a pause before each, and then ends.
fn paused(items: u32) -> impl Stream<Item = u32> + Unpin {
    let items = stream::iter(0..items).then(async |item| {
        yield_now().await;
        item
    });
    Box::pin(items)
}

/// Drops the future of each `next()` at every poll, and goes on with the stream.
async fn the_stream_goes_on<S: Stream<Item: PartialEq + std::fmt::Debug> + Unpin>(
    harness: Harness,
    make: impl Fn() -> S,
    all: Vec<S::Item>,
) {
    let all = &all;
    let report = harness.run(
        async || {
            let stream = Arc::new(Mutex::new((make(), Vec::new())));
            let other = stream.clone();
            let future = async move {
                let (stream, seen) = &mut *other.lock().await;
                while let Some(item) = stream.next().await {
                    seen.push(item);
                }
            };
            (stream, future)
        },
        async |stream, _ending| {
            let (stream, seen) = &mut *stream.lock().await;
            while let Some(item) = stream.next().await {
                seen.push(item);
            }
            assert_eq!(seen, all);
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn what_was_gathered_stays_in_the_stream() {
    let make = || batches(paused(5), 2, LONG);
    let all = vec![vec![0, 1], vec![2, 3], vec![4]];
    the_stream_goes_on(Harness::new("batches"), make, all).await;
}

#[tokio::test(start_paused = true)]
async fn the_item_that_waits_for_quiet_stays_in_the_stream() {
    let make = || debounce(paused(3), Duration::from_millis(1));
    the_stream_goes_on(Harness::new("debounce"), make, vec![2]).await;
}

#[tokio::test(start_paused = true)]
async fn the_item_that_waits_for_its_period_stays_in_the_stream() {
    let make = || throttle(paused(3), Duration::from_millis(1));
    the_stream_goes_on(Harness::new("throttle"), make, vec![0, 2]).await;
}

/// A queue into which 0, 1 and 2 are put one by one, and a neighbour that takes one of them.
struct Taken {
    queue: Queue<u32>,
    producer: JoinHandle<()>,
    neighbour: JoinHandle<u32>,
}

impl Taken {
    fn new() -> Self {
        let queue = Queue::bounded(1);
        let (from, to) = (queue.clone(), queue.clone());
        let producer = tokio::spawn(async move {
            for value in 0..3 {
                to.put(value).await.unwrap();
                yield_now().await;
            }
        });
        let neighbour = tokio::spawn(async move { from.pop().await.unwrap() });
        Self {
            queue,
            producer,
            neighbour,
        }
    }

    /// Each value came to one of us.
    async fn check(self, mine: Vec<u32>) {
        let mut all = mine;
        all.push(self.neighbour.await.unwrap());
        while all.len() < 3 {
            all.push(self.queue.pop().await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        self.producer.await.unwrap();
        self.queue.join().await.unwrap();
        nothing_is_held(&self.queue);
    }
}

fn nothing_is_held<T>(queue: &Queue<T>) {
    let stats = queue.stats();
    assert_eq!((stats.len, stats.reserved, stats.in_hand), (0, 0, 0));
    assert_eq!((stats.waiting_to_get, stats.waiting_to_put), (0, 0));
}

fn values(ending: Ending<Vec<u32>>) -> Vec<u32> {
    ending.completed().unwrap_or_default()
}

fn one(item: Item<u32>) -> Vec<u32> {
    vec![item.into_inner()]
}

#[tokio::test]
async fn what_is_taken_from_a_queue_is_seen_by_one() {
    let get = cancel_at_every_poll(
        "Queue::get",
        async || {
            let taken = Taken::new();
            let queue = taken.queue.clone();
            (taken, async move { one(queue.get().await.unwrap()) })
        },
        async |taken, ending| taken.check(values(ending)).await,
    );
    really_waited(get.await);

    let get_timeout = cancel_at_every_poll(
        "Queue::get_timeout",
        async || {
            let taken = Taken::new();
            let queue = taken.queue.clone();
            let time = Duration::from_secs(600);
            let future = async move { one(queue.get_timeout(time).await.unwrap()) };
            (taken, future)
        },
        async |taken, ending| taken.check(values(ending)).await,
    );
    really_waited(get_timeout.await);

    let pop = cancel_at_every_poll(
        "Queue::pop",
        async || {
            let taken = Taken::new();
            let queue = taken.queue.clone();
            (taken, async move { vec![queue.pop().await.unwrap()] })
        },
        async |taken, ending| taken.check(values(ending)).await,
    );
    really_waited(pop.await);

    let stream = cancel_at_every_poll(
        "QueueStream",
        async || {
            let taken = Taken::new();
            let mut stream = taken.queue.stream();
            let future = async move { one(stream.next().await.unwrap()) };
            (taken, future)
        },
        async |taken, ending| taken.check(values(ending)).await,
    );
    really_waited(stream.await);
}

#[tokio::test]
async fn many_items_are_added_or_none() {
    let report = cancel_at_every_poll(
        "Queue::get_many",
        async || {
            let taken = Taken::new();
            let queue = taken.queue.clone();
            let mine = Arc::new(tokio::sync::Mutex::new(Vec::new()));
            let kept = mine.clone();
            let future = async move {
                let mut items = mine.lock().await;
                queue.get_many(&mut items, 2).await.unwrap()
            };
            ((taken, kept), future)
        },
        async |(taken, kept), ending: Ending<usize>| {
            let items = std::mem::take(&mut *kept.lock().await);
            assert_eq!(ending.completed().unwrap_or(0), items.len());
            let mine = items.into_iter().map(Item::into_inner).collect();
            taken.check(mine).await;
        },
    );
    really_waited(report.await);
}

/// A full queue from which one item is taken, and a neighbour that puts 2.
struct Put {
    queue: Queue<u32>,
    consumer: JoinHandle<()>,
    neighbour: JoinHandle<()>,
}

impl Put {
    fn new() -> Self {
        let queue = Queue::bounded(1);
        queue.try_put(0).unwrap();
        let (from, to) = (queue.clone(), queue.clone());
        let consumer = tokio::spawn(async move { assert_eq!(from.pop().await, Ok(0)) });
        let neighbour = tokio::spawn(async move { to.put(2).await.unwrap() });
        Self {
            queue,
            consumer,
            neighbour,
        }
    }

    /// What was put is there once, what was dropped once or not at all, and the neighbour's in any case.
    async fn check<E>(self, ending: Ending<Result<(), E>>) {
        let put = matches!(ending, Ending::Completed(Ok(())));
        assert!(put || ending.is_dropped());
        self.consumer.await.unwrap();
        let mut rest = Vec::new();
        while !self.neighbour.is_finished() || !self.queue.is_empty() {
            rest.extend(self.queue.try_pop());
            yield_now().await;
        }
        rest.sort_unstable();
        assert!(rest == [1, 2] || (!put && rest == [2]), "{rest:?}");
        nothing_is_held(&self.queue);
    }
}

#[tokio::test]
async fn what_is_put_into_a_queue_is_there_once_or_not_at_all() {
    let put = cancel_at_every_poll(
        "Queue::put",
        async || {
            let put = Put::new();
            let queue = put.queue.clone();
            (put, async move { queue.put(1).await })
        },
        async |put, ending| put.check(ending).await,
    );
    really_waited(put.await);

    let put_timeout = cancel_at_every_poll(
        "Queue::put_timeout",
        async || {
            let put = Put::new();
            let queue = put.queue.clone();
            let time = Duration::from_secs(600);
            (put, async move { queue.put_timeout(1, time).await })
        },
        async |put, ending| put.check(ending).await,
    );
    really_waited(put_timeout.await);

    let sink = cancel_at_every_poll(
        "QueueSink",
        async || {
            let put = Put::new();
            let mut sink = put.queue.sink();
            (put, async move { sink.send(1).await })
        },
        async |put, ending| put.check(ending).await,
    );
    really_waited(sink.await);
}

#[tokio::test]
async fn room_that_is_not_used_goes_to_the_next() {
    let report = cancel_at_every_poll(
        "Queue::reserve",
        async || {
            let put = Put::new();
            let queue = put.queue.clone();
            (put, async move { queue.reserve().await })
        },
        async |put, ending: Ending<Result<Slot<u32>, Closed>>| {
            let ending = match ending {
                Ending::Completed(slot) => Ending::Completed(slot.unwrap().put(1)),
                Ending::Dropped(point) => Ending::Dropped(point),
            };
            put.check(ending).await;
        },
    );
    really_waited(report.await);
}

#[tokio::test]
async fn who_leaves_a_join_leaves_the_others_to_it() {
    let report = cancel_at_every_poll(
        "Queue::join",
        async || {
            let queue = Queue::bounded(1);
            queue.try_put(0).unwrap();
            let (from, other) = (queue.clone(), queue.clone());
            let neighbour = tokio::spawn(async move { other.join().await });
            tokio::spawn(async move {
                let _item = from.get().await.unwrap();
                yield_now().await;
            });
            let future = {
                let queue = queue.clone();
                async move { queue.join().await }
            };
            ((queue, neighbour), future)
        },
        async |(queue, neighbour), ending| {
            if let Ending::Completed(joined) = ending {
                joined.unwrap();
            }
            neighbour.await.unwrap().unwrap();
            nothing_is_held(&queue);
            queue.join().await.unwrap();
        },
    );
    really_waited(report.await);
}
