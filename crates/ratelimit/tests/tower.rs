//! The layers: when the limit is asked, which service is called, and what the caller gets.
#![cfg(all(feature = "tower", not(shibuya_loom)))]

use std::error::Error;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use shibuya_cancel::timeout;
use shibuya_ratelimit::concurrency::{Algorithm, Outcome, Sample};
use shibuya_ratelimit::tower::{CallError, ConcurrencyLimitLayer, RateLimitLayer};
use shibuya_ratelimit::{
    ConcurrencyLimiter, Denied, Keyed, KeyedConcurrency, KeyedThrottle, Quota, RateLimiter,
    Throttle,
};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

type BoxError = Box<dyn Error + Send + Sync>;

/// Takes so many milliseconds for a call, and fails those of an odd number. It panics if a clone is called that was not ready, and
/// counts how many are.
struct Server {
    shared: Arc<Shared>,
    is_ready: bool,
}

#[derive(Default)]
struct Shared {
    ready: AtomicUsize,
    calls: AtomicUsize,
    is_down: AtomicBool,
}

impl Server {
    fn new() -> Self {
        Self {
            shared: Arc::default(),
            is_ready: false,
        }
    }

    fn calls(&self) -> usize {
        self.shared.calls.load(SeqCst)
    }

    fn ready(&self) -> usize {
        self.shared.ready.load(SeqCst)
    }

    fn forget(&mut self) {
        if std::mem::take(&mut self.is_ready) {
            self.shared.ready.fetch_sub(1, SeqCst);
        }
    }
}

/// Ready is not inherited: that is tower's rule.
impl Clone for Server {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_ready: false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Service<u64> for Server {
    type Response = u64;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<u64, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.shared.is_down.load(SeqCst) {
            return Poll::Ready(Err("down"));
        }
        if !std::mem::replace(&mut self.is_ready, true) {
            self.shared.ready.fetch_add(1, SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        assert!(self.is_ready, "it was not ready");
        self.forget();
        self.shared.calls.fetch_add(1, SeqCst);
        Box::pin(async move {
            sleep(Duration::from_millis(request)).await;
            if request % 2 == 1 {
                Err("odd")
            } else {
                Ok(request)
            }
        })
    }
}

fn denied<T>(outcome: Result<T, CallError<&'static str>>) -> Denied {
    match outcome {
        Err(CallError::Denied(denied)) => denied,
        Err(CallError::Failed(error)) => panic!("it failed: {error}"),
        Ok(_) => panic!("it was let through"),
    }
}

mod rate {
    use super::*;

    /// tower-rs/tower#794, tokio-rs/axum#2634.
    #[tokio::test(start_paused = true)]
    async fn all_services_and_clones_have_one_limit() {
        let limit = RateLimiter::per_second(5).burst(5);
        let layer = RateLimitLayer::new(limit.clone());
        let server = Server::new();
        let services = [
            layer.layer(server.clone()),
            layer.clone().layer(server.clone()),
        ];
        let mut granted = 0;
        for n in 0..1500 {
            granted += usize::from(services[n % 2].clone().oneshot(0).await.is_ok());
        }
        assert_eq!((granted, server.calls()), (5, 5));
        assert_eq!(limit.snapshot().remaining, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_only_ready_takes_nothing() {
        let limit = RateLimiter::per_second(1);
        let mut service = RateLimitLayer::new(limit.clone()).layer(Server::new());
        for _ in 0..3 {
            service.ready().await.unwrap();
        }
        let call = service.call(0);
        assert_eq!(limit.snapshot().remaining, 1);
        drop(call);
        assert_eq!(limit.snapshot().remaining, 1);
        assert_eq!(service.ready().await.unwrap().call(0).await, Ok(0));
        assert_eq!(limit.snapshot().remaining, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_denied_is_not_made() {
        let server = Server::new();
        let service = RateLimitLayer::new(RateLimiter::every(10 * MS)).layer(server.clone());
        assert_eq!(service.clone().oneshot(0).await, Ok(0));
        let outcome = service.clone().oneshot(0).await;
        assert_eq!(denied(outcome), Denied::RetryAfter(10 * MS));
        assert_eq!((server.calls(), server.ready()), (1, 0));
        advance(10 * MS).await;
        let failed = service.clone().oneshot(1).await;
        assert_eq!(failed, Err(CallError::Failed("odd")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_that_was_ready_is_called() {
        let server = Server::new();
        let layer = RateLimitLayer::new(RateLimiter::every(10 * MS)).wait(SEC);
        let mut service = layer.layer(server.clone());
        let mut calls = Vec::new();
        for n in 1..=3 {
            service.ready().await.unwrap();
            calls.push(tokio::spawn(service.call(0)));
            assert_eq!(server.ready(), n, "it is kept for the call");
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!((server.calls(), server.ready()), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_wait_in_line() {
        let limit = RateLimiter::every(10 * MS);
        let service = RateLimitLayer::new(limit)
            .wait(25 * MS)
            .layer(Server::new());
        let start = Instant::now();
        let calls = [(); 4].map(|()| {
            let call = service.clone().oneshot(0);
            tokio::spawn(async move { (call.await, start.elapsed().as_millis()) })
        });
        let mut at = Vec::new();
        for call in calls {
            at.push(call.await.unwrap());
        }
        for (n, (outcome, millis)) in at[..3].iter().enumerate() {
            assert_eq!((outcome, *millis / 10), (&Ok(0), n as u128));
        }
        // Its turn would have come too late.
        let (needs, remaining) = (30 * MS, 25 * MS);
        let hopeless = CallError::Denied(Denied::Hopeless { needs, remaining });
        assert_eq!(at[3], (Err(hopeless), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_the_scope_holds() {
        let limit = RateLimiter::per_minute(1);
        let service = RateLimitLayer::new(limit)
            .wait(Duration::MAX)
            .layer(Server::new());
        service.clone().oneshot(0).await.unwrap();
        let outcome = timeout(SEC, service.clone().oneshot(0)).await.unwrap();
        assert!(matches!(denied(outcome), Denied::Hopeless { .. }));
        // Without one it waits for as long as it takes.
        service.oneshot(0).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own() {
        let limit = Keyed::new(Quota::every(10 * MS)).slack(Duration::ZERO);
        for max in [Duration::ZERO, 5 * MS] {
            let layer = RateLimitLayer::new(limit.clone()).wait(max);
            let service = layer.key(|request: &u64| request % 4).layer(Server::new());
            for (request, is_granted) in [(0, true), (2, true), (4, false), (6, false)] {
                let outcome = service.clone().oneshot(request).await;
                let is_denied = matches!(outcome, Err(CallError::Denied(_)));
                assert_eq!(is_granted, !is_denied, "{request}: {outcome:?}");
            }
            advance(20 * MS).await;
        }
        assert_eq!(limit.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_down_is_not_counted() {
        let limit = RateLimiter::per_second(1);
        let server = Server::new();
        server.shared.is_down.store(true, SeqCst);
        let service = RateLimitLayer::new(limit.clone()).layer(server);
        assert_eq!(service.oneshot(0).await, Err(CallError::Failed("down")));
        assert_eq!(limit.snapshot().remaining, 1);
    }
}

#[test]
fn an_error_in_a_box_is_the_one_or_the_other() {
    let error: BoxError = CallError::Failed(std::fmt::Error).into();
    assert!(error.is::<std::fmt::Error>());
    let error: BoxError = CallError::Failed(error).into();
    assert!(error.is::<std::fmt::Error>());
    let denied = Denied::AtLimit { limit: 3 };
    let error: BoxError = CallError::<BoxError>::Denied(denied).into();
    assert_eq!(error.downcast_ref(), Some(&denied));
    let error = CallError::<&str>::Denied(denied);
    assert_eq!(error.to_string(), denied.to_string());
}

#[test]
fn a_call_may_go_to_another_thread() {
    fn send<T: Send + 'static>(value: T) -> T {
        value
    }
    let rate = RateLimitLayer::new(Keyed::new(Quota::per_second(1))).key(|n: &u64| *n);
    drop(send(rate.layer(Server::new()).oneshot(1)));
    let slots = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1));
    drop(send(slots.layer(Server::new()).oneshot(1)));
}

mod concurrency {
    use super::*;

    fn one() -> ConcurrencyLimitLayer<Arc<ConcurrencyLimiter>> {
        ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1))
    }

    #[tokio::test(start_paused = true)]
    async fn all_services_and_clones_have_one_limit() {
        let layer = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(2));
        let server = Server::new();
        let services = [layer.layer(server.clone()), layer.layer(server.clone())];
        let calls = [0, 1, 0, 1].map(|n: usize| tokio::spawn(services[n].clone().oneshot(10)));
        let mut granted = 0;
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => granted += 1,
                outcome => assert_eq!(denied(outcome), Denied::AtLimit { limit: 2 }),
            }
        }
        assert_eq!((granted, server.calls(), server.ready()), (2, 2, 0));
        services[0].clone().oneshot(10).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_only_ready_has_no_slot() {
        let layer = one();
        let mut service = layer.layer(Server::new());
        service.ready().await.unwrap();
        let call = service.call(0);
        assert_eq!(layer.limiter().snapshot().in_flight, 0);
        drop(call);
        assert_eq!(layer.limiter().snapshot().granted, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_wait_in_line() {
        let server = Server::new();
        let layer = one().wait(25 * MS);
        let service = layer.layer(server.clone());
        let start = Instant::now();
        let calls = [10, 12, 14, 16].map(|n| {
            let call = service.clone().oneshot(n);
            tokio::spawn(async move { (call.await, start.elapsed().as_millis()) })
        });
        let mut at = Vec::new();
        for call in calls {
            at.push(call.await.unwrap());
        }
        let late = CallError::Denied(Denied::TimedOut { after: 25 * MS });
        assert_eq!(
            at,
            [(Ok(10), 10), (Ok(12), 22), (Ok(14), 36), (Err(late), 25)]
        );
        assert_eq!((server.calls(), server.ready()), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_the_scope_holds() {
        let layer = one().wait(Duration::MAX);
        let _held = layer.limiter().clone().try_acquire_owned().unwrap();
        let start = Instant::now();
        let outcome = timeout(10 * MS, layer.layer(Server::new()).oneshot(0)).await;
        assert!(outcome.is_err());
        assert_eq!(start.elapsed(), 10 * MS);
        assert_eq!(layer.limiter().snapshot().waiters, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_a_success_and_an_error_says_nothing() {
        let layer = one();
        let service = layer.layer(Server::new());
        service.clone().oneshot(2).await.unwrap();
        let error = service.clone().oneshot(1).await;
        assert_eq!(error, Err(CallError::Failed("odd")));
        let seen = layer.limiter().snapshot();
        assert_eq!((seen.succeeded, seen.overloaded, seen.ignored), (1, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_may_say_what_it_was() {
        let layer = one();
        let limiter = layer.limiter().clone();
        let layer = layer.classify(|outcome: Result<&u64, &&str>| match outcome {
            Ok(0) => None,
            Ok(_) => Some(Outcome::Success),
            Err(_) => Some(Outcome::Overloaded),
        });
        let service = layer.layer(Server::new());
        for n in [0, 0, 0, 1, 1, 2] {
            let _ = service.clone().oneshot(n).await;
        }
        let seen = limiter.snapshot();
        assert_eq!((seen.succeeded, seen.overloaded, seen.ignored), (1, 2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_slot_is_free_when_the_response_is_there() {
        let layer = one();
        let body = service_fn(async |_: u64| Ok::<_, &'static str>(Arc::new(pending::<()>())));
        let service = layer.layer(body);
        let unread = service.clone().oneshot(0).await.unwrap();
        service.oneshot(0).await.unwrap();
        drop(unread);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_or_panics_frees_its_slot() {
        let layer = one();
        let service = layer.layer(Server::new());
        let call = timeout(MS, service.oneshot(10)).await;
        assert!(call.is_err());
        let mad = service_fn(|n: u64| async move {
            assert!(n > 0, "it is zero");
            Ok::<_, &str>(n)
        });
        let mad = layer.layer(mad);
        tokio::spawn(mad.clone().oneshot(0)).await.unwrap_err();
        assert_eq!(mad.oneshot(1).await, Ok(1));
        let seen = layer.limiter().snapshot();
        assert_eq!((seen.in_flight, seen.succeeded, seen.ignored), (0, 1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own() {
        let keys = Arc::new(KeyedConcurrency::new(|_: &u64| {
            ConcurrencyLimiter::fixed(1)
        }));
        let _held = keys.try_acquire_owned(2).unwrap();
        for max in [Duration::ZERO, MS] {
            let layer = ConcurrencyLimitLayer::shared(keys.clone()).wait(max);
            let service = layer.key(|n: &u64| n % 4).layer(Server::new());
            assert_eq!(service.clone().oneshot(4).await, Ok(4));
            denied(service.oneshot(6).await);
        }
        assert_eq!(keys.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_with_a_rate() {
        let slots = KeyedConcurrency::new(|_: &u64| ConcurrencyLimiter::fixed(1));
        let throttle = KeyedThrottle::new(Keyed::new(Quota::every(SEC)), slots);
        let _held = throttle.concurrency().try_acquire_owned(1).unwrap();
        for (max, granted) in [(Duration::ZERO, [true, false]), (2 * SEC, [true, true])] {
            let layer = ConcurrencyLimitLayer::throttle(throttle.clone()).wait(max);
            let service = layer.key(|n: &u64| n % 4).layer(Server::new());
            for is_granted in granted {
                assert_eq!(service.clone().oneshot(2).await.is_ok(), is_granted);
            }
            denied(service.oneshot(5).await);
        }
    }

    /// Keeps what it is told.
    #[derive(Debug)]
    struct Times(Arc<Mutex<Vec<Duration>>>);

    impl Algorithm for Times {
        fn limit(&self) -> usize {
            1
        }

        fn update(&mut self, sample: Sample, _: Instant) -> usize {
            self.0.lock().unwrap().push(sample.rtt);
            1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_rate_a_call_begins_with_its_token() {
        let times = Arc::default();
        let slots = ConcurrencyLimiter::adaptive(Times(Arc::clone(&times)));
        let throttle = Throttle::new(RateLimiter::every(100 * MS), slots);
        let layer = ConcurrencyLimitLayer::throttle(throttle);
        let service = layer.clone().wait(SEC).layer(Server::new());
        for _ in 0..2 {
            service.clone().oneshot(8).await.unwrap();
        }
        let outcome = layer.layer(Server::new()).oneshot(8).await;
        assert!(matches!(denied(outcome), Denied::RetryAfter(_)));
        assert_eq!(*times.lock().unwrap(), [8 * MS, 8 * MS]);
    }
}

#[cfg(feature = "http")]
mod http {
    use std::convert::Infallible;

    use ::http::header::RETRY_AFTER;
    use ::http::{Request, Response, StatusCode};
    use shibuya_ratelimit::http::{RATELIMIT, RATELIMIT_POLICY};
    use tower::ServiceBuilder;

    use super::*;

    type Reply = Response<String>;

    async fn hello(_: Request<()>) -> Result<Reply, Infallible> {
        Ok(Response::new(String::from("hello")))
    }

    /// The fields of that name, or `-`.
    fn fields<B>(response: &Response<B>, name: impl ::http::header::AsHeaderName) -> String {
        let all = response.headers().get_all(name).into_iter();
        let all: Vec<_> = all.map(|value| value.to_str().unwrap()).collect();
        if all.is_empty() {
            "-".into()
        } else {
            all.join(", ")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_tells_of_the_limit() {
        let limit = RateLimitLayer::new(RateLimiter::per_minute(30).burst(2)).headers();
        let service = limit.layer(service_fn(hello));
        let expected = [
            (200, "hello", r#""default";r=1;t=2"#, "-"),
            (200, "hello", r#""default";r=0;t=2"#, "-"),
            (429, "", r#""default";r=0;t=2"#, "2"),
        ];
        for (status, body, rate, after) in expected {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.body()[..]),
                (status, body)
            );
            assert_eq!(fields(&response, RATELIMIT), rate);
            assert_eq!(fields(&response, RATELIMIT_POLICY), r#""default";q=2;w=4"#);
            assert_eq!(fields(&response, RETRY_AFTER), after);
        }
        // Rounded up.
        advance(500 * MS).await;
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(fields(&response, RETRY_AFTER), "2");
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_by_retry_after_is_let_through() {
        let limit = RateLimitLayer::new(RateLimiter::every(1700 * MS)).headers();
        let service = limit.layer(service_fn(hello));
        for _ in 0..5 {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), 200);
            advance(300 * MS).await;
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), 429);
            let after = fields(&response, RETRY_AFTER).parse().unwrap();
            advance(Duration::from_secs(after)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_limits_are_told_of_together() {
        let all = RateLimitLayer::new(RateLimiter::per_second(100).burst(100)).headers();
        let each = RateLimitLayer::new(Keyed::new(Quota::per_minute(1)))
            .key(|request: &Request<()>| request.uri().clone())
            .headers();
        let service = ServiceBuilder::new()
            .layer(all.policy("all"))
            .layer(each.policy("each"))
            .service(service_fn(hello));
        for (status, limits) in [
            (200, r#""each";r=0;t=60, "all";r=99;t=1"#),
            (429, r#""each";r=0;t=60, "all";r=98;t=1"#),
        ] {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), status);
            let policies = r#""each";q=1;w=60, "all";q=100;w=1"#;
            assert_eq!(fields(&response, RATELIMIT_POLICY), policies);
            assert_eq!(fields(&response, RATELIMIT), limits);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_closed_is_no_fault_of_the_client() {
        let limit = RateLimiter::per_second(1);
        limit.close();
        let service = RateLimitLayer::new(limit)
            .headers()
            .layer(service_fn(hello));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_response_may_be_of_ones_own() {
        let make = |denied: Denied| {
            let mut response = Response::new(denied.to_string());
            if matches!(denied, Denied::AtLimit { .. }) {
                *response.status_mut() = StatusCode::IM_A_TEAPOT;
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, "77".parse().unwrap());
            }
            response
        };
        let rate = RateLimiter::per_minute(1);
        rate.try_acquire().unwrap();
        let service = RateLimitLayer::new(rate)
            .respond_with(make)
            .layer(service_fn(hello));
        let response: Reply = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.body()[..22]),
            (429, "the limit is reached: ")
        );
        assert_eq!(fields(&response, RETRY_AFTER), "60");

        let layer = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1));
        let _held = layer.limiter().clone().try_acquire_owned().unwrap();
        let service = layer.respond_with(make).layer(service_fn(hello));
        let response: Reply = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(fields(&response, RETRY_AFTER), "77");
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_tells_the_limit() {
        let layer = ConcurrencyLimitLayer::new(ConcurrencyLimiter::fixed(1));
        let limiter = layer.limiter().clone();
        let server = service_fn(async |status: u16| match status {
            0 => Err("reset"),
            status => Ok(Response::builder().status(status).body(()).unwrap()),
        });
        let service = layer.http().layer(server);
        for status in [200, 204, 404, 429, 503, 500, 504, 0] {
            let outcome = service.clone().oneshot(status).await;
            assert_eq!(
                outcome.map_or(0, |response| response.status().as_u16()),
                status
            );
        }
        let seen = limiter.snapshot();
        assert_eq!((seen.succeeded, seen.overloaded, seen.ignored), (3, 2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_a_slot_is_unavailable() {
        let rate = RateLimiter::every(1500 * MS);
        let layer =
            ConcurrencyLimitLayer::throttle(Throttle::new(rate, ConcurrencyLimiter::fixed(1)));
        let service = layer.http().layer(service_fn(async |_: Request<()>| {
            sleep(MS).await;
            Ok::<Reply, Infallible>(Response::default())
        }));
        let call = tokio::spawn(service.clone().oneshot(Request::new(())));
        tokio::task::yield_now().await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            seen.push((response.status().as_u16(), fields(&response, RETRY_AFTER)));
            sleep(2 * MS).await;
        }
        // For the slot nobody knows, for the rate it is known.
        assert_eq!(seen, [(503, "-".into()), (503, "2".into())]);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
}
