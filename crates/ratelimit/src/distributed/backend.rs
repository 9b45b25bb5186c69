use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::{Outage, Quota};

/// The store that keeps a shared limit: what all who share it ask.
///
/// It keeps one time for each key, as [GCRA](super) does, and has a clock of its own, so that those who ask need not agree on
/// theirs. What is not asked for any more may be forgotten once its limit is full again.
///
/// An implementation must never grant what it has not noted down. That a caller drops the future before it has the answer
/// is no reason to take a charge back: whoever needs that asks for a refund.
pub trait Backend: Send + Sync {
    /// Does what `take` says to the limit of `key`, in one step that no other can come between.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped was done or was not. If it was, what it took counts as used.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when nobody knows the answer. As with a dropped call, it may have been done.
    fn take(
        &self,
        key: &[u8],
        quota: Quota,
        take: Take,
    ) -> impl Future<Output = Result<Verdict, BackendError>> + Send;
}

/// What a [`Backend`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Take {
    /// `least` or nothing. Of what there is beyond that, up to `most` in all.
    Acquire {
        /// More than the burst only if the quota [allows debt](Quota::debt).
        least: u32,
        /// No less than `least`.
        most: u32,
    },

    /// Nothing: to see how much is left.
    Peek,

    /// Gives back `n` of what was charged. What would have been earned again by now is not given back a second time.
    Refund {
        /// How many.
        n: u32,
        /// What the grant was given with.
        charge: Charge,
    },
}

impl Take {
    /// `n`, or nothing.
    pub const fn exactly(n: u32) -> Self {
        Self::Acquire { least: n, most: n }
    }
}

/// Names a charge to the store that made it: the time at which it will have been earned again, in the store's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Charge(pub i128);

/// What a [`Backend`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was granted.
    pub answer: Answer,
    /// How many could be taken now, after this.
    pub remaining: u32,
    /// When all of the burst is there again, if nobody takes any.
    pub reset_after: Duration,
}

/// The first half of a [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `n` were taken.
    Granted {
        /// Between `least` and `most`.
        n: u32,
        /// For a refund.
        charge: Charge,
    },
    /// Nothing was taken.
    Denied {
        /// When `least` will be there, if nobody else takes them. Not a moment too early: rounded up.
        retry_after: Duration,
    },
    /// To a peek or a refund.
    Done,
}

/// Why a [`Backend`] gave no [`Verdict`].
#[derive(Debug)]
pub struct BackendError {
    outage: Outage,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// Of that kind, because of `source`.
    pub fn new(outage: Outage, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            outage,
            source: Some(source.into()),
        }
    }

    /// What callers are told.
    pub fn outage(&self) -> Outage {
        self.outage
    }
}

impl From<Outage> for BackendError {
    fn from(outage: Outage) -> Self {
        Self {
            outage,
            source: None,
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outage.fmt(f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}
