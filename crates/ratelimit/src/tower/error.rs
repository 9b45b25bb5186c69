use std::error::Error;
use std::fmt;

use crate::Denied;

/// Why a call behind a limit failed.
///
/// Boxed it is the one error or the other, as they are. It is none itself, so that a service whose error is a box can have a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The limit did not let it through, and the service was not called.
    Denied(Denied),
    /// The service failed.
    Failed(E),
}

impl<E> CallError<E> {
    /// Why it was not let through, if it was not.
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied(denied) => Some(denied),
            Self::Failed(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The [`Denied`] or the service's own error, as it was.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<CallError<E>> for Box<dyn Error + Send + Sync> {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Denied(denied) => denied.into(),
            CallError::Failed(error) => error.into(),
        }
    }
}
