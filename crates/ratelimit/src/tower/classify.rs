use std::fmt;

use crate::concurrency::Outcome;

/// Says what a call tells the limit: `None` if it says nothing.
pub trait Classify<Res, E> {
    /// Looks at what the service gave.
    fn classify(&self, outcome: Result<&Res, &E>) -> Option<Outcome>;
}

/// A response is a success, and an error says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkIsSuccess;

impl<Res, E> Classify<Res, E> for OkIsSuccess {
    fn classify(&self, outcome: Result<&Res, &E>) -> Option<Outcome> {
        outcome.ok().map(|_| Outcome::Success)
    }
}

/// What a function says: see [`ConcurrencyLimitLayer::classify`](super::ConcurrencyLimitLayer::classify).
#[derive(Clone, Copy)]
pub struct By<F>(pub(super) F);

impl<Res, E, F: Fn(Result<&Res, &E>) -> Option<Outcome>> Classify<Res, E> for By<F> {
    fn classify(&self, outcome: Result<&Res, &E>) -> Option<Outcome> {
        (self.0)(outcome)
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("By").finish_non_exhaustive()
    }
}

/// A 429 and a 503 are an overload. Other statuses from 500 up say nothing, nor does an error: what fails fast is no sign of
/// room. All else is a success.
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

#[cfg(feature = "http")]
impl<B, E> Classify<::http::Response<B>, E> for ByStatus {
    fn classify(&self, outcome: Result<&::http::Response<B>, &E>) -> Option<Outcome> {
        match outcome.ok()?.status().as_u16() {
            429 | 503 => Some(Outcome::Overloaded),
            500.. => None,
            _ => Some(Outcome::Success),
        }
    }
}
