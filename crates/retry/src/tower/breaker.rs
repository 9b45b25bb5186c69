use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::breaker::{Breaker, CallError, Open, Permit};

/// Calls a service only while a [`Breaker`] lets calls through.
///
/// The breaker is asked by the call and not before: a service that waits for its turn holds no probe.
///
/// # Examples
///
/// ```
/// use shibuya_retry::tower::BreakerLayer;
/// use shibuya_retry::{Breaker, CallError};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker = Breaker::builder().min_calls(2).build();
/// let layer = BreakerLayer::new(&breaker, |outcome: Result<&u32, &&str>| outcome.is_err());
/// let down = service_fn(async |_: ()| Err::<u32, _>("down"));
/// let mut service = ServiceBuilder::new().layer(layer).service(down);
/// for _ in 0..2 {
///     let failed = service.ready().await.unwrap().call(()).await;
///     assert_eq!(failed, Err(CallError::Failed("down")));
/// }
/// let refused = service.ready().await.unwrap().call(()).await;
/// assert!(refused.unwrap_err().is_open());
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct BreakerLayer<'b, P> {
    breaker: &'b Breaker,
    is_failure: P,
}

impl<'b, P> BreakerLayer<'b, P> {
    /// What `is_failure` says speaks against the other side: an error, or a response such as a 503. All else
    /// is a success.
    pub fn new<Res, E>(breaker: &'b Breaker, is_failure: P) -> Self
    where
        P: Fn(Result<&Res, &E>) -> bool,
    {
        Self {
            breaker,
            is_failure,
        }
    }
}

impl<'b, S, P: Clone> Layer<S> for BreakerLayer<'b, P> {
    type Service = BreakerService<'b, S, P>;

    fn layer(&self, service: S) -> Self::Service {
        BreakerService {
            service,
            layer: self.clone(),
        }
    }
}

/// The service of [`BreakerLayer`].
#[derive(Clone, Copy)]
pub struct BreakerService<'b, S, P> {
    service: S,
    layer: BreakerLayer<'b, P>,
}

impl<'b, S, Req, P> Service<Req> for BreakerService<'b, S, P>
where
    S: Service<Req>,
    P: Fn(Result<&S::Response, &S::Error>) -> bool + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = BreakerFuture<'b, S::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(CallError::Failed)
    }

    /// Asks the breaker, and calls the service if it may.
    ///
    /// # Cancel safety
    ///
    /// As safe as the service. The place of a probe is free again.
    fn call(&mut self, request: Req) -> Self::Future {
        let stage = match self.layer.breaker.try_acquire() {
            Ok(permit) => Stage::Call {
                fut: self.service.call(request),
                permit: Some(permit),
            },
            Err(open) => Stage::Refused { open },
        };
        BreakerFuture {
            stage,
            is_failure: self.layer.is_failure.clone(),
        }
    }
}

pin_project! {
    /// The future of [`BreakerService`].
    ///
    /// Dropping it drops the call, which is no vote.
    ///
    /// # Cancel safety
    ///
    /// As safe as the service. The place of a probe is free again.
    ///
    /// # Errors
    ///
    /// [`CallError::Open`] when no call may go through, in which case the service was not called, and
    /// [`CallError::Failed`] with its own error.
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerFuture<'b, F, P> {
        #[pin]
        stage: Stage<'b, F>,
        is_failure: P,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<'b, F> {
        Refused {
            open: Open,
        },
        Call {
            #[pin]
            fut: F,
            permit: Option<Permit<'b>>,
        },
        Done,
    }
}

impl<F, Res, E, P> Future for BreakerFuture<'_, F, P>
where
    F: Future<Output = Result<Res, E>>,
    P: Fn(Result<&Res, &E>) -> bool,
{
    type Output = Result<Res, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.stage.as_mut().project() {
            StageProj::Refused { open } => Err(CallError::Open(*open)),
            StageProj::Call { fut, permit } => {
                let answer = ready!(fut.poll(cx));
                let permit = permit.take().expect("it was given one");
                match (this.is_failure)(answer.as_ref()) {
                    true => permit.failure(),
                    false => permit.success(),
                }
                answer.map_err(CallError::Failed)
            }
            StageProj::Done => panic!("`BreakerFuture` polled after it was done"),
        };
        this.stage.set(Stage::Done);
        Poll::Ready(answer)
    }
}

impl<P> fmt::Debug for BreakerLayer<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("breaker", self.breaker)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, P> fmt::Debug for BreakerService<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("service", &self.service)
            .field("breaker", self.layer.breaker)
            .finish_non_exhaustive()
    }
}

impl<F, P> fmt::Debug for BreakerFuture<'_, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerFuture").finish_non_exhaustive()
    }
}
