//! Four producers, four consumers, a bound of 1024.

use super::ours::{get, lifo, pop};
use super::peers::{async_channel, crossfire, flume, kanal, mpsc, mpsc_many};
use super::relay::{relay, split};
use crate::case::{Case, Threads};

const ITEMS: usize = 100_000;
const ABOUT: &str = "4 producers, 4 consumers, a bound of 1024; per item.";
const ABOUT_SPLIT: &str =
    "4 producers on one thread, 4 consumers on another, a bound of 1024; per item.";

pub(super) fn cases() -> Vec<Case> {
    let together =
        [("fifo/mt2", Threads::Two), ("fifo/ct", Threads::One)].map(|(name, threads)| {
            Case::new(name, threads, ABOUT)
                .contender("crossfire", ITEMS, |n| relay(n, crossfire()))
                .contender("kanal", ITEMS, |n| relay(n, kanal()))
                .contender("flume", ITEMS, |n| relay(n, flume()))
                .contender("async-channel", ITEMS, |n| relay(n, async_channel()))
                .contender("tokio mpsc + mutex", ITEMS, |n| relay(n, mpsc()))
                .contender("the same, recv_many", ITEMS, |n| relay(n, mpsc_many()))
                .contender("Queue, pop", ITEMS, |n| relay(n, pop()))
                .contender("Queue, get", ITEMS, |n| relay(n, get()))
                .contender("Queue, LIFO", ITEMS, |n| relay(n, lifo()))
        });
    let apart = Case::new("fifo/split", Threads::Split, ABOUT_SPLIT)
        .contender("crossfire", ITEMS, |n| split(n, crossfire()))
        .contender("kanal", ITEMS, |n| split(n, kanal()))
        .contender("flume", ITEMS, |n| split(n, flume()))
        .contender("async-channel", ITEMS, |n| split(n, async_channel()))
        .contender("tokio mpsc + mutex", ITEMS, |n| split(n, mpsc()))
        .contender("the same, recv_many", ITEMS, |n| split(n, mpsc_many()))
        .contender("Queue, pop", ITEMS, |n| split(n, pop()))
        .contender("Queue, get", ITEMS, |n| split(n, get()));
    together.into_iter().chain([apart]).collect()
}
