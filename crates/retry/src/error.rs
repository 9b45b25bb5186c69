use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// An attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// It gave an error.
    Error(E),
    /// It took longer than its [timeout](crate::Retry::attempt_timeout), or the
    /// [deadline](crate::Retry::deadline) came, and it was dropped.
    TimedOut,
}

impl<E> Failure<E> {
    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// The error, unless it took too long.
    pub fn error(&self) -> Option<&E> {
        match self {
            Self::Error(error) => Some(error),
            Self::TimedOut => None,
        }
    }

    /// The error itself, unless it took too long.
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Error(error) => Some(error),
            Self::TimedOut => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::TimedOut => f.write_str("it took too long"),
        }
    }
}

/// Why there was no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There were as many as the policy allows.
    Exhausted,
    /// The error was one that is not retried.
    Aborted,
    /// The next attempt would begin after the deadline: the call's own, or that of the scope it runs in.
    Deadline,
    /// The [budget](crate::Budget) is spent: too much of what is sent already was retries.
    Budget,
    /// The other side asked for a longer delay than the policy
    /// [accepts](crate::Policy::max_retry_after).
    RetryAfter,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "no retries are left",
            Self::Aborted => "this is not retried",
            Self::Deadline => "the next one would come after the deadline",
            Self::Budget => "the retry budget is spent",
            Self::RetryAfter => "the other side asked to wait for too long",
        })
    }
}

/// The last failure, and why there was no further attempt.
///
/// It is a box, so that a `Result` stays small.
pub struct RetryError<E>(pub(crate) Box<Inner<E>>);

pub(crate) struct Inner<E> {
    pub(crate) reason: Reason,
    pub(crate) last: Failure<E>,
    pub(crate) attempts: u32,
    pub(crate) elapsed: Duration,
    pub(crate) history: VecDeque<Failure<E>>,
}

impl<E> RetryError<E> {
    /// Why there was no further attempt.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What went wrong in the last attempt.
    pub fn last(&self) -> &Failure<E> {
        &self.0.last
    }

    /// What went wrong in the last attempt, to be passed on in place of this.
    pub fn into_last(self) -> Failure<E> {
        self.0.last
    }

    /// The last attempt's error; `None` if that took too long.
    pub fn into_error(self) -> Option<E> {
        self.0.last.into_error()
    }

    /// The same end of other attempts, of which no earlier failures are kept.
    #[cfg(feature = "reqwest")]
    pub(crate) fn with_last<F>(self, last: Failure<F>) -> RetryError<F> {
        RetryError(Box::new(Inner {
            reason: self.0.reason,
            last,
            attempts: self.0.attempts,
            elapsed: self.0.elapsed,
            history: VecDeque::new(),
        }))
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long all of it took, from when the first attempt had to wait or failed.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The failures before the last, the oldest first: as many as the policy
    /// [keeps](crate::Policy::history).
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Failure<E>> + DoubleEndedIterator {
        self.0.history.iter()
    }

    /// Whether time ran out: the last attempt took too long, or the next would have come too late.
    pub fn is_timeout(&self) -> bool {
        self.0.reason == Reason::Deadline || self.0.last.is_timeout()
    }
}

impl<E: fmt::Debug> fmt::Debug for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryError")
            .field("reason", &self.0.reason)
            .field("last", &self.0.last)
            .field("attempts", &self.0.attempts)
            .field("elapsed", &self.0.elapsed)
            .field("history", &self.0.history)
            .finish()
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            reason,
            last,
            attempts,
            elapsed,
            ..
        } = &*self.0;
        let s = if *attempts == 1 { "" } else { "s" };
        write!(f, "{last} ({attempts} attempt{s}")?;
        if !elapsed.is_zero() {
            write!(f, " in {elapsed:.1?}")?;
        }
        write!(f, "; {reason})")
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // What `Display` says first is the error itself, so its cause comes next.
        self.0.last.error().and_then(Error::source)
    }
}
