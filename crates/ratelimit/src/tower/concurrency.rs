use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::{Answer, AsError};
use super::classify::{By, Classify, OkIsSuccess};
use super::key::ByKey;
use crate::concurrency::{AcquirePermit, KeyedLimiter, Outcome, Permit};
use crate::{
    AcquireThrottled, ConcurrencyLimiter, Denied, Keyed, KeyedConcurrency, KeyedThrottle, Throttle,
};

/// What a [`ConcurrencyLimitLayer`] can go by: a [`ConcurrencyLimiter`] or a [`Throttle`], or [`ByKey`] a [`KeyedConcurrency`] or a
/// [`KeyedThrottle`].
///
/// A clone must be the same limit.
pub trait Concurrency<Req> {
    /// How a permit knows its limiter.
    type Limiter: Deref<Target = ConcurrencyLimiter>;

    /// Waits for a slot.
    type Wait: Future<Output = Result<Permit<Self::Limiter>, Denied>>;

    /// A slot for the request at once.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn try_acquire(&self, request: &Req) -> Result<Permit<Self::Limiter>, Denied>;

    /// A slot for the request within `max`.
    fn acquire(&self, request: &Req, max: Duration) -> Self::Wait;
}

impl<Req> Concurrency<Req> for Arc<ConcurrencyLimiter> {
    type Limiter = Self;
    type Wait = AcquirePermit<Self>;

    fn try_acquire(&self, _: &Req) -> Result<Permit<Self>, Denied> {
        self.try_acquire_owned()
    }

    fn acquire(&self, _: &Req, max: Duration) -> AcquirePermit<Self> {
        self.acquire_owned_within(max)
    }
}

impl<Req> Concurrency<Req> for Throttle {
    type Limiter = Arc<ConcurrencyLimiter>;
    type Wait = AcquireThrottled;

    fn try_acquire(&self, _: &Req) -> Result<Permit<Self::Limiter>, Denied> {
        self.try_acquire()
    }

    fn acquire(&self, _: &Req, max: Duration) -> AcquireThrottled {
        self.acquire_within(max)
    }
}

impl<Req, K, F> Concurrency<Req> for ByKey<Arc<KeyedConcurrency<K>>, F>
where
    K: Hash + Eq + Clone,
    F: Fn(&Req) -> K,
{
    type Limiter = KeyedLimiter<Arc<KeyedConcurrency<K>>, K>;
    type Wait = AcquirePermit<Self::Limiter>;

    fn try_acquire(&self, request: &Req) -> Result<Permit<Self::Limiter>, Denied> {
        self.limits.try_acquire_owned((self.key)(request))
    }

    fn acquire(&self, request: &Req, max: Duration) -> AcquirePermit<Self::Limiter> {
        self.limits.acquire_owned_within((self.key)(request), max)
    }
}

impl<Req, K, F> Concurrency<Req> for ByKey<KeyedThrottle<K>, F>
where
    K: Hash + Eq + Clone,
    F: Fn(&Req) -> K,
{
    type Limiter = KeyedLimiter<Arc<KeyedConcurrency<K>>, K>;
    type Wait = AcquireThrottled<(Keyed<K>, K), Self::Limiter>;

    fn try_acquire(&self, request: &Req) -> Result<Permit<Self::Limiter>, Denied> {
        self.limits.try_acquire((self.key)(request))
    }

    fn acquire(&self, request: &Req, max: Duration) -> Self::Wait {
        self.limits.acquire_within((self.key)(request), max)
    }
}

/// Lets no more calls of a service be under way at once than a limit says, which may adapt to what they tell.
///
/// All services that it makes, and their clones, have the same limit. When it is reached, a call is denied at once, unless it may
/// [`wait`](Self::wait).
///
/// A call is under way from its permit until its future is ready, or dropped. The body of a response, which may come later, does
/// not count: how long that takes is up to who reads it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::concurrency::Outcome;
/// use shibuya_ratelimit::tower::ConcurrencyLimitLayer;
/// use shibuya_ratelimit::{ConcurrencyLimiter, Gradient2};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limit = ConcurrencyLimitLayer::new(ConcurrencyLimiter::adaptive(Gradient2::default()))
///     .wait(Duration::from_millis(50))
///     .classify(|outcome: Result<&u16, &&str>| match outcome {
///         Ok(503) | Err(&"timed out") => Some(Outcome::Overloaded),
///         Ok(_) => Some(Outcome::Success),
///         Err(_) => None,
///     });
/// let limiter = limit.limiter().clone(); // to look at
/// let server = service_fn(async |busy: bool| if busy { Err("timed out") } else { Ok(200) });
/// let service = ServiceBuilder::new().layer(limit).service(server);
/// service.clone().oneshot(false).await.unwrap();
/// service.clone().oneshot(true).await.unwrap_err();
/// let seen = limiter.snapshot();
/// assert_eq!((seen.succeeded, seen.overloaded, seen.in_flight), (1, 1, 0));
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct ConcurrencyLimitLayer<L, J = OkIsSuccess, A = AsError> {
    limit: L,
    max: Duration,
    judge: J,
    answer: A,
}

impl<T> ConcurrencyLimitLayer<Arc<T>> {
    /// Goes by a [`ConcurrencyLimiter`], or a [`KeyedConcurrency`] that is told the [`key`](Self::key).
    pub fn new(limiter: T) -> Self {
        Self::shared(Arc::new(limiter))
    }

    /// As [`new`](Self::new), with a limiter that others go by, too.
    pub fn shared(limiter: Arc<T>) -> Self {
        Self::with(limiter)
    }
}

impl<L> ConcurrencyLimitLayer<L> {
    /// Goes by a limit that has a rate, too: a [`Throttle`], or a [`KeyedThrottle`] that is told the [`key`](Self::key). The slot
    /// comes first, and what the call takes is counted from the token on.
    pub fn throttle(throttle: L) -> Self {
        Self::with(throttle)
    }

    /// Gives each key a limit of its own: such as the host that is called, or the tenant. What `key` panics with, the call does.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_ratelimit::tower::ConcurrencyLimitLayer;
    /// use shibuya_ratelimit::{ConcurrencyLimiter, KeyedConcurrency};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limit = ConcurrencyLimitLayer::new(KeyedConcurrency::new(|_| ConcurrencyLimiter::fixed(1)))
    ///     .key(|host: &&'static str| *host);
    /// let service = ServiceBuilder::new()
    ///     .layer(limit)
    ///     .service(service_fn(async |host| Ok::<&str, ()>(host)));
    /// assert_eq!(service.oneshot("example.org").await, Ok("example.org"));
    /// # }
    /// ```
    pub fn key<Req, K, F>(self, key: F) -> ConcurrencyLimitLayer<ByKey<L, F>>
    where
        F: Fn(&Req) -> K,
    {
        let mut layer = ConcurrencyLimitLayer::with(ByKey {
            limits: self.limit,
            key,
        });
        layer.max = self.max;
        layer
    }

    fn with(limit: L) -> Self {
        Self {
            limit,
            max: Duration::ZERO,
            judge: OkIsSuccess,
            answer: AsError,
        }
    }
}

impl<L, J, A> ConcurrencyLimitLayer<L, J, A> {
    /// What it goes by: to look at it, or set it.
    pub fn limiter(&self) -> &L {
        &self.limit
    }

    /// Lets calls wait for a slot, in line: `max` at the longest, and not past the [deadline in force](shibuya_cancel). With
    /// [`Duration::MAX`] they wait as long as it takes.
    ///
    /// How many may wait is up to the limiter: [`ConcurrencyLimiter::max_waiters`].
    pub fn wait(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Tells the limit of each call what `classify` says: a success, an overload, or with `None` nothing. Unless told, a response is
    /// a success, and an error says nothing.
    pub fn classify<F, Res, E>(self, classify: F) -> ConcurrencyLimitLayer<L, By<F>, A>
    where
        F: Fn(Result<&Res, &E>) -> Option<Outcome>,
    {
        self.judge(By(classify))
    }

    /// As [`classify`](Self::classify), by a [`Classify`].
    pub fn judge<J2>(self, judge: J2) -> ConcurrencyLimitLayer<L, J2, A> {
        ConcurrencyLimitLayer {
            limit: self.limit,
            max: self.max,
            judge,
            answer: self.answer,
        }
    }
}

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl<L, J, A> ConcurrencyLimitLayer<L, J, A> {
    /// For HTTP: goes by the status of a response, see [`ByStatus`](super::ByStatus), and gives a call that is denied an empty 503 instead of an
    /// error. That has a `Retry-After` where a time is known, such as for a [`throttle`](ConcurrencyLimitLayer::throttle).
    ///
    /// The error of the service stays what it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use http::{Request, Response};
    /// use shibuya_ratelimit::ConcurrencyLimiter;
    /// use shibuya_ratelimit::tower::ConcurrencyLimitLayer;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Infallible> {
    /// async fn hello(_: Request<()>) -> Result<Response<String>, Infallible> {
    ///     Ok(Response::new("hello".into()))
    /// }
    ///
    /// let limit = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1)).http();
    /// let _under_way = limit.limiter().clone().try_acquire_owned().unwrap();
    /// let service = ServiceBuilder::new().layer(limit).service(service_fn(hello));
    /// assert_eq!(service.oneshot(Request::new(())).await?.status(), 503);
    /// # Ok(())
    /// # }
    /// ```
    pub fn http(self) -> ConcurrencyLimitLayer<L, super::ByStatus, super::AsResponse> {
        self.respond(super::Empty)
    }

    /// As [`http`](Self::http), with the response that `make` makes; a status of 200 is replaced, and a `Retry-After` is not.
    pub fn respond_with<B, F>(
        self,
        make: F,
    ) -> ConcurrencyLimitLayer<L, super::ByStatus, super::AsResponse<F>>
    where
        F: Fn(Denied) -> ::http::Response<B>,
    {
        self.respond(make)
    }

    fn respond<M>(
        self,
        make: M,
    ) -> ConcurrencyLimitLayer<L, super::ByStatus, super::AsResponse<M>> {
        ConcurrencyLimitLayer {
            limit: self.limit,
            max: self.max,
            judge: super::ByStatus,
            answer: super::AsResponse {
                status: ::http::StatusCode::SERVICE_UNAVAILABLE,
                policy: None,
                make,
            },
        }
    }
}

impl<S, L: Clone, J: Clone, A: Clone> Layer<S> for ConcurrencyLimitLayer<L, J, A> {
    type Service = ConcurrencyLimitService<S, L, J, A>;

    fn layer(&self, service: S) -> Self::Service {
        ConcurrencyLimitService {
            service,
            layer: self.clone(),
        }
    }
}

/// The service of [`ConcurrencyLimitLayer`].
#[derive(Clone, Copy)]
pub struct ConcurrencyLimitService<S, L, J = OkIsSuccess, A = AsError> {
    service: S,
    layer: ConcurrencyLimitLayer<L, J, A>,
}

impl<S, Req, L, J, A> Service<Req> for ConcurrencyLimitService<S, L, J, A>
where
    S: Service<Req> + Clone,
    L: Concurrency<Req> + Clone,
    J: Classify<S::Response, S::Error> + Clone,
    A: Answer<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = ConcurrencyLimitFuture<S, Req, L, J, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let answer = &self.layer.answer;
        self.service
            .poll_ready(cx)
            .map_err(|error| answer.failed(error))
    }

    /// Asks the limit, when the future is polled, and calls the service once it has a slot.
    ///
    /// # Cancel safety
    ///
    /// As safe as the service. The slot goes to the next in line, and nothing is learnt from the call.
    fn call(&mut self, request: Req) -> Self::Future {
        let next = self.service.clone();
        let ready = std::mem::replace(&mut self.service, next);
        let ConcurrencyLimitLayer {
            limit,
            max,
            judge,
            answer,
        } = self.layer.clone();
        ConcurrencyLimitFuture {
            limit,
            max,
            judge,
            answer,
            ready: Some((ready, request)),
            stage: Stage::New,
        }
    }
}

pin_project! {
    /// The future of [`ConcurrencyLimitService`].
    ///
    /// Dropping it leaves the line, or drops the call, of which the limit learns nothing.
    ///
    /// # Cancel safety
    ///
    /// As safe as the service. The slot goes to the next in line.
    ///
    /// # Errors
    ///
    /// What [`Answer`] says: unless told, [`CallError::Denied`](super::CallError::Denied), in which case the service was not called,
    /// and [`CallError::Failed`](super::CallError::Failed) with its own error.
    ///
    /// # Panics
    ///
    /// When it is polled after it completed.
    #[must_use = "futures do nothing unless polled"]
    pub struct ConcurrencyLimitFuture<S, Req, L, J, A>
    where
        S: Service<Req>,
        L: Concurrency<Req>,
    {
        limit: L,
        max: Duration,
        judge: J,
        answer: A,
        // The service that was ready, until it is called.
        ready: Option<(S, Req)>,
        #[pin]
        stage: Stage<L::Wait, S::Future, L::Limiter>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<W, F, P>
    where
        P: Deref<Target = ConcurrencyLimiter>,
    {
        New,
        Wait {
            #[pin]
            wait: W,
        },
        Call {
            #[pin]
            fut: F,
            permit: Option<Permit<P>>,
        },
        Done,
    }
}

impl<S, Req, L, J, A> Future for ConcurrencyLimitFuture<S, Req, L, J, A>
where
    S: Service<Req>,
    L: Concurrency<Req>,
    J: Classify<S::Response, S::Error>,
    A: Answer<S::Response, S::Error>,
{
    type Output = Result<S::Response, A::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let outcome = loop {
            let turn = match this.stage.as_mut().project() {
                StageProj::New => {
                    let (_, request) = this.ready.as_ref().expect("it has one until its turn");
                    if !this.max.is_zero() {
                        let wait = this.limit.acquire(request, *this.max);
                        this.stage.set(Stage::Wait { wait });
                        continue;
                    }
                    this.limit.try_acquire(request)
                }
                StageProj::Wait { wait } => ready!(wait.poll(cx)),
                StageProj::Call { fut, permit } => {
                    let outcome = ready!(fut.poll(cx));
                    let verdict = this.judge.classify(outcome.as_ref());
                    let permit = permit.take().expect("it was given one");
                    match verdict {
                        Some(Outcome::Success) => permit.success(),
                        Some(Outcome::Overloaded) => permit.overloaded(),
                        None => permit.ignore(),
                    }
                    break outcome.map_err(|error| this.answer.failed(error));
                }
                StageProj::Done => panic!("`ConcurrencyLimitFuture` polled after it was done"),
            };
            // A service that is not called gives up what it set aside.
            let (mut service, request) = this.ready.take().expect("it has one until its turn");
            match turn {
                Ok(permit) => {
                    let fut = service.call(request);
                    let permit = Some(permit);
                    this.stage.set(Stage::Call { fut, permit });
                }
                Err(denied) => break this.answer.denied(denied),
            }
        };
        this.stage.set(Stage::Done);
        Poll::Ready(outcome)
    }
}

impl<L: fmt::Debug, J, A> fmt::Debug for ConcurrencyLimitLayer<L, J, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitLayer")
            .field("limit", &self.limit)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, L: fmt::Debug, J, A> fmt::Debug for ConcurrencyLimitService<S, L, J, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitService")
            .field("service", &self.service)
            .field("limit", &self.layer.limit)
            .finish_non_exhaustive()
    }
}

impl<S, Req, L, J, A> fmt::Debug for ConcurrencyLimitFuture<S, Req, L, J, A>
where
    S: Service<Req>,
    L: Concurrency<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimitFuture")
            .finish_non_exhaustive()
    }
}
