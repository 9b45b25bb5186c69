use crate::Reason;

/// The scope was cancelled. Never stands for a timeout of [`timeout`](crate::timeout) or
/// [`deadline`](crate::deadline()): those say [`Elapsed`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled: {reason}")]
pub struct Cancelled {
    reason: Reason,
}

impl Cancelled {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason }
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Why, by value.
    pub fn into_reason(self) -> Reason {
        self.reason
    }

    /// Whether a deadline of the scope itself was the reason.
    pub fn is_deadline(&self) -> bool {
        self.reason == Reason::Deadline
    }
}

/// The time given to one [`timeout`](crate::timeout) or [`deadline`](crate::deadline()) ran out.
///
/// It always speaks of the call that returned it: where an outer limit is the earlier one, the
/// inner call never returns, since the outer drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline elapsed")]
pub struct Elapsed;

/// [`TimedOut`](std::io::ErrorKind::TimedOut), so that `?` works where input and output is done.
impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
