//! The queues of `shibuya-sync` against other channels for many producers and many consumers.

mod handover;
mod idle;
mod ours;
mod peers;
mod priority;
mod relay;
mod throughput;

use crate::case::Area;

/// What a bounded channel holds, wherever it matters.
const BOUND: usize = 1024;

pub(super) fn area() -> Area {
    let questions = [
        throughput::cases(),
        priority::cases(),
        handover::cases(),
        idle::cases(),
    ];
    Area {
        name: "queue",
        compared: &[
            "async-channel",
            "async-priority-channel",
            "crossfire",
            "flume",
            "kanal",
            "tokio",
        ],
        cases: questions.into_iter().flatten().collect(),
    }
}
