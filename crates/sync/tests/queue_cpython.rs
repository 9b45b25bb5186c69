//! The cases of CPython 3.13's `test_asyncio/test_queues.py`, in the terms of this queue. Where CPython runs a case for all its
//! queues, it runs here for each order, `aging` included.
//!
//! | CPython's case | here |
//! |---|---|
//! | `QueueBasicTests.test_repr`, `test_str` | `repr`: `Debug` shows the numbers; values need no `Debug`, and a handle has no identity to show |
//! | `QueueBasicTests.test_generic_alias` | none: the compiler knows the type |
//! | `QueueBasicTests.test_empty` | `empty` |
//! | `QueueBasicTests.test_full` | `full` |
//! | `QueueBasicTests.test_order`, and that of `LifoQueueTests` and `PriorityQueueTests` | `order` |
//! | `QueueBasicTests.test_maxsize` | `maxsize` |
//! | `QueueGetTests.test_blocking_get` | `blocking_get` |
//! | `QueueGetTests.test_get_with_putters` | `get_with_putters` |
//! | `QueueGetTests.test_blocking_get_wait` | `blocking_get_wait` |
//! | `QueueGetTests.test_nonblocking_get` | `nonblocking_get` |
//! | `QueueGetTests.test_nonblocking_get_exception` | `nonblocking_get_exception` |
//! | `QueueGetTests.test_get_cancelled_race` | `get_cancelled_race` |
//! | `QueueGetTests.test_get_with_waiting_putters` | `get_with_waiting_putters` |
//! | `QueueGetTests.test_why_are_getters_waiting` | `why_are_getters_waiting` |
//! | `QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters` | `cancelled_getters_are_not_held` |
//! | `QueuePutTests.test_blocking_put` | `blocking_put` |
//! | `QueuePutTests.test_blocking_put_wait` | `blocking_put_wait` |
//! | `QueuePutTests.test_nonblocking_put` | `nonblocking_put` |
//! | `QueuePutTests.test_get_cancel_drop_one_pending_reader` | `get_cancel_drop_one_pending_reader` |
//! | `QueuePutTests.test_get_cancel_drop_many_pending_readers` | `get_cancel_drop_many_pending_readers`; there the order is undefined, here it is not |
//! | `QueuePutTests.test_put_cancel_drop` | `put_cancel_drop`: here a put that was served is in, cancelled or not |
//! | `QueuePutTests.test_nonblocking_put_exception` | `nonblocking_put_exception` |
//! | `QueuePutTests.test_float_maxsize` | none: a capacity is a `usize` |
//! | `QueuePutTests.test_put_cancelled` | `put_cancelled` |
//! | `QueuePutTests.test_put_cancelled_race` | `put_cancelled_race` |
//! | `QueuePutTests.test_put_with_waiting_getters` | `put_with_waiting_getters` |
//! | `QueuePutTests.test_why_are_putters_waiting` | `why_are_putters_waiting` |
//! | `QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters` | `cancelled_puts_are_not_held` |
//! | `QueuePutTests.test_cancelled_put_silence_value_error_exception` | `a_put_that_was_served_is_cancelled_without_an_error` |
//! | `*JoinTests.test_task_done_underflow` | none: there is no `task_done` to call once too often; an item is done when it is dropped, and a value is dropped once |
//! | `*JoinTests.test_task_done` | `task_done` |
//! | `*JoinTests.test_join_empty_queue` | `join_empty_queue` |
//! | `*JoinTests.test_format`, `*ShutdownTests.test_format` | `format`: in `Stats`, and what of it `Debug` shows |
//! | `*ShutdownTests.test_shutdown_empty` | `shutdown_empty` |
//! | `*ShutdownTests.test_shutdown_nonempty` | `shutdown_nonempty` |
//! | `*ShutdownTests.test_shutdown_immediate` | `shutdown_immediate`: what was left is handed back, and `join` tells that it was not done |
//! | `*ShutdownTests.test_shutdown_immediate_with_unfinished` | `shutdown_immediate_with_unfinished` |
#![cfg(not(shibuya_loom))]

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shibuya_sync::Queue;
use shibuya_sync::queue::{Aborted, Builder, Closed, TryGetError, TryPutError};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::{time, try_join};

/// A builder for each order.
const ORDERS: [fn() -> Builder<u32>; 5] = [
    || Queue::builder().fifo(),
    || Queue::builder().lifo(),
    || Queue::builder().priority(),
    || Queue::builder().priority_by_key(|&n| n),
    || Queue::builder().aging(Duration::from_secs(3600), |&level| level),
];

fn queues(capacity: usize) -> impl Iterator<Item = Queue<u32>> {
    ORDERS
        .into_iter()
        .map(move |new| new().capacity(capacity).build())
}

fn unbounded_queues() -> impl Iterator<Item = Queue<u32>> {
    ORDERS.into_iter().map(|new| new().build())
}

/// A task that has begun, and waits if it has to.
async fn started<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let task = tokio::spawn(task);
    yield_now().await;
    task
}

async fn started_put(queue: &Queue<u32>, value: u32) -> JoinHandle<Result<(), Closed<u32>>> {
    let queue = queue.clone();
    started(async move { queue.put(value).await }).await
}

async fn started_pop(queue: &Queue<u32>) -> JoinHandle<Result<u32, Closed>> {
    let queue = queue.clone();
    started(async move { queue.pop().await }).await
}

async fn cancelled<T: std::fmt::Debug>(task: JoinHandle<T>) {
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

// ---- QueueBasicTests, LifoQueueTests, PriorityQueueTests

#[tokio::test]
async fn repr() {
    let queue = Queue::bounded(1);
    let getter = started_pop(&queue).await;
    assert_eq!(queue.stats().waiting_to_get, 1);
    queue.try_put(0).unwrap();
    assert_eq!(getter.await.unwrap(), Ok(0));

    queue.try_put(1).unwrap();
    let putter = started_put(&queue, 2).await;
    assert_eq!(queue.stats().waiting_to_put, 1);
    assert_eq!(queue.try_pop(), Ok(1));
    putter.await.unwrap().unwrap();
    assert!(format!("{queue:?}").starts_with("Queue { len: 1, "));
}

#[tokio::test]
async fn empty() {
    for queue in unbounded_queues() {
        assert!(queue.is_empty());
        queue.put(1).await.unwrap();
        assert!(!queue.is_empty());
        assert_eq!(*queue.get().await.unwrap(), 1);
        assert!(queue.is_empty());
    }
}

#[tokio::test]
async fn full() {
    for (unbounded, bounded) in unbounded_queues().zip(queues(1)) {
        assert!(!unbounded.is_full());
        bounded.put(1).await.unwrap();
        assert!(bounded.is_full());
    }
}

#[tokio::test]
async fn order() {
    let orders = [[1, 3, 2], [2, 3, 1], [1, 2, 3], [1, 2, 3]];
    for (queue, order) in unbounded_queues().zip(orders) {
        for value in [1, 3, 2] {
            queue.put(value).await.unwrap();
        }
        for expected in order {
            assert_eq!(*queue.get().await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn maxsize() {
    let queue = Queue::bounded(2);
    assert_eq!(queue.stats().capacity, Some(2));
    let have_been_put = Arc::new(Mutex::new(Vec::new()));
    let putter = {
        let (queue, have_been_put) = (queue.clone(), have_been_put.clone());
        started(async move {
            for value in 0..3 {
                queue.put(value).await.unwrap();
                have_been_put.lock().unwrap().push(value);
            }
        })
        .await
    };
    assert_eq!(*have_been_put.lock().unwrap(), [0, 1]);
    assert_eq!(queue.pop().await, Ok(0));
    putter.await.unwrap();
    assert_eq!(*have_been_put.lock().unwrap(), [0, 1, 2]);
    assert_eq!(queue.pop().await, Ok(1));
    assert_eq!(queue.pop().await, Ok(2));
}

// ---- QueueGetTests

#[tokio::test]
async fn blocking_get() {
    for queue in unbounded_queues() {
        queue.try_put(1).unwrap();
        assert_eq!(*queue.get().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn get_with_putters() {
    for queue in queues(1) {
        queue.put(1).await.unwrap();
        let putter = started_put(&queue, 2).await;
        assert_eq!(queue.pop().await, Ok(1));
        assert!(queue.is_full(), "whoever takes lets the next in");
        putter.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn blocking_get_wait() {
    for queue in unbounded_queues() {
        let getter = started_pop(&queue).await;
        assert!(!getter.is_finished());
        time::sleep(Duration::from_millis(10)).await;
        assert!(!getter.is_finished());
        queue.try_put(1).unwrap();
        assert_eq!(getter.await.unwrap(), Ok(1));
    }
}

#[test]
fn nonblocking_get() {
    for queue in unbounded_queues() {
        queue.try_put(1).unwrap();
        assert_eq!(*queue.try_get().unwrap(), 1);
    }
}

#[test]
fn nonblocking_get_exception() {
    for queue in unbounded_queues() {
        assert_eq!(queue.try_get().unwrap_err(), TryGetError::Empty);
    }
}

#[tokio::test]
async fn get_cancelled_race() {
    for queue in unbounded_queues() {
        let first = started_pop(&queue).await;
        let second = started_pop(&queue).await;
        cancelled(first).await;
        queue.put(7).await.unwrap();
        assert_eq!(second.await.unwrap(), Ok(7));
    }
}

#[tokio::test]
async fn get_with_waiting_putters() {
    for queue in queues(1) {
        let _a = started_put(&queue, 1).await;
        let _b = started_put(&queue, 2).await;
        assert_eq!(queue.pop().await, Ok(1));
        assert_eq!(queue.pop().await, Ok(2));
    }
}

#[tokio::test]
async fn why_are_getters_waiting() {
    for queue in queues(1) {
        let produce = async {
            for value in 0..5 {
                queue.put(value).await.map_err(|Closed(_)| Closed(()))?;
            }
            Ok::<_, Closed>(())
        };
        let consume = async {
            for value in 0..5 {
                assert_eq!(*queue.get().await?, value);
            }
            Ok(())
        };
        try_join!(produce, consume).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_getters_are_not_held() {
    for queue in queues(5) {
        let tenth = Duration::from_millis(100);
        assert!(time::timeout(tenth, queue.get()).await.is_err());
        assert!(queue.get_timeout(tenth).await.unwrap_err().is_timeout());
        assert_eq!(queue.stats().waiting_to_get, 0);
    }
}

// ---- QueuePutTests

#[tokio::test]
async fn blocking_put() {
    for queue in unbounded_queues() {
        queue.put(1).await.unwrap();
        assert_eq!(*queue.get().await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn blocking_put_wait() {
    for queue in queues(1) {
        let puts = queue.clone();
        let putter = started(async move {
            puts.put(1).await?;
            puts.put(2).await
        })
        .await;
        time::sleep(Duration::from_millis(10)).await;
        assert!(!putter.is_finished());
        assert_eq!(queue.try_pop(), Ok(1));
        putter.await.unwrap().unwrap();
    }
}

#[test]
fn nonblocking_put() {
    for queue in unbounded_queues() {
        queue.try_put(1).unwrap();
        assert_eq!(queue.try_pop(), Ok(1));
    }
}

#[tokio::test]
async fn get_cancel_drop_one_pending_reader() {
    let firsts = [1, 2, 1, 1];
    for (queue, first) in unbounded_queues().zip(firsts) {
        let reader = started_pop(&queue).await;
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        cancelled(reader).await;
        assert_eq!(queue.pop().await, Ok(first), "as if nobody had been there");
        assert_eq!(queue.len(), 1);
    }
}

#[tokio::test]
async fn get_cancel_drop_many_pending_readers() {
    let orders = [[1, 2], [2, 1], [1, 2], [1, 2]];
    for (queue, order) in unbounded_queues().zip(orders) {
        let first = started_pop(&queue).await;
        let second = started_pop(&queue).await;
        let third = started_pop(&queue).await;
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        cancelled(first).await;
        let got = [second.await.unwrap(), third.await.unwrap()];
        assert_eq!(got, order.map(Ok));
    }
}

#[tokio::test]
async fn put_cancel_drop() {
    for queue in queues(1) {
        queue.try_put(1).unwrap();
        let writer = started_put(&queue, 2).await;
        assert_eq!(queue.try_pop(), Ok(1));
        cancelled(writer).await;
        // It was in when the room was there: to try again would put it twice.
        assert_eq!(queue.try_pop(), Ok(2));
        assert_eq!(queue.len(), 0);
    }
}

#[test]
fn nonblocking_put_exception() {
    for queue in queues(1) {
        queue.try_put(1).unwrap();
        assert_eq!(queue.try_put(2), Err(TryPutError::Full(2)));
    }
}

#[tokio::test]
async fn put_cancelled() {
    for queue in unbounded_queues() {
        let puts = queue.clone();
        let putter = tokio::spawn(async move { puts.put(1).await });
        assert_eq!(queue.pop().await, Ok(1));
        putter.abort(); // too late: it has put
        assert_eq!(putter.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn put_cancelled_race() {
    for queue in queues(1) {
        let a = started_put(&queue, 1).await;
        let b = started_put(&queue, 2).await;
        let c = started_put(&queue, 3).await;
        assert!(a.is_finished() && !b.is_finished());
        cancelled(c).await;
        assert_eq!(queue.try_pop(), Ok(1));
        assert_eq!(queue.try_pop(), Ok(2));
        assert_eq!(queue.try_pop(), Err(TryGetError::Empty));
        b.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn put_with_waiting_getters() {
    for queue in unbounded_queues() {
        let getter = started_pop(&queue).await;
        queue.put(7).await.unwrap();
        assert_eq!(getter.await.unwrap(), Ok(7));
    }
}

#[tokio::test]
async fn why_are_putters_waiting() {
    for queue in queues(2) {
        let mut tasks = JoinSet::new();
        let takes = queue.clone();
        tasks.spawn(async move {
            yield_now().await;
            for _ in 0..takes.len() {
                takes.try_pop().unwrap();
            }
        });
        for value in 0..4 {
            let puts = queue.clone();
            tasks.spawn(async move { puts.put(value).await.unwrap() });
        }
        tasks.join_all().await;
        assert_eq!(queue.stats().put, 4);
    }
}

#[tokio::test]
async fn cancelled_puts_are_not_held() {
    for queue in queues(1) {
        queue.try_put(1).unwrap();
        let putter = started_put(&queue, 1).await;
        assert_eq!(queue.stats().waiting_to_put, 1);
        cancelled(putter).await;
        assert_eq!(queue.stats().waiting_to_put, 0);
    }
}

#[tokio::test]
async fn a_put_that_was_served_is_cancelled_without_an_error() {
    for queue in queues(1) {
        queue.try_put(1).unwrap();
        let putter = started_put(&queue, 1).await;
        queue.try_pop().unwrap();
        cancelled(putter).await;
        assert_eq!(queue.stats().waiting_to_put, 0);
    }
}

// ---- QueueJoinTests, LifoQueueJoinTests, PriorityQueueJoinTests

#[tokio::test]
async fn task_done() {
    for queue in unbounded_queues() {
        for value in 0..100 {
            queue.try_put(value).unwrap();
        }
        let sum = Arc::new(AtomicU32::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..2 {
            let (queue, sum) = (queue.clone(), sum.clone());
            workers.spawn(async move {
                while let Ok(item) = queue.get().await {
                    yield_now().await;
                    sum.fetch_add(*item, SeqCst);
                }
            });
        }
        queue.join().await.unwrap();
        assert_eq!(sum.load(SeqCst), (0..100).sum());
        queue.shutdown();
        workers.join_all().await;
    }
}

#[tokio::test]
async fn join_empty_queue() {
    for queue in unbounded_queues() {
        queue.join().await.unwrap();
        queue.join().await.unwrap();
    }
}

#[test]
fn format() {
    for queue in unbounded_queues() {
        assert_eq!(queue.stats().capacity, None);
        queue.try_put(1).unwrap();
        let item = queue.try_get().unwrap();
        queue.try_put(2).unwrap();
        let stats = queue.stats();
        assert_eq!(
            (stats.len, stats.in_hand, stats.is_shut_down),
            (1, 1, false)
        );
        drop(item);
        queue.shutdown();
        let shown = "Queue { len: 1, in_hand: 0, is_shut_down: true, .. }";
        assert_eq!(format!("{queue:?}"), shown);
    }
}

// ---- QueueShutdownTests, LifoQueueShutdownTests, PriorityQueueShutdownTests

async fn refuses_all(queue: &Queue<u32>) {
    assert!(queue.is_shut_down());
    assert_eq!(queue.put(9).await, Err(Closed(9)));
    assert_eq!(queue.try_put(9), Err(TryPutError::Closed(9)));
    assert!(queue.get().await.is_err());
    assert_eq!(queue.try_get().unwrap_err(), TryGetError::Closed);
}

#[tokio::test]
async fn shutdown_empty() {
    for queue in unbounded_queues() {
        let getter = started_pop(&queue).await;
        queue.shutdown();
        assert_eq!(queue.len(), 0);
        queue.join().await.unwrap();
        assert_eq!(getter.await.unwrap(), Err(Closed(())));
        refuses_all(&queue).await;
    }
}

#[tokio::test]
async fn shutdown_nonempty() {
    for queue in queues(1) {
        queue.try_put(1).unwrap();
        let joins = queue.clone();
        let join = started(async move { joins.join().await }).await;
        let putter = started_put(&queue, 2).await;
        assert!(!putter.is_finished());

        queue.shutdown();
        assert_eq!(queue.len(), 1);
        assert_eq!(putter.await.unwrap(), Err(Closed(2)));
        let item = queue.get().await.unwrap();
        assert_eq!(*item, 1);
        yield_now().await;
        assert!(!join.is_finished());
        refuses_all(&queue).await;

        drop(item);
        join.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn shutdown_immediate() {
    for queue in unbounded_queues() {
        queue.try_put(1).unwrap();
        let joins = queue.clone();
        let join = started(async move { joins.join().await }).await;
        assert_eq!(queue.shutdown_now(), [1]);
        assert_eq!(queue.len(), 0);
        assert_eq!(join.await.unwrap(), Err(Aborted));
        refuses_all(&queue).await;
    }
}

#[tokio::test]
async fn shutdown_immediate_with_unfinished() {
    for queue in unbounded_queues() {
        queue.try_put(1).unwrap();
        queue.try_put(1).unwrap();
        let joins = queue.clone();
        let join = started(async move { joins.join().await }).await;
        let item = queue.get().await.unwrap();
        assert_eq!(queue.shutdown_now(), [1]);
        yield_now().await;
        assert!(!join.is_finished(), "one is in hand");
        refuses_all(&queue).await;

        drop(item);
        assert_eq!(join.await.unwrap(), Err(Aborted));
        assert_eq!(queue.stats().in_hand, 0);
    }
}
