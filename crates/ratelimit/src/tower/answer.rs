use super::CallError;
use crate::{Denied, RateSnapshot};

/// Says what the caller gets: an error, or a response that tells of the limit.
pub trait Answer<Res, E> {
    /// The error of the service behind the limit.
    type Error;

    /// What a call gets that was not let through.
    ///
    /// # Errors
    ///
    /// If that is an error.
    fn denied(&self, denied: Denied) -> Result<Res, Self::Error>;

    /// What a call gets whose service failed.
    fn failed(&self, error: E) -> Self::Error;

    /// Tells in a response how the rate stands, where it can.
    fn tell(&self, _response: &mut Res, _rate: impl FnOnce() -> RateSnapshot) {}
}

/// A call that was denied gets [`CallError::Denied`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsError;

impl<Res, E> Answer<Res, E> for AsError {
    type Error = CallError<E>;

    fn denied(&self, denied: Denied) -> Result<Res, Self::Error> {
        Err(CallError::Denied(denied))
    }

    fn failed(&self, error: E) -> Self::Error {
        CallError::Failed(error)
    }
}

#[cfg(feature = "http")]
pub use self::response::{AsResponse, Empty};

#[cfg(feature = "http")]
mod response {
    use std::fmt;

    use ::http::header::RETRY_AFTER;
    use ::http::{Response, StatusCode};

    use super::*;
    use crate::http;

    /// A call that was denied gets a response of HTTP, with `Retry-After` where a time is known.
    #[derive(Clone, Copy)]
    pub struct AsResponse<M = Empty> {
        pub(crate) status: StatusCode,
        /// The name of the policy, where there are fields to tell it.
        pub(crate) policy: Option<&'static str>,
        pub(crate) make: M,
    }

    /// Makes responses with nothing in them.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Empty;

    /// Makes a response of what was denied.
    pub trait Make<B> {
        fn make(&self, denied: Denied) -> Response<B>;
    }

    impl<B: Default> Make<B> for Empty {
        fn make(&self, _: Denied) -> Response<B> {
            Response::default()
        }
    }

    impl<B, F: Fn(Denied) -> Response<B>> Make<B> for F {
        fn make(&self, denied: Denied) -> Response<B> {
            self(denied)
        }
    }

    impl<B, E, M: Make<B>> Answer<Response<B>, E> for AsResponse<M> {
        type Error = E;

        fn denied(&self, denied: Denied) -> Result<Response<B>, E> {
            let mut response = self.make.make(denied);
            if response.status() == StatusCode::OK {
                *response.status_mut() = match denied {
                    // It is not that the client was too fast.
                    Denied::Closed | Denied::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                    _ => self.status,
                };
            }
            if let Some(after) = denied.retry_after() {
                let headers = response.headers_mut();
                headers
                    .entry(RETRY_AFTER)
                    .or_insert(http::retry_after(after));
            }
            Ok(response)
        }

        fn failed(&self, error: E) -> E {
            error
        }

        fn tell(&self, response: &mut Response<B>, rate: impl FnOnce() -> RateSnapshot) {
            if let Some(name) = self.policy {
                http::append(response.headers_mut(), name, &rate());
            }
        }
    }

    impl<M> fmt::Debug for AsResponse<M> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("AsResponse")
                .field("status", &self.status)
                .field("policy", &self.policy)
                .finish_non_exhaustive()
        }
    }
}
