//! Producers and consumers, whatever is between them.

use std::future::Future;
use std::thread;

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::meter::{Clock, Lap};

/// One who puts. The channel ends when the last clone is dropped.
pub(super) trait Producer: Clone + Send + 'static {
    fn put(&mut self, value: u64) -> impl Future<Output = ()> + Send;
}

/// One who takes, until `None` is the end.
pub(super) trait Consumer: Clone + Send + 'static {
    fn take(&mut self) -> impl Future<Output = Option<u64>> + Send;
}

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 4;

/// Sends `n` numbers through, with all tasks on this runtime.
pub(super) async fn relay(n: usize, (producer, consumer): (impl Producer, impl Consumer)) -> Lap {
    let clock = Clock::start();
    let consumers = start_consumers(consumer);
    let producers = start_producers(n, producer);
    producers.join_all().await;
    let taken = consumers.join_all().await;
    clock.stop(count(n, &taken))
}

/// The same, with the producers on a thread of their own.
pub(super) async fn split(n: usize, (producer, consumer): (impl Producer, impl Consumer)) -> Lap {
    let clock = Clock::start();
    let producers = on_a_thread(async move {
        start_producers(n, producer).join_all().await;
    });
    let taken = start_consumers(consumer).join_all().await;
    producers.join().expect("producers don't panic");
    clock.stop(count(n, &taken))
}

/// Runs a future on another thread, which has a runtime of its own.
pub(super) fn on_a_thread(
    future: impl Future<Output = ()> + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(|| {
        let runtime = Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime can be built");
        runtime.block_on(future);
    })
}

fn start_producers(n: usize, producer: impl Producer) -> JoinSet<()> {
    let mut producers = JoinSet::new();
    for nth in 0..PRODUCERS {
        producers.spawn(produce(n, nth, producer.clone()));
    }
    producers
}

fn start_consumers(consumer: impl Consumer) -> JoinSet<Taken> {
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        consumers.spawn(consume(consumer.clone()));
    }
    consumers
}

async fn produce(n: usize, nth: usize, mut producer: impl Producer) {
    for i in (nth..n).step_by(PRODUCERS) {
        producer.put(scattered(i, n)).await;
    }
}

/// The numbers below `n` in no order, each once: for a queue that has an order of its own.
fn scattered(i: usize, n: usize) -> u64 {
    const STRIDE: usize = 7919; // prime to any `n` that is a power of ten
    (i * STRIDE % n) as u64
}

/// How many, and their sum.
type Taken = (usize, u64);

async fn consume(mut consumer: impl Consumer) -> Taken {
    let (mut count, mut sum) = (0, 0);
    while let Some(value) = consumer.take().await {
        count += 1;
        sum += value;
    }
    (count, sum)
}

/// How many came out, if they are those that went in.
fn count(n: usize, taken: &[Taken]) -> usize {
    let n = n as u64;
    let sum: u64 = taken.iter().map(|&(_, sum)| sum).sum();
    assert_eq!(sum, n * (n - 1) / 2, "something was lost or came twice");
    taken.iter().map(|&(count, _)| count).sum()
}
