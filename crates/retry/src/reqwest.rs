//! Retries for [reqwest]: `client.get(url).retry(&POLICY).await`.
//!
//! A request is sent again by the rules of [`http`](crate::http): after a response, an error or a timeout, if it
//! [may be replayed](crate::http::may_replay), and in any case if no connection was made, since then it was never
//! sent. A body that is a stream can't be sent twice, and isn't.
//!
//! Where the client follows redirects, an error does not say which request could not connect: a POST that was
//! answered with a redirect to where nobody listens counts as never sent. A client whose POSTs are redirected should
//! follow none ([`redirect::Policy::none`](::reqwest::redirect::Policy::none)).
//!
//! The body of a response is read after all this, and an error there is the caller's to handle.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use ::reqwest::{Client, Request, RequestBuilder, Response, StatusCode};
use pin_project_lite::pin_project;
use thiserror::Error;
use tokio::time::Instant;

use crate::backoff::{Backoff, Curve};
use crate::budget::Budget;
use crate::error::{Failure, Inner, Reason, RetryError};
use crate::http::{attach_idempotency_key, may_replay, verdict};
use crate::policy::Policy;
use crate::tower::{Attempts, ByStatus, Judge, Settings};
use crate::verdict::Verdict;

/// Requests that are sent again and again until a response is fine, or there are to be no more attempts.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::reqwest::{RetryRequest, SendError};
/// use shibuya_retry::{Budget, Policy, RetryError};
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(5));
/// static BUDGET: Budget = Budget::ratio(0.2);
///
/// async fn order(client: &reqwest::Client, url: &str) -> Result<u16, RetryError<SendError>> {
///     let response = client
///         .post(url)
///         .body("two pears")
///         .retry(&POLICY)
///         .idempotency_key()
///         .attempt_timeout(Duration::from_secs(2))
///         .budget(&BUDGET)
///         .await?;
///     Ok(response.status().as_u16())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let _ = rustls::crypto::ring::default_provider().install_default();
/// # let unheard = tokio::net::TcpSocket::new_v4().unwrap();
/// # unheard.bind("127.0.0.1:0".parse().unwrap()).unwrap();
/// # let url = format!("http://{}/", unheard.local_addr().unwrap());
/// let error = order(&reqwest::Client::new(), &url).await.unwrap_err();
/// assert_eq!(error.attempts(), 4);
/// assert!(matches!(error.into_error(), Some(SendError::Transport(error)) if error.is_connect()));
/// # }
/// ```
pub trait RetryRequest {
    /// Sends it until a response is fine: see [`RetrySend`].
    fn retry<B: Backoff>(self, policy: &Policy<B>) -> RetrySend<'_, B>;
}

impl RetryRequest for RequestBuilder {
    fn retry<B: Backoff>(self, policy: &Policy<B>) -> RetrySend<'_, B> {
        let (client, request) = self.build_split();
        RetrySend {
            settings: Settings::new(policy),
            deadline: None,
            client,
            stage: Stage::New { request },
        }
    }
}

pin_project! {
    /// The future of [`RetryRequest::retry`].
    ///
    /// It gives a response whose status is below 400.
    ///
    /// Dropping it drops the request that is under way, and gives a retry that was granted and has not begun back
    /// to the budget.
    ///
    /// # Cancel safety
    ///
    /// As safe as the request: whoever drops it may not know whether the last attempt had an effect.
    ///
    /// # Errors
    ///
    /// [`RetryError`] with the last response or error, when there are to be no more attempts. It keeps no earlier
    /// ones, which would hold their connections. After no attempt at all, the request could not be built.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, or in one without timers.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetrySend<'p, B = Curve> {
        settings: Settings<'p, B>,
        deadline: Option<Instant>,
        client: Client,
        #[pin]
        stage: Stage<'p, B>,
    }
}

type CopyRequest = fn(&Request) -> Option<Request>;

pin_project! {
    #[project = StageProj]
    #[project_replace = StageOwn]
    enum Stage<'p, B> {
        New {
            request: Result<Request, ::reqwest::Error>,
        },
        Attempts {
            #[pin]
            attempts: Attempts<'p, Client, Request, ByStatus, CopyRequest, B>,
        },
        Done,
    }
}

impl<'p, B> RetrySend<'p, B> {
    /// Drops an attempt that has no response after this time, and counts it as failed. The response's body is
    /// read afterwards.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.settings.attempt_timeout = limit;
        self
    }

    /// Lets no attempt go on past this instant, and begins none that would start after it: it then gives up
    /// at once, with the error that it has, in place of waiting in vain. The deadline of the
    /// [scope](shibuya_cancel) it runs in holds anyhow.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Takes each retry from a budget that many calls share.
    pub fn budget(mut self, budget: &'p Budget) -> Self {
        self.settings.budget = Some(budget);
        self
    }

    /// Gives the request an `Idempotency-Key`, the same in each attempt, unless it has one: so that a POST may
    /// be sent again, to a server that knows the header.
    pub fn idempotency_key(mut self) -> Self {
        if let Stage::New {
            request: Ok(request),
        } = &mut self.stage
        {
            attach_idempotency_key(request.headers_mut());
        }
        self
    }
}

impl<B: Backoff> Future for RetrySend<'_, B> {
    type Output = Result<Response, RetryError<SendError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageProj::New { .. } = this.stage.as_mut().project() {
            let StageOwn::New { request } = this.stage.as_mut().project_replace(Stage::Done) else {
                unreachable!("it was just looked at");
            };
            let request = match request {
                Ok(request) => request,
                Err(error) => return Poll::Ready(Err(unsent(error))),
            };
            let mut run = this.settings.start();
            if let Some(at) = *this.deadline {
                run = run.deadline(at);
            }
            let (client, copy) = (this.client.clone(), Request::try_clone as CopyRequest);
            let attempts = Attempts::new(run, client, ByStatus, copy, request);
            this.stage.set(Stage::Attempts { attempts });
        }
        let StageProj::Attempts { attempts } = this.stage.as_mut().project() else {
            panic!("`RetrySend` polled after it was done");
        };
        let end = ready!(attempts.poll_end(cx));
        this.stage.set(Stage::Done);
        Poll::Ready(end.map_err(|(error, last)| {
            let last = match last {
                Ok(response) => Failure::Error(SendError::Status(response)),
                Err(Failure::Error(error)) => Failure::Error(SendError::Transport(error)),
                Err(Failure::TimedOut) => Failure::TimedOut,
            };
            error.with_last(last)
        }))
    }
}

fn unsent(error: ::reqwest::Error) -> RetryError<SendError> {
    RetryError(Box::new(Inner {
        reason: Reason::Aborted,
        last: Failure::Error(SendError::Transport(error)),
        attempts: 0,
        elapsed: Duration::ZERO,
        history: VecDeque::new(),
    }))
}

/// By the rules of HTTP, and those of the [module](crate::reqwest) for errors.
impl Judge<Request, Response, ::reqwest::Error> for ByStatus {
    /// Whether it may be replayed.
    type Note = bool;

    fn note(&self, request: &Request) -> bool {
        may_replay(request.method(), request.headers())
    }

    fn judge(
        &self,
        may_replay: &bool,
        outcome: Result<&Response, Failure<&::reqwest::Error>>,
    ) -> Option<Verdict> {
        let verdict = match outcome {
            Ok(response) => verdict(response.status(), response.headers(), SystemTime::now())?,
            Err(Failure::Error(error)) if error.is_connect() => return Some(Verdict::Retry),
            Err(Failure::Error(error)) if error.is_builder() || error.is_redirect() => {
                Verdict::Abort
            }
            Err(_) => Verdict::Retry,
        };
        Some(if *may_replay { verdict } else { Verdict::Abort })
    }
}

/// What a request failed with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// A response whose status is 400 or above.
    #[error("the answer was {}", .0.status())]
    Status(Response),
    /// There was no response.
    #[error(transparent)]
    Transport(#[from] ::reqwest::Error),
}

impl SendError {
    /// The status, if there was a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(response) => Some(response.status()),
            Self::Transport(_) => None,
        }
    }

    /// The response, if there was one, its body unread.
    pub fn into_response(self) -> Option<Response> {
        match self {
            Self::Status(response) => Some(response),
            Self::Transport(_) => None,
        }
    }
}

impl<B> fmt::Debug for RetrySend<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetrySend").finish_non_exhaustive()
    }
}
