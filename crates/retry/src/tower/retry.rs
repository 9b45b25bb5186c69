use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::attempts::{Attempts, Told};
use super::judge::Judge;
use crate::backoff::{Backoff, Curve};
use crate::budget::Budget;
use crate::error::Failure;
use crate::policy::Policy;
use crate::run::Run;
use crate::verdict::{Always, By, Verdict};

/// Calls a service again and again until it succeeds, or there are to be no more attempts.
///
/// The caller gets what the last attempt gave, as it was: a response that was a failure to the retries is
/// a response. Only an attempt that took too long gives nothing, so the error is a [`Failure`], which turns into
/// tower's `BoxError`.
///
/// Before each attempt the service is asked anew whether it is ready, and not before the wait is over: what it
/// sets aside for a call, such as a place under a limit, is not held meanwhile. The last response is, with its
/// body. The deadline of the [scope](shibuya_cancel) holds as for any retry.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::tower::RetryLayer;
/// use shibuya_retry::{Budget, Failure, Policy, Verdict};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(1));
/// static BUDGET: Budget = Budget::ratio(0.2);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let calls = std::sync::atomic::AtomicU32::new(0);
/// let calls = &calls;
/// let busy_at_first = service_fn(|name: String| async move {
///     match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
///         0 => Ok(String::from("busy")),
///         1 => Err("reset"),
///         _ => Ok(format!("hello, {name}")),
///     }
/// });
/// let retry = RetryLayer::new(&POLICY, |name: &String| Some(name.clone()))
///     .classify(|outcome: Result<&String, Failure<&&str>>| match outcome {
///         Ok(text) if text != "busy" => None,
///         _ => Some(Verdict::Retry),
///     })
///     .attempt_timeout(Duration::from_secs(1))
///     .budget(&BUDGET);
/// let service = ServiceBuilder::new().layer(retry).service(busy_at_first);
/// assert_eq!(service.oneshot("world".into()).await, Ok("hello, world".into()));
/// # }
/// ```
pub struct RetryLayer<'p, J, K, B = Curve> {
    settings: Settings<'p, B>,
    judge: J,
    clone: K,
}

/// What each call begins with.
pub(crate) struct Settings<'p, B> {
    policy: &'p Policy<B>,
    pub(crate) budget: Option<&'p Budget>,
    pub(crate) attempt_timeout: Duration,
}

impl<'p, B> Settings<'p, B> {
    pub(crate) fn new(policy: &'p Policy<B>) -> Self {
        Self {
            policy,
            budget: None,
            attempt_timeout: Duration::MAX,
        }
    }

    pub(crate) fn start(&self) -> Run<'p, Verdict, B, Told> {
        let as_told: Told = By(|verdict, _| *verdict);
        let run = Run::new(self.policy)
            .classify(as_told.0)
            .attempt_timeout(self.attempt_timeout);
        match self.budget {
            Some(budget) => run.budget(budget),
            None => run,
        }
    }
}

impl<'p, K> RetryLayer<'p, Always, K> {
    /// Tries again after each error. `clone` makes the request of the next attempt before one is sent; `None`
    /// says that it can't be sent twice, and then it isn't.
    pub fn new<Req, B>(policy: &'p Policy<B>, clone: K) -> RetryLayer<'p, Always, K, B>
    where
        K: Fn(&Req) -> Option<Req>,
    {
        RetryLayer {
            settings: Settings::new(policy),
            judge: Always,
            clone,
        }
    }
}

impl<'p, J, K, B> RetryLayer<'p, J, K, B> {
    /// Does after each response, error and timeout what `classify` says; `None` for what is no failure.
    pub fn classify<F, Res, E>(self, classify: F) -> RetryLayer<'p, By<F>, K, B>
    where
        F: Fn(Result<&Res, Failure<&E>>) -> Option<Verdict>,
    {
        self.judge(By(classify))
    }

    /// Goes by the rules of HTTP: see [`http`](crate::http).
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn by_status(self) -> RetryLayer<'p, super::ByStatus, K, B> {
        self.judge(super::ByStatus)
    }

    /// Does what `judge` says, which may look at the request, too.
    pub fn judge<J2>(self, judge: J2) -> RetryLayer<'p, J2, K, B> {
        RetryLayer {
            settings: self.settings,
            judge,
            clone: self.clone,
        }
    }

    /// Drops an attempt that takes longer than this, the wait for the service included, and counts it as
    /// failed.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.settings.attempt_timeout = limit;
        self
    }

    /// Takes each retry from a budget that many calls share.
    pub fn budget(mut self, budget: &'p Budget) -> Self {
        self.settings.budget = Some(budget);
        self
    }
}

impl<'p, S, J: Clone, K: Clone, B> Layer<S> for RetryLayer<'p, J, K, B> {
    type Service = RetryService<'p, S, J, K, B>;

    fn layer(&self, service: S) -> Self::Service {
        RetryService {
            service,
            layer: self.clone(),
        }
    }
}

/// The service of [`RetryLayer`].
pub struct RetryService<'p, S, J, K, B = Curve> {
    service: S,
    layer: RetryLayer<'p, J, K, B>,
}

impl<'p, S, Req, J, K, B> Service<Req> for RetryService<'p, S, J, K, B>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error> + Clone,
    K: Fn(&Req) -> Option<Req> + Clone,
    B: Backoff,
{
    type Response = S::Response;
    type Error = Failure<S::Error>;
    type Future = RetryFuture<'p, S, Req, J, K, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(Failure::Error)
    }

    /// Begins the first attempt: see [`RetryLayer`].
    ///
    /// # Cancel safety
    ///
    /// As safe as the service: see [`RetryFuture`].
    ///
    /// # Panics
    ///
    /// As the service, which is called at once.
    fn call(&mut self, request: Req) -> Self::Future {
        // The one that said it was ready is the one to call: its clone has said nothing.
        let clone = self.service.clone();
        let service = std::mem::replace(&mut self.service, clone);
        let RetryLayer {
            settings,
            judge,
            clone,
        } = self.layer.clone();
        RetryFuture {
            attempts: Attempts::new(settings.start(), service, judge, clone, request),
        }
    }
}

pin_project! {
    /// The future of [`RetryService`].
    ///
    /// Dropping it drops the attempt that runs, and gives a retry that was granted and has not begun back to
    /// the budget.
    ///
    /// # Cancel safety
    ///
    /// As safe as the service: whoever drops it may not know whether the last attempt had an effect.
    ///
    /// # Errors
    ///
    /// What the last attempt gave, unless that is a response; or [`Failure::TimedOut`].
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<'p, S, Req, J, K, B = Curve>
    where
        S: Service<Req>,
        J: Judge<Req, S::Response, S::Error>,
    {
        #[pin]
        attempts: Attempts<'p, S, Req, J, K, B>,
    }
}

impl<S, Req, J, K, B> Future for RetryFuture<'_, S, Req, J, K, B>
where
    S: Service<Req> + Clone,
    J: Judge<Req, S::Response, S::Error>,
    K: Fn(&Req) -> Option<Req>,
    B: Backoff,
{
    type Output = Result<S::Response, Failure<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let end = self.project().attempts.poll_end(cx);
        end.map(|end| end.or_else(|(_, last)| last))
    }
}

// Derived, these would ask the same of `B`, which is only lent.

impl<B> Clone for Settings<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Settings<'_, B> {}

impl<J: Clone, K: Clone, B> Clone for RetryLayer<'_, J, K, B> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings,
            judge: self.judge.clone(),
            clone: self.clone.clone(),
        }
    }
}

impl<S: Clone, J: Clone, K: Clone, B> Clone for RetryService<'_, S, J, K, B> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<J, K, B> fmt::Debug for RetryLayer<'_, J, K, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, J, K, B> fmt::Debug for RetryService<'_, S, J, K, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl<S, Req, J, K, B> fmt::Debug for RetryFuture<'_, S, Req, J, K, B>
where
    S: Service<Req>,
    J: Judge<Req, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}
