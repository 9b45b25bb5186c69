//! `shibuya-retry` against what people use without it.

mod breaker;
mod budget;
mod by_hand;
mod op;
mod peers;
mod size;
mod stack;
mod success;
mod zero_delay;

use std::time::Duration;

use crate::case::Area;

/// What everybody is set to: three retries with jitter, of a delay that doubles from `BASE` to `MAX`.
const RETRIES: u32 = 3;
const BASE: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(10);

/// How long an attempt may take, where there is a timeout.
const ATTEMPT: Duration = Duration::from_secs(5);

pub(super) fn area() -> Area {
    let questions = [
        success::cases(),
        zero_delay::cases(),
        stack::cases(),
        budget::cases(),
        breaker::cases(),
        size::cases(),
    ];
    Area {
        name: "retry",
        compared: &[
            "backoff",
            "backon",
            "execution-policy",
            "seatbelt",
            "tokio",
            "tokio-retry",
            "tokio-retry2",
            "tower",
            "tower-resilience-circuitbreaker",
            "tower-resilience-retry",
            "tower-resilience-timelimiter",
        ],
        cases: questions.into_iter().flatten().collect(),
    }
}
