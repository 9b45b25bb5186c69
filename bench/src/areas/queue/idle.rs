//! What a channel takes that nobody has used yet.

use shibuya_sync::Queue;

use super::BOUND;
use super::peers::{async_channel, async_priority_channel, crossfire, flume, heap, kanal, mpsc};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const CHANNELS: usize = 10_000;
const ABOUT: &str = "Make a channel with a bound of 1024 and keep it, unused; per channel.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("idle", Threads::One, ABOUT)
            .contender("crossfire", CHANNELS, |n| keep(n, crossfire))
            .contender("kanal", CHANNELS, |n| keep(n, kanal))
            .contender("flume", CHANNELS, |n| keep(n, flume))
            .contender("async-channel", CHANNELS, |n| keep(n, async_channel))
            .contender("tokio mpsc + mutex", CHANNELS, |n| keep(n, mpsc))
            .contender("heap + Notify + Semaphore", CHANNELS, |n| keep(n, heap))
            .contender("async-priority-channel", CHANNELS, |n| {
                keep(n, async_priority_channel)
            })
            .contender("Queue", CHANNELS, |n| keep(n, fifo))
            .contender("Queue, priority", CHANNELS, |n| keep(n, priority)),
    ]
}

fn fifo() -> Queue<u64> {
    Queue::bounded(BOUND)
}

fn priority() -> Queue<u64> {
    Queue::builder().capacity(BOUND).priority().build()
}

async fn keep<C: Send + 'static>(n: usize, make: fn() -> C) -> Lap {
    let mut channels = Vec::with_capacity(n);
    let clock = Clock::start();
    channels.extend((0..n).map(|_| make()));
    clock.stop(channels.len())
}
