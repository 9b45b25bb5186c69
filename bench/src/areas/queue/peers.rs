//! The channels that people use for this, each as its documentation recommends.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex as StdMutex};

use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

use super::BOUND;
use super::relay::{Consumer, Producer};

type CrossfireTx = crossfire::MAsyncTx<crossfire::mpmc::Array<u64>>;
type CrossfireRx = crossfire::MAsyncRx<crossfire::mpmc::Array<u64>>;

pub(super) fn crossfire() -> (CrossfireTx, CrossfireRx) {
    crossfire::mpmc::bounded_async(BOUND)
}

impl Producer for CrossfireTx {
    async fn put(&mut self, value: u64) {
        self.send(value).await.expect("consumers stay");
    }
}

impl Consumer for CrossfireRx {
    async fn take(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(super) fn kanal() -> (kanal::AsyncSender<u64>, kanal::AsyncReceiver<u64>) {
    kanal::bounded_async(BOUND)
}

impl Producer for kanal::AsyncSender<u64> {
    async fn put(&mut self, value: u64) {
        self.send(value).await.expect("consumers stay");
    }
}

impl Consumer for kanal::AsyncReceiver<u64> {
    async fn take(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(super) fn flume() -> (flume::Sender<u64>, flume::Receiver<u64>) {
    flume::bounded(BOUND)
}

impl Producer for flume::Sender<u64> {
    async fn put(&mut self, value: u64) {
        self.send_async(value).await.expect("consumers stay");
    }
}

impl Consumer for flume::Receiver<u64> {
    async fn take(&mut self) -> Option<u64> {
        self.recv_async().await.ok()
    }
}

pub(super) fn async_channel() -> (async_channel::Sender<u64>, async_channel::Receiver<u64>) {
    async_channel::bounded(BOUND)
}

impl Producer for async_channel::Sender<u64> {
    async fn put(&mut self, value: u64) {
        self.send(value).await.expect("consumers stay");
    }
}

impl Consumer for async_channel::Receiver<u64> {
    async fn take(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

/// Tokio's channel has one consumer; a mutex lets them take turns.
#[derive(Clone)]
pub(super) struct InTurn(Arc<Mutex<mpsc::Receiver<u64>>>);

pub(super) fn mpsc() -> (mpsc::Sender<u64>, InTurn) {
    let (sender, receiver) = mpsc::channel(BOUND);
    (sender, InTurn(Arc::new(Mutex::new(receiver))))
}

impl Producer for mpsc::Sender<u64> {
    async fn put(&mut self, value: u64) {
        self.send(value).await.expect("consumers stay");
    }
}

impl Consumer for InTurn {
    async fn take(&mut self) -> Option<u64> {
        self.0.lock().await.recv().await
    }
}

/// The same, where whoever has the turn takes many.
#[derive(Clone)]
pub(super) struct ManyInTurn {
    shared: InTurn,
    /// What was taken and is not used yet.
    taken: Vec<u64>,
}

pub(super) fn mpsc_many() -> (mpsc::Sender<u64>, ManyInTurn) {
    let (sender, shared) = mpsc();
    let taken = Vec::new();
    (sender, ManyInTurn { shared, taken })
}

impl Consumer for ManyInTurn {
    async fn take(&mut self) -> Option<u64> {
        const MANY: usize = 64;
        if self.taken.is_empty() {
            let mut receiver = self.shared.0.lock().await;
            receiver.recv_many(&mut self.taken, MANY).await;
        }
        self.taken.pop()
    }
}

type PriorityTx = async_priority_channel::Sender<u64, u64>;
type PriorityRx = async_priority_channel::Receiver<u64, u64>;

pub(super) fn async_priority_channel() -> (PriorityTx, PriorityRx) {
    async_priority_channel::bounded(BOUND as u64)
}

impl Producer for PriorityTx {
    async fn put(&mut self, value: u64) {
        self.send(value, value).await.expect("consumers stay");
    }
}

impl Consumer for PriorityRx {
    async fn take(&mut self) -> Option<u64> {
        let (value, _priority) = self.recv().await.ok()?;
        Some(value)
    }
}

/// What one writes by hand: a heap under a lock, a semaphore for the bound, a notification for who waits.
pub(super) struct Heap {
    items: StdMutex<(BinaryHeap<u64>, bool)>,
    room: Semaphore,
    filled: Notify,
}

#[derive(Clone)]
pub(super) struct HeapTx(
    Arc<Heap>,
    #[expect(dead_code, reason = "its drop counts")] Arc<HeapEnd>,
);

#[derive(Clone)]
pub(super) struct HeapRx(Arc<Heap>);

struct HeapEnd(Arc<Heap>);

pub(super) fn heap() -> (HeapTx, HeapRx) {
    let heap = Arc::new(Heap {
        items: StdMutex::default(),
        room: Semaphore::new(BOUND),
        filled: Notify::new(),
    });
    let end = Arc::new(HeapEnd(Arc::clone(&heap)));
    (HeapTx(Arc::clone(&heap), end), HeapRx(heap))
}

impl Drop for HeapEnd {
    fn drop(&mut self) {
        self.0.items.lock().expect("nobody panics").1 = true;
        self.0.filled.notify_waiters();
    }
}

impl Producer for HeapTx {
    async fn put(&mut self, value: u64) {
        let room = self.0.room.acquire().await.expect("it is not closed");
        room.forget();
        self.0.items.lock().expect("nobody panics").0.push(value);
        self.0.filled.notify_one();
    }
}

impl Consumer for HeapRx {
    async fn take(&mut self) -> Option<u64> {
        loop {
            let filled = self.0.filled.notified();
            let (item, ended) = {
                let mut items = self.0.items.lock().expect("nobody panics");
                (items.0.pop(), items.1)
            };
            if let Some(item) = item {
                self.0.room.add_permits(1);
                return Some(item);
            }
            if ended {
                return None;
            }
            filled.await;
        }
    }
}
