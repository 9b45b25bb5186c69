//! The queues of `shibuya-sync`.

use std::sync::Arc;

use shibuya_sync::Queue;

use super::BOUND;
use super::relay::{Consumer, Producer};

/// A queue that is shut down when the last of its producers has gone.
#[derive(Clone)]
pub(super) struct Source(
    Queue<u64>,
    #[expect(dead_code, reason = "its drop counts")] Arc<End>,
);

struct End(Queue<u64>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl Source {
    fn new(queue: Queue<u64>) -> Self {
        Self(queue.clone(), Arc::new(End(queue)))
    }
}

impl Producer for Source {
    async fn put(&mut self, value: u64) {
        self.0.put(value).await.expect("it is open");
    }
}

/// Takes values that are done at once.
#[derive(Clone)]
pub(super) struct Pop(Queue<u64>);

impl Consumer for Pop {
    async fn take(&mut self) -> Option<u64> {
        self.0.pop().await.ok()
    }
}

/// Takes items, whose drop is counted.
#[derive(Clone)]
pub(super) struct Get(Queue<u64>);

impl Consumer for Get {
    async fn take(&mut self) -> Option<u64> {
        self.0.get().await.ok().map(|item| *item)
    }
}

pub(super) fn pop() -> (Source, Pop) {
    popping(Queue::bounded(BOUND))
}

pub(super) fn get() -> (Source, Get) {
    let queue = Queue::bounded(BOUND);
    (Source::new(queue.clone()), Get(queue))
}

pub(super) fn lifo() -> (Source, Pop) {
    popping(Queue::builder().capacity(BOUND).lifo().build())
}

pub(super) fn priority() -> (Source, Pop) {
    popping(Queue::builder().capacity(BOUND).priority().build())
}

fn popping(queue: Queue<u64>) -> (Source, Pop) {
    (Source::new(queue.clone()), Pop(queue))
}
