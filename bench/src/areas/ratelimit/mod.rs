//! Rate limits and concurrency limits.

mod by_hand;
mod cancel;
mod check;
mod concurrency;
mod drain;
mod keyed;
mod keys;
mod limiter;
mod ours;
mod parked;
mod peers;
mod shared;
mod sustained;

use crate::case::Area;

pub(super) fn area() -> Area {
    let questions = [
        check::cases(),
        concurrency::cases(),
        keyed::cases(),
        sustained::cases(),
        drain::cases(),
        cancel::cases(),
        parked::cases(),
        shared::cases(),
    ];
    Area {
        name: "ratelimit",
        compared: &[
            "better-bucket",
            "governor",
            "leaky-bucket",
            "rate-net",
            "ratelimit",
            "throttle-net",
            "tokio",
        ],
        cases: questions.into_iter().flatten().collect(),
    }
}
