use shibuya_cancel::Reason;

use crate::Panic;

/// How one task ended.
#[derive(Debug)]
#[must_use = "an outcome may be a failure that nobody else hears of"]
pub enum Outcome<T, E> {
    /// With a value.
    Ok(T),
    /// With an error.
    Err(E),
    /// With a panic.
    Panicked(Panic),
    /// Not at all: it was dropped before it was done.
    Cancelled(Reason),
}

impl<T, E> Outcome<T, E> {
    /// The value, if there is one.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Ok(value) => Some(value),
            _ => None,
        }
    }

    /// The error, if it ended with one.
    pub fn err(self) -> Option<E> {
        match self {
            Self::Err(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it ended with a value.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }

    /// Whether it ended with an error.
    pub fn is_err(&self) -> bool {
        matches!(self, Self::Err(_))
    }

    /// Whether it panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Whether it was dropped before it was done.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// The value or the error.
    ///
    /// # Panics
    ///
    /// Goes on with the panic of a task that panicked; panics for one that was cancelled.
    #[track_caller]
    pub fn into_result(self) -> Result<T, E> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Err(error) => Err(error),
            Self::Panicked(panic) => panic.resume(),
            Self::Cancelled(reason) => {
                panic!("the task has no result: it was cancelled ({reason})")
            }
        }
    }
}
