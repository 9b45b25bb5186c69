use std::time::Duration;

use thiserror::Error;

/// Why a limit did not let something through.
///
/// One flat enum for all limits, and it is always the `Err`: a `?` can't take a refusal for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// Not now. Who asks again after that time, and not earlier, is let through, unless somebody else was first.
    #[error("the limit is reached: try again in {0:?}")]
    RetryAfter(Duration),

    /// As many are under way as may be, or others wait. Nobody knows how long.
    #[error("{limit} may be under way at once, and none is free for a newcomer")]
    AtLimit {
        /// How many may be.
        limit: usize,
    },

    /// More was asked for than there can ever be at once.
    #[error("{asked} were asked for at once, and the burst is {burst}")]
    ExceedsBurst {
        /// What was asked for.
        asked: u32,
        /// The most that can be had at once.
        burst: u32,
    },

    /// As many wait already as may wait.
    #[error("the limit is reached, and {max_waiters} wait already")]
    QueueFull {
        /// How many may wait.
        max_waiters: usize,
    },

    /// The turn would come after the deadline, so it was not waited for.
    #[error("the turn comes in {needs:?}, and the deadline in {remaining:?}")]
    Hopeless {
        /// How long it would take.
        needs: Duration,
        /// How long there was.
        remaining: Duration,
    },

    /// The turn did not come in time: within what was said, or before the deadline.
    #[error("the turn did not come within {after:?}")]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },

    /// As many keys are in use as there may be.
    #[error("{max_keys} keys are in use, and there may be no more")]
    TooManyKeys {
        /// How many there may be.
        max_keys: usize,
        /// When there may be room again, where that is known.
        retry_after: Option<Duration>,
    },

    /// The limiter was closed.
    #[error("the limiter is closed")]
    Closed,

    /// The store that keeps the limit could not be asked, and the limit fails closed.
    #[error("the limit could not be asked: {0}")]
    Unavailable(Outage),
}

impl Denied {
    /// How long to wait before asking again can help; `None` where it can't, or where nobody knows.
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::RetryAfter(after) | Self::Hopeless { needs: after, .. } => Some(after),
            Self::TooManyKeys { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// Whether it is a matter of time: the same request is granted later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::ExceedsBurst { .. } | Self::Closed)
    }
}

/// Why the store of a shared limit gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Outage {
    /// There is no connection to it.
    #[error("the store can't be reached")]
    Unreachable,

    /// It took too long to answer.
    #[error("the store did not answer in time")]
    TimedOut,

    /// Something else than a limit stands at the key.
    #[error("the key holds something else than a limit")]
    WrongType,

    /// It answered with an error.
    #[error("the store refused the request")]
    Refused,
}

/// What was wrong with a [`Quota`](crate::Quota).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidQuota {
    /// A rate of zero.
    #[error("the rate is zero: it must be at least one, in a period as long as needed")]
    ZeroRate,

    /// A period, or an interval, of zero.
    #[error("the time is zero: it must be at least a nanosecond")]
    ZeroPeriod,

    /// A burst of zero.
    #[error("the burst is zero: it must be at least one, or nothing is ever let through")]
    ZeroBurst,

    /// More than 64 per nanosecond.
    #[error("the rate is above 64 per nanosecond")]
    TooFast,

    /// Less than one in nine years.
    #[error("the rate is below one in nine years")]
    TooSlow,
}
