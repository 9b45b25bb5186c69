//! How long it takes from a put to the consumer that waits for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use super::ours::pop;
use super::peers::{async_channel, crossfire, flume, kanal, mpsc};
use super::relay::{Consumer, Producer, on_a_thread};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const ITEMS: usize = 10_000;
const ABOUT: &str = "One item to a consumer that waits; ns: until the next one can be sent, p50 and p99: until it is taken.";

pub(super) fn cases() -> Vec<Case> {
    let together = Case::new("handover/mt2", Threads::Two, ABOUT)
        .contender("crossfire", ITEMS, |n| together(n, crossfire()))
        .contender("kanal", ITEMS, |n| together(n, kanal()))
        .contender("flume", ITEMS, |n| together(n, flume()))
        .contender("async-channel", ITEMS, |n| together(n, async_channel()))
        .contender("tokio mpsc + mutex", ITEMS, |n| together(n, mpsc()))
        .contender("Queue, pop", ITEMS, |n| together(n, pop()));
    let apart = Case::new("handover/split", Threads::Split, ABOUT)
        .contender("crossfire", ITEMS, |n| apart(n, crossfire()))
        .contender("kanal", ITEMS, |n| apart(n, kanal()))
        .contender("flume", ITEMS, |n| apart(n, flume()))
        .contender("async-channel", ITEMS, |n| apart(n, async_channel()))
        .contender("tokio mpsc + mutex", ITEMS, |n| apart(n, mpsc()))
        .contender("Queue, pop", ITEMS, |n| apart(n, pop()));
    vec![together, apart]
}

async fn together(n: usize, (producer, consumer): (impl Producer, impl Consumer)) -> Lap {
    let (send, receive) = sides(n, producer, consumer);
    let clock = Clock::start();
    tokio::spawn(send);
    lap(clock, receive.await)
}

async fn apart(n: usize, (producer, consumer): (impl Producer, impl Consumer)) -> Lap {
    let (send, receive) = sides(n, producer, consumer);
    let clock = Clock::start();
    let producer = on_a_thread(send);
    let lap = lap(clock, receive.await);
    producer.join().expect("the producer doesn't panic");
    lap
}

fn lap(clock: Clock, times: Vec<u64>) -> Lap {
    clock.stop(times.len()).with_quantiles(times)
}

/// The producer, and the consumer with the nanoseconds that each item was on its way.
fn sides(
    n: usize,
    mut producer: impl Producer,
    mut consumer: impl Consumer,
) -> (
    impl Future<Output = ()> + Send + 'static,
    impl Future<Output = Vec<u64>> + Send + 'static,
) {
    let began = Instant::now();
    let now = move || u64::try_from(began.elapsed().as_nanos()).expect("a lap is short");
    let taken = Arc::new(Semaphore::new(1));
    let again = Arc::clone(&taken);
    let send = async move {
        for _ in 0..n {
            // So that the consumer waits again, or is about to.
            taken.acquire().await.expect("it is not closed").forget();
            producer.put(now()).await;
        }
    };
    let receive = async move {
        let mut times = Vec::with_capacity(n);
        while let Some(sent) = consumer.take().await {
            times.push(now() - sent);
            again.add_permits(1);
        }
        times
    };
    (send, receive)
}
