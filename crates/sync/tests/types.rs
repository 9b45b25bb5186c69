//! Which types are `Send`, `Sync` and `Unpin`, and how large they are.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::error::Error;
use std::marker::PhantomPinned;
use std::panic::UnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::stream::{Empty, Once};
use shibuya_sync::queue::{
    Aborted, BuildError, Builder, Closed, GetTimeoutError, Item, PutTimeoutError, QueueSink,
    QueueStream, Slot, Stats, TryGetError, TryPutError,
};
use shibuya_sync::{
    AddError, Arrival, Barrier, BarrierWait, Batch, Batcher, Batches, Broken, Condvar, Debounce,
    Edge, Event, EventWait, KeyedGuard, KeyedLock, KeyedMutex, Mutex, OwnedKeyedGuard,
    OwnedKeyedLock, Party, Queue, SingleFlight, Throttle, TryAddError, WaitTimeoutResult,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// A future that must not be moved.
struct Pinned(#[allow(dead_code)] PhantomPinned);

impl Future for Pinned {
    type Output = u8;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
        Poll::Pending
    }
}

assert_impl_all!(Event: Send, Sync, Unpin, UnwindSafe);
assert_impl_all!(EventWait<'static>: Send, Sync, Unpin);
assert_impl_all!(Barrier: Send, Sync, Unpin);
assert_impl_all!(BarrierWait<'static>: Send, Sync, Unpin);
assert_impl_all!(Party<'static>: Send, Sync, Unpin);
assert_impl_all!(Arrival: Send, Sync, Copy);
assert_impl_all!(Broken: Send, Sync, Copy, Error);
assert_impl_all!(Condvar: Send, Sync, Unpin, UnwindSafe);
assert_impl_all!(WaitTimeoutResult: Send, Sync, Copy);
assert_impl_all!(Batcher<String>: Send, Sync, Unpin);
assert_impl_all!(Batcher<Cell<u8>>: Send, Sync, Unpin);
assert_impl_all!(Batch<'static, String>: Send, Sync, Unpin);
assert_impl_all!(AddError<u8>: Send, Sync, Copy, Error);
assert_impl_all!(TryAddError<u8>: Send, Sync, Copy, Error);
assert_impl_all!(Batches<Empty<Cell<u8>>>: Send, Unpin);
assert_impl_all!(Debounce<Empty<Cell<u8>>>: Send, Unpin);
assert_impl_all!(Throttle<Empty<Cell<u8>>>: Send, Unpin);
assert_impl_all!(Batches<Empty<u8>>: Sync);
assert_impl_all!(Debounce<Empty<u8>>: Sync);
assert_impl_all!(Throttle<Empty<u8>>: Sync);
assert_not_impl_any!(Throttle<Once<Pinned>>: Unpin);
assert_impl_all!(Edge: Send, Sync, Copy, Eq);
assert_impl_all!(KeyedMutex<String>: Send, Sync, Unpin);
assert_impl_all!(KeyedLock<'static, String>: Send, Sync, Unpin);
assert_impl_all!(KeyedGuard<'static, String>: Send, Sync, Unpin);
assert_impl_all!(OwnedKeyedLock<String>: Send, Sync, Unpin);
assert_impl_all!(OwnedKeyedGuard<String>: Send, Sync, Unpin);
assert_impl_all!(SingleFlight<String, Vec<u8>>: Send, Sync, Unpin);

#[test]
fn an_event_is_a_few_words() {
    assert!(size_of::<Event>() <= 32, "{}", size_of::<Event>());
}

#[test]
fn a_condvar_is_a_few_words() {
    assert!(size_of::<Condvar>() <= 48, "{}", size_of::<Condvar>());
}

/// Compiles if the futures of async functions are `Send` whenever what they hold is.
#[allow(dead_code)]
fn they_can_be_spawned(
    condvar: &'static Condvar,
    mutex: &'static Mutex<u32>,
    batcher: Batcher<u32>,
    mut rows: Vec<u32>,
) {
    tokio::spawn(async {
        let guard = condvar.wait(mutex.lock().await).await;
        let guard = condvar.wait_while(guard, |n| *n == 0).await;
        let limit = std::time::Duration::from_secs(1);
        let (guard, _) = condvar.wait_timeout(guard, limit).await;
        drop(condvar.wait_timeout_while(guard, limit, |n| *n == 0).await);
    });
    tokio::spawn(async move {
        batcher.add(1).await.unwrap();
        let flush = batcher.run(async |batch| {
            tokio::task::yield_now().await;
            mutex.lock().await.clone_from(&batch[0]);
        });
        flush.await;
        let flush = batcher.try_run(|batch| {
            rows.extend_from_slice(&batch);
            async move {
                tokio::task::yield_now().await;
                u32::try_from(batch.len()).map(drop)
            }
        });
        flush.await.unwrap();
    });
}

// A queue shares no value: `Send` is enough for it. An item lends its value, a slot holds none.
type Unshared = Cell<u8>; // Send, not Sync
type Local = Rc<u8>; // neither

assert_impl_all!(Queue<String>: Send, Sync, Unpin, Clone);
assert_impl_all!(Queue<Unshared>: Send, Sync);
assert_not_impl_any!(Queue<Local>: Send, Sync);
assert_impl_all!(Builder<String>: Send, Unpin);
assert_not_impl_any!(Builder<Local>: Send, Sync);
assert_impl_all!(Item<String>: Send, Sync, Unpin);
assert_impl_all!(Item<Unshared>: Send);
assert_not_impl_any!(Item<Unshared>: Sync);
assert_not_impl_any!(Item<Local>: Send, Sync);
assert_impl_all!(Slot<Unshared>: Send, Sync, Unpin);
assert_not_impl_any!(Slot<Local>: Send, Sync);
assert_impl_all!(QueueStream<String>: Send, Sync, Unpin);
assert_impl_all!(QueueStream<PhantomPinned>: Send, Unpin);
assert_not_impl_any!(QueueStream<Local>: Send, Sync);
assert_impl_all!(QueueSink<String>: Send, Sync, Unpin);
assert_impl_all!(QueueSink<PhantomPinned>: Send, Unpin);
assert_not_impl_any!(QueueSink<Local>: Send, Sync);
assert_impl_all!(Stats: Send, Sync, Copy);
assert_impl_all!(Aborted: Send, Sync, Copy, std::error::Error);
assert_impl_all!(BuildError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(Closed<String>: Send, Sync, Unpin, std::error::Error);
assert_impl_all!(TryPutError<String>: Send, Sync, Unpin, std::error::Error);
assert_impl_all!(PutTimeoutError<String>: Send, Sync, Unpin, std::error::Error);
assert_impl_all!(TryGetError: Send, Sync, Copy, std::error::Error);
assert_impl_all!(GetTimeoutError: Send, Sync, Copy, std::error::Error);

/// Futures go to other threads, whatever they wait for.
#[test]
fn the_futures_of_a_queue_are_send() {
    fn is_send<T: Send>(_: T) {}
    let queue = Queue::<Unshared>::bounded(1);
    let time = std::time::Duration::from_secs(1);
    is_send(queue.put(Cell::new(1)));
    is_send(queue.put_timeout(Cell::new(1), time));
    is_send(queue.reserve());
    is_send(queue.get());
    is_send(queue.get_timeout(time));
    is_send(queue.get_many(&mut Vec::new(), 1));
    is_send(queue.pop());
    is_send(queue.join());
}

#[test]
fn a_handle_of_a_queue_is_a_pointer() {
    assert_eq!(size_of::<Queue<[u8; 100]>>(), size_of::<usize>());
    assert_eq!(size_of::<Slot<[u8; 100]>>(), size_of::<usize>());
    assert!(size_of::<Item<u64>>() <= 2 * size_of::<usize>());
}
