use std::time::Duration;

use thiserror::Error;

/// What a concurrency limit, or an algorithm that finds one, can't go by.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidLimit {
    /// A limit of zero.
    #[error("the limit is 0: it must be at least 1, or nothing is ever let through")]
    Zero,

    /// A limit was set where an algorithm sets it.
    #[error("the limit adapts by itself: only a fixed one can be set")]
    Adaptive,

    /// The bounds of a limit that adapts.
    #[error("the limit is to stay from {min} to {max}: it must be from 1 up, such as 1..=200")]
    Bounds {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },

    /// A limit to begin with that is out of bounds.
    #[error("the limit begins at {initial}: it must be from {min} to {max}")]
    Initial {
        /// What was given.
        initial: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },

    /// How much one window counts.
    #[error("the smoothing is {0}: it must be above 0 and at most 1, such as 0.2")]
    Smoothing(f64),

    /// How much slower than usual is still well.
    #[error("the tolerance is {0}: it must be a number from 1 up, such as 1.5")]
    Tolerance(f64),

    /// What is left of the limit after an overload.
    #[error(
        "the limit is multiplied by {0} after an overload: it must be above 0 and below 1, such as 0.9"
    )]
    Backoff(f64),

    /// How much the limit grows.
    #[error("the limit grows by {0}: it must be a number above 0, such as 1")]
    Increase(f64),

    /// The queue at the server that is aimed at.
    #[error(
        "the queue is to stay from {low} to {high}: it must be from 1 up, and not empty, such as 3..=6"
    )]
    Queue {
        /// The least.
        low: usize,
        /// The most.
        high: usize,
    },

    /// Over how many windows something is looked at.
    #[error("the number of windows is 0: it must be at least 1, such as 600")]
    Windows,

    /// A time after which a call counts as one that met an overload.
    #[error("the time is {0:?}: it must be above zero, such as 1 s")]
    Timeout(Duration),
}
