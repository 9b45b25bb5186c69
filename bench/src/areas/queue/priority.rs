//! The least or the greatest first, where the values come in no order.

use super::ours::priority;
use super::peers::{async_priority_channel, heap};
use super::relay::relay;
use crate::case::{Case, Threads};

const ITEMS: usize = 100_000;
const ABOUT: &str = "4 producers, 4 consumers, a bound of 1024, by priority; per item.";

pub(super) fn cases() -> Vec<Case> {
    [
        ("priority/mt2", Threads::Two),
        ("priority/ct", Threads::One),
    ]
    .map(|(name, threads)| {
        Case::new(name, threads, ABOUT)
            .contender("heap + Notify + Semaphore", ITEMS, |n| relay(n, heap()))
            .contender("async-priority-channel", ITEMS, |n| {
                relay(n, async_priority_channel())
            })
            .contender("Queue, priority", ITEMS, |n| relay(n, priority()))
    })
    .into()
}
