//! Every public future is dropped after each of its polls and after each wake that follows.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use shibuya_sync::queue::{Closed, Item, Slot};
use shibuya_sync::{
    Arrival, Barrier, BarrierWait, Broken, Event, EventWait, KeyedGuard, KeyedLock, KeyedMutex,
    Queue, SingleFlight,
};
use shibuya_testkit::{Ending, Report, cancel_at_every_poll};
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
            let (other, through) = (event.clone(), Arc::new(AtomicUsize::new(0)));
            let count = through.clone();
            let neighbour = tokio::spawn({
                let event = event.clone();
                async move {
                    event.wait().await;
                    count.fetch_add(1, SeqCst);
                }
            });
            tokio::spawn(async move {
                while other.waiting() < 2 {
                    yield_now().await;
                    if Arc::strong_count(&other) < 3 {
                        break;
                    }
                }
                other.set();
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

#[tokio::test]
async fn a_key_goes_to_the_next() {
    let report = cancel_at_every_poll(
        "KeyedMutex::lock",
        async || {
            let locks = Arc::new(KeyedMutex::new());
            let (held, other) = (locks.clone(), locks.clone());
            let ready = Arc::new(Event::new());
            let taken = ready.clone();
            tokio::spawn(async move {
                let _guard: KeyedGuard<'_, u8> = held.lock(1).await;
                taken.set();
                yield_now().await;
            });
            ready.wait().await;
            let future = async move {
                let lock: KeyedLock<'_, u8> = other.lock(1);
                drop(lock.await);
            };
            (locks, future)
        },
        async |locks, _ending| {
            drop(locks.lock(1).await);
            assert!(locks.is_empty());
        },
    );
    really_waited(report.await);
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
