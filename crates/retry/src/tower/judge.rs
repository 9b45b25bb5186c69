use crate::error::Failure;
use crate::verdict::{Always, By, Verdict};

/// Says what to do about what a service gave: see [`RetryLayer::classify`](super::RetryLayer::classify).
pub trait Judge<Req, Res, E> {
    /// What it must know of the request, which the service has by the time of the response.
    type Note;

    /// Looks at the request before it is sent.
    fn note(&self, request: &Req) -> Self::Note;

    /// What to do about a response, an error, or an attempt that took too long: `None` if it is no failure, and
    /// what the caller is to get.
    fn judge(&self, note: &Self::Note, outcome: Result<&Res, Failure<&E>>) -> Option<Verdict>;
}

/// Each response is a success.
impl<Req, Res, E> Judge<Req, Res, E> for Always {
    type Note = ();

    fn note(&self, _: &Req) {}

    fn judge(&self, (): &(), outcome: Result<&Res, Failure<&E>>) -> Option<Verdict> {
        outcome.is_err().then_some(Verdict::Retry)
    }
}

impl<Req, Res, E, F> Judge<Req, Res, E> for By<F>
where
    F: Fn(Result<&Res, Failure<&E>>) -> Option<Verdict>,
{
    type Note = ();

    fn note(&self, _: &Req) {}

    fn judge(&self, (): &(), outcome: Result<&Res, Failure<&E>>) -> Option<Verdict> {
        (self.0)(outcome)
    }
}

/// Goes by the rules of HTTP: see [`http::classify`](crate::http::classify).
///
/// An error, or an attempt that took too long, is retried if the request [may be
/// replayed](crate::http::may_replay): nobody knows how far it came.
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

#[cfg(feature = "http")]
impl<A, B, E> Judge<::http::Request<A>, ::http::Response<B>, E> for ByStatus {
    /// Whether it may be replayed.
    type Note = bool;

    fn note(&self, request: &::http::Request<A>) -> bool {
        crate::http::may_replay(request.method(), request.headers())
    }

    fn judge(
        &self,
        may_replay: &bool,
        outcome: Result<&::http::Response<B>, Failure<&E>>,
    ) -> Option<Verdict> {
        let verdict = match outcome {
            Ok(response) => {
                let now = std::time::SystemTime::now();
                crate::http::verdict(response.status(), response.headers(), now)?
            }
            Err(_) => Verdict::Retry,
        };
        Some(if *may_replay { verdict } else { Verdict::Abort })
    }
}
