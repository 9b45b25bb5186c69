use std::fmt;

use thiserror::Error;

/// The queue was shut down. Who wanted to put a value has it back here.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down")]
pub struct Closed<T = ()>(pub T);

/// Why [`try_put`](crate::Queue::try_put) put nothing. It hands the value back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryPutError<T> {
    /// There is no room now.
    #[error("the queue is full")]
    Full(T),

    /// The queue was shut down.
    #[error("the queue is shut down")]
    Closed(T),
}

/// Why [`put_timeout`](crate::Queue::put_timeout) put nothing. It hands the value back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PutTimeoutError<T> {
    /// There was no room for all that time.
    #[error("the queue stayed full for too long")]
    Timeout(T),

    /// The queue was shut down.
    #[error("the queue is shut down")]
    Closed(T),
}

/// Why [`try_get`](crate::Queue::try_get) got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryGetError {
    /// There is no item now, or those who wait will have it.
    #[error("the queue is empty")]
    Empty,

    /// There is none, and there will be none.
    #[error("the queue is shut down")]
    Closed,
}

/// Why [`get_timeout`](crate::Queue::get_timeout) got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GetTimeoutError {
    /// No item came for all that time.
    #[error("the queue stayed empty for too long")]
    Timeout,

    /// There is none, and there will be none.
    #[error("the queue is shut down")]
    Closed,
}

/// Items that were put were handed back undone, since the queue was [shut down at
/// once](crate::Queue::shutdown_now).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the queue was shut down with items left undone")]
pub struct Aborted;

/// Why a queue can't be built so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The capacity is 0.
    #[error("a capacity of 0 holds nothing: let it be 1 or more, or leave it away for no bound")]
    NoCapacity,

    /// The step of aging is zero.
    #[error(
        "a step of zero makes all levels equal: let it be longer, or take the order of arrival"
    )]
    NoStep,
}

impl<T> Closed<T> {
    /// The value that was not put.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TryPutError<T> {
    /// Whether there may be room later.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the queue was shut down.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The value that was not put.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }
}

impl<T> PutTimeoutError<T> {
    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the queue was shut down.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The value that was not put.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(value) | Self::Closed(value) => value,
        }
    }
}

impl TryGetError {
    /// Whether there may be an item later.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether the queue was shut down, and nothing is left.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl GetTimeoutError {
    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    /// Whether the queue was shut down, and nothing is left.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

// By hand: a value needs no `Debug` for its error to be unwrapped.
impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Debug for PutTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "Timeout(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
