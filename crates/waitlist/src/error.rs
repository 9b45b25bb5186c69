use std::fmt;

use thiserror::Error;

/// The list was closed while, or before, the caller waited. Hands the request back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the wait list is closed")]
pub struct Closed<R>(pub R);

/// Why [`WaitList::try_acquire`](crate::WaitList::try_acquire) was refused. Hands the request back.
// Exhaustive: an owner maps every refusal to its own error, and a third kind must not slip through a wildcard.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum TryError<R> {
    /// The state can't serve the request now, or others wait already.
    #[error("the request can't be served without waiting")]
    Busy(R),

    /// The list is closed.
    #[error("the wait list is closed")]
    Closed(R),
}

impl<R> Closed<R> {
    /// The request, unserved.
    pub fn into_request(self) -> R {
        self.0
    }
}

impl<R> TryError<R> {
    /// Whether waiting could help.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Whether the list is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The request, unserved.
    pub fn into_request(self) -> R {
        match self {
            Self::Busy(request) | Self::Closed(request) => request,
        }
    }
}

// By hand: a request needs no `Debug` for its error to be unwrapped.
impl<R> fmt::Debug for Closed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<R> fmt::Debug for TryError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy(_) => "Busy(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
