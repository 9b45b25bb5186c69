use std::error::Error;
use std::time::Duration;

use url::Url;

use super::REDIRECTS_MAX;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The time for one request was over.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// More than ten redirects.
    #[error("too many redirects (more than {REDIRECTS_MAX})")]
    TooManyRedirects,
    /// A redirect led back to a URL of its own chain.
    #[error("redirect loop through {0}")]
    RedirectLoop(Url),
    /// A redirect to what is no http(s) URL.
    #[error("redirect to {0:?}, which is no http(s) URL")]
    BadRedirect(String),
    /// robots.txt forbids to go there.
    #[error("{0} is disallowed by robots.txt")]
    Disallowed(Url),
    /// A robots.txt that can't be had forbids everything.
    #[error("robots.txt can't be had: {0}")]
    NoRobots(String),
    /// No connection, or it broke.
    #[error("{}", root_cause(.0))]
    Transport(#[from] reqwest::Error),
}

impl FetchError {
    /// Whether the redirects led nowhere.
    #[must_use]
    pub fn is_redirect(&self) -> bool {
        matches!(
            self,
            Self::TooManyRedirects | Self::RedirectLoop(_) | Self::BadRedirect(_)
        )
    }
}

/// The innermost error is the one that says something: "Connection refused", not "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
