//! What becomes of those who ask a limit, for the [metrics](crate::metrics). Without that feature, nothing at all.
#![cfg_attr(not(feature = "metrics"), allow(unused_variables))]

use shibuya_waitlist::count;

use crate::Denied;

/// What kind of limit it is of: the label `limit`.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Rate,
    Concurrency,
}

pub(crate) use Limit::{Concurrency as CONCURRENCY, Rate as RATE};

#[cfg(feature = "metrics")]
impl Limit {
    fn label(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Counts a decision on its way to whoever asked.
pub(crate) trait Tally {
    fn tally(self, limit: Limit) -> Self;
}

impl<T> Tally for Result<T, Denied> {
    #[inline]
    fn tally(self, limit: Limit) -> Self {
        match &self {
            Ok(_) => granted(limit),
            Err(reason) => denied(limit, reason),
        }
        self
    }
}

#[inline]
pub(crate) fn granted(limit: Limit) {
    count!(GRANTED, "limit" = limit.label());
}

#[inline]
pub(crate) fn denied(limit: Limit, denied: &Denied) {
    count!(
        DENIED,
        "limit" = limit.label(),
        "reason" = crate::metrics::label(denied)
    );
}

/// Somebody waits in line, for as long as this lives.
pub(crate) struct Waiting {
    #[cfg(feature = "metrics")]
    limit: Limit,
    #[cfg(feature = "metrics")]
    since: shibuya_cancel::raw::Timestamp,
}

impl Waiting {
    pub(crate) fn begin(limit: Limit) -> Self {
        count!(WAITERS += 1.0, "limit" = limit.label());
        Self {
            #[cfg(feature = "metrics")]
            limit,
            #[cfg(feature = "metrics")]
            since: shibuya_cancel::raw::Timestamp::now(),
        }
    }

    /// It was let through.
    pub(crate) fn note(&self) {
        #[cfg(feature = "metrics")]
        {
            let waited = shibuya_cancel::raw::Timestamp::now().since(self.since);
            count!(WAIT: waited.as_secs_f64(), "limit" = self.limit.label());
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for Waiting {
    fn drop(&mut self) {
        count!(WAITERS += -1.0, "limit" = self.limit.label());
    }
}
