use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::{Answer, AsError};
use super::key::ByKey;
use crate::{AcquireKeyed, AcquireOwned, Denied, Keyed, RateLimiter, RateSnapshot};

/// What a [`RateLimitLayer`] can go by: a [`RateLimiter`], or [`ByKey`] a [`Keyed`].
///
/// A clone must be the same limit.
pub trait Rate<Req> {
    /// By what it tells requests apart.
    type Key;

    /// Waits for a turn.
    type Wait: Future<Output = Result<(), Denied>>;

    /// The key of a request.
    fn key(&self, request: &Req) -> Self::Key;

    /// One at once.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn try_acquire(&self, key: &Self::Key) -> Result<(), Denied>;

    /// One within `max`.
    fn acquire(&self, key: &Self::Key, max: Duration) -> Self::Wait;

    /// How it stands.
    fn snapshot(&self, key: &Self::Key) -> RateSnapshot;
}

impl<Req> Rate<Req> for RateLimiter {
    type Key = ();
    type Wait = AcquireOwned;

    fn key(&self, _: &Req) {}

    fn try_acquire(&self, (): &()) -> Result<(), Denied> {
        self.try_acquire()
    }

    fn acquire(&self, (): &(), max: Duration) -> AcquireOwned {
        self.acquire_owned_within(1, max)
    }

    fn snapshot(&self, (): &()) -> RateSnapshot {
        self.snapshot()
    }
}

impl<Req, K, S, F> Rate<Req> for ByKey<Keyed<K, S>, F>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    F: Fn(&Req) -> K,
{
    type Key = K;
    type Wait = AcquireKeyed<K, S>;

    fn key(&self, request: &Req) -> K {
        (self.key)(request)
    }

    fn try_acquire(&self, key: &K) -> Result<(), Denied> {
        self.limits.try_acquire(key)
    }

    fn acquire(&self, key: &K, max: Duration) -> AcquireKeyed<K, S> {
        self.limits.acquire_within(key, 1, max)
    }

    fn snapshot(&self, key: &K) -> RateSnapshot {
        self.limits.snapshot(key)
    }
}

/// Calls a service no faster than a rate.
///
/// All services that it makes, and their clones, have the same limit. What comes too fast is denied at once, unless it may
/// [`wait`](Self::wait).
///
/// # Examples
///
/// A limit for all calls together:
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::RateLimiter;
/// use shibuya_ratelimit::tower::RateLimitLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limit = RateLimiter::per_second(100).burst(2);
/// let hello = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(limit))
///     .service(service_fn(async |name: &str| Ok::<_, String>(format!("hello, {name}"))));
/// for _ in 0..2 {
///     assert_eq!(hello.clone().oneshot("world").await.unwrap(), "hello, world");
/// }
/// let error = hello.clone().oneshot("world").await.unwrap_err();
/// assert_eq!(error.denied().unwrap().retry_after(), Some(Duration::from_millis(10)));
/// # }
/// ```
///
/// One for each client, which waits for a moment first:
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::tower::RateLimitLayer;
/// use shibuya_ratelimit::{Keyed, Quota};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// struct Request {
///     client: u32,
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limit = RateLimitLayer::new(Keyed::new(Quota::per_second(100)))
///     .key(|request: &Request| request.client)
///     .wait(Duration::from_millis(15));
/// let served = ServiceBuilder::new()
///     .layer(limit)
///     .service(service_fn(async |_: Request| Ok::<_, String>(())));
/// let call = |client| served.clone().oneshot(Request { client });
/// let calls = [call(1), call(1), call(1), call(2)].map(tokio::spawn);
/// let mut granted = Vec::new();
/// for call in calls {
///     granted.push(call.await.unwrap().is_ok());
/// }
/// assert_eq!(granted, [true, true, false, true]); // the third of client 1 would have come after 20 ms
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct RateLimitLayer<L, A = AsError> {
    limit: L,
    max: Duration,
    answer: A,
}

impl<L> RateLimitLayer<L> {
    /// Goes by a [`RateLimiter`], or a [`Keyed`] that is told the [`key`](Self::key).
    pub fn new(limit: L) -> Self {
        Self {
            limit,
            max: Duration::ZERO,
            answer: AsError,
        }
    }
}

impl<L, A> RateLimitLayer<L, A> {
    /// Gives each key a limit of its own: such as the client's address, or its account. What `key` panics with, the call does.
    pub fn key<Req, K, F>(self, key: F) -> RateLimitLayer<ByKey<L, F>, A>
    where
        F: Fn(&Req) -> K,
    {
        RateLimitLayer {
            limit: ByKey {
                limits: self.limit,
                key,
            },
            max: self.max,
            answer: self.answer,
        }
    }

    /// Lets calls wait for their turn, in line: `max` at the longest, and not past the [deadline in force](shibuya_cancel). A turn that is
    /// known to come later is denied at once. With [`Duration::MAX`] they wait as long as it takes.
    ///
    /// A server should not let them wait for long: the line is as long as the rate times this, and all in it keep their
    /// requests.
    pub fn wait(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    #[cfg(feature = "http")]
    fn answer<B>(self, answer: B) -> RateLimitLayer<L, B> {
        RateLimitLayer {
            limit: self.limit,
            max: self.max,
            answer,
        }
    }
}

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl<L, A> RateLimitLayer<L, A> {
    /// For HTTP: tells in each response how the rate stands, and gives a call that is denied a response instead of an error.
    ///
    /// That is a 429 with `Retry-After`, or a 503 where the limit is closed or can't be asked. Its body is empty. The fields are
    /// those of [`http`](crate::http), of a policy named `default`; the numbers are as of the response. The error of the service stays what
    /// it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use shibuya_ratelimit::tower::RateLimitLayer;
    /// use shibuya_ratelimit::{Keyed, Quota};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), std::convert::Infallible> {
    /// # type Reply = Result<Response<String>, std::convert::Infallible>;
    /// let account = |request: &Request<()>| request.headers().get("x-account").cloned();
    /// let limit = RateLimitLayer::new(Keyed::new(Quota::per_minute(4).burst(1)))
    ///     .key(account)
    ///     .headers()
    ///     .policy("searches");
    /// let search = ServiceBuilder::new()
    ///     .layer(limit)
    ///     .service(service_fn(async |_| -> Reply { Ok(Response::new("found".into())) }));
    /// let call = || search.clone().oneshot(Request::new(()));
    ///
    /// let granted = call().await?;
    /// assert_eq!(granted.body(), "found");
    /// assert_eq!(granted.headers()["ratelimit-policy"], r#""searches";q=1;w=15"#);
    ///
    /// let denied = call().await?;
    /// assert_eq!(denied.status(), 429);
    /// assert_eq!(denied.headers()["retry-after"], "15");
    /// assert_eq!(denied.headers()["ratelimit"], r#""searches";r=0;t=15"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(self) -> RateLimitLayer<L, super::AsResponse> {
        self.respond(super::Empty)
    }

    /// As [`headers`](Self::headers), with the response that `make` makes; a status of 200 is replaced, and a `Retry-After` is not.
    pub fn respond_with<B, F>(self, make: F) -> RateLimitLayer<L, super::AsResponse<F>>
    where
        F: Fn(Denied) -> ::http::Response<B>,
    {
        self.respond(make)
    }

    fn respond<M>(self, make: M) -> RateLimitLayer<L, super::AsResponse<M>> {
        self.answer(super::AsResponse {
            status: ::http::StatusCode::TOO_MANY_REQUESTS,
            policy: Some("default"),
            make,
        })
    }
}

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl<L, M> RateLimitLayer<L, super::AsResponse<M>> {
    /// The name of the policy in the fields.
    ///
    /// # Panics
    ///
    /// When it has other characters than the visible ones of ASCII, and spaces.
    #[track_caller]
    pub fn policy(mut self, name: &'static str) -> Self {
        crate::http::check(name);
        self.answer.policy = Some(name);
        self
    }
}

impl<S, L: Clone, A: Clone> Layer<S> for RateLimitLayer<L, A> {
    type Service = RateLimitService<S, L, A>;

    fn layer(&self, service: S) -> Self::Service {
        RateLimitService {
            service,
            layer: self.clone(),
        }
    }
}

/// The service of [`RateLimitLayer`].
#[derive(Clone, Copy)]
pub struct RateLimitService<S, L, A = AsError> {
    service: S,
    layer: RateLimitLayer<L, A>,
}

impl<S, Req, L, A> Service<Req> for RateLimitService<S, L, A>
where
    S: Service<Req> + Clone,
    L: Rate<Req> + Clone,
    A: Answer<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = A::Error;
    type Future = RateLimitFuture<S, Req, L, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let answer = &self.layer.answer;
        self.service
            .poll_ready(cx)
            .map_err(|error| answer.failed(error))
    }

    /// Asks the limit, when the future is polled, and calls the service once it may.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped before its turn takes nothing, and all behind it move up. From then on it is as safe as the service, and the
    /// turn is spent.
    fn call(&mut self, request: Req) -> Self::Future {
        let next = self.service.clone();
        let ready = std::mem::replace(&mut self.service, next);
        let RateLimitLayer { limit, max, answer } = self.layer.clone();
        RateLimitFuture {
            key: limit.key(&request),
            limit,
            max,
            answer,
            ready: Some((ready, request)),
            stage: Stage::New,
        }
    }
}

pin_project! {
    /// The future of [`RateLimitService`].
    ///
    /// Dropping it leaves the line, or drops the call.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped before its turn takes nothing, and all behind it move up. From then on it is as safe as the service, and the
    /// turn is spent.
    ///
    /// # Errors
    ///
    /// What [`Answer`] says: unless told, [`CallError::Denied`](super::CallError::Denied), in which case the service was not called,
    /// and [`CallError::Failed`](super::CallError::Failed) with its own error.
    ///
    /// # Panics
    ///
    /// When it has to wait outside of a Tokio runtime with timers, or is polled after it completed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitFuture<S, Req, L, A>
    where
        S: Service<Req>,
        L: Rate<Req>,
    {
        limit: L,
        key: L::Key,
        max: Duration,
        answer: A,
        // The service that was ready, until it is called.
        ready: Option<(S, Req)>,
        #[pin]
        stage: Stage<L::Wait, S::Future>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<W, F> {
        New,
        Wait {
            #[pin]
            wait: W,
        },
        Call {
            #[pin]
            fut: F,
        },
        Done,
    }
}

impl<S, Req, L, A> Future for RateLimitFuture<S, Req, L, A>
where
    S: Service<Req>,
    L: Rate<Req>,
    A: Answer<S::Response, S::Error>,
{
    type Output = Result<S::Response, A::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut outcome = loop {
            let turn = match this.stage.as_mut().project() {
                StageProj::New if this.max.is_zero() => this.limit.try_acquire(this.key),
                StageProj::New => {
                    let wait = this.limit.acquire(this.key, *this.max);
                    this.stage.set(Stage::Wait { wait });
                    continue;
                }
                StageProj::Wait { wait } => ready!(wait.poll(cx)),
                StageProj::Call { fut } => {
                    let outcome = ready!(fut.poll(cx));
                    break outcome.map_err(|error| this.answer.failed(error));
                }
                StageProj::Done => panic!("`RateLimitFuture` polled after it was done"),
            };
            // A service that is not called gives up what it set aside.
            let (mut service, request) = this.ready.take().expect("it has one until its turn");
            match turn {
                Ok(()) => {
                    let fut = service.call(request);
                    this.stage.set(Stage::Call { fut });
                }
                Err(denied) => break this.answer.denied(denied),
            }
        };
        this.stage.set(Stage::Done);
        if let Ok(response) = &mut outcome {
            this.answer.tell(response, || this.limit.snapshot(this.key));
        }
        Poll::Ready(outcome)
    }
}

impl<L: fmt::Debug, A> fmt::Debug for RateLimitLayer<L, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limit", &self.limit)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, L: fmt::Debug, A> fmt::Debug for RateLimitService<S, L, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitService")
            .field("service", &self.service)
            .field("limit", &self.layer.limit)
            .finish_non_exhaustive()
    }
}

impl<S, Req, L, A> fmt::Debug for RateLimitFuture<S, Req, L, A>
where
    S: Service<Req>,
    L: Rate<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}
