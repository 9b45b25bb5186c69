//! The layers: which service is called when, what the caller gets, and what is sent again.
#![cfg(all(feature = "tower", not(shibuya_loom)))]

use std::collections::VecDeque;
use std::error::Error;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use shibuya_cancel::timeout;
use shibuya_retry::tower::{BreakerLayer, Judge, RetryLayer, TimedOut};
use shibuya_retry::{Breaker, BreakerState, Budget, CallError, Failure, Jitter, Policy, Verdict};
use tokio::time::{Instant, sleep};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// 100, 200, 400 ms.
static EXACT: Policy = Policy::exponential(Duration::from_millis(100), SEC).jitter(Jitter::None);

type BoxError = Box<dyn Error + Send + Sync>;

fn copy(request: &u32) -> Option<u32> {
    Some(*request)
}

/// As for HTTP; a 429 asks for a second.
fn by_code(outcome: Result<&u32, Failure<&&str>>) -> Option<Verdict> {
    match outcome {
        Ok(..400) => None,
        Ok(429) => Some(Verdict::RetryAfter(SEC)),
        Ok(..500) => Some(Verdict::Abort),
        _ => Some(Verdict::Retry),
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Give(u32),
    Fail(&'static str),
    Hang,
}

use Answer::{Fail, Give, Hang};

/// Answers in order what it was told to, and keeps a log. It panics if a clone is called that was not ready.
struct Script {
    shared: Arc<Shared>,
    is_ready: bool,
}

struct Shared {
    begin: Instant,
    answers: Mutex<VecDeque<Answer>>,
    log: Mutex<Vec<(u64, &'static str)>>,
    ready: Mutex<Ready>,
}

/// What `poll_ready` says.
#[derive(Clone, Copy)]
enum Ready {
    Yes,
    Never,
    Closed,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Shared {
            begin: Instant::now(),
            answers: Mutex::new(answers.into_iter().collect()),
            log: Mutex::default(),
            ready: Mutex::new(Ready::Yes),
        };
        Self {
            shared: Arc::new(shared),
            is_ready: false,
        }
    }

    /// When that happened, in milliseconds.
    fn when(&self, what: &str) -> Vec<u64> {
        let log = self.shared.log.lock().unwrap();
        let those = log.iter().filter(|(_, event)| *event == what);
        those.map(|(at, _)| *at).collect()
    }

    fn get_ready(&self, ready: Ready) {
        *self.shared.ready.lock().unwrap() = ready;
    }
}

impl Shared {
    fn note(&self, what: &'static str) {
        let at = self.begin.elapsed().as_millis() as u64;
        self.log.lock().unwrap().push((at, what));
    }
}

/// Ready is not inherited: that is tower's rule.
impl Clone for Script {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_ready: false,
        }
    }
}

struct NoteDrop(Arc<Shared>);

impl Drop for NoteDrop {
    fn drop(&mut self) {
        self.0.note("drop");
    }
}

impl Service<u32> for Script {
    type Response = u32;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<u32, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        match *self.shared.ready.lock().unwrap() {
            Ready::Never => return Poll::Pending,
            Ready::Closed => return Poll::Ready(Err("closed")),
            Ready::Yes => {}
        }
        self.shared.note("ready");
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was not ready");
        self.shared.note("call");
        let answer = self.shared.answers.lock().unwrap().pop_front();
        let noted = NoteDrop(self.shared.clone());
        Box::pin(async move {
            let _noted = noted;
            tokio::task::yield_now().await;
            match answer.expect("an answer for each call") {
                Give(code) => Ok(code),
                Fail(error) => Err(error),
                Hang => pending().await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn it_tries_again_until_a_response_is_fine() {
    let script = Script::new([Give(503), Fail("reset"), Give(429), Give(200)]);
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    assert_eq!(layer.layer(script.clone()).oneshot(1).await, Ok(200));
    let calls = script.when("call");
    assert_eq!(calls[..3], [0, 100, 300]);
    assert!((1300..=1402).contains(&calls[3]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unsuccessful_response_is_a_response() {
    for (code, calls) in [(503, 4), (404, 1)] {
        let script = Script::new([Give(code); 4]);
        let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
        assert_eq!(layer.layer(script.clone()).oneshot(1).await, Ok(code));
        assert_eq!(script.when("call").len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_outcome_is_what_the_caller_gets() {
    let all = [Give(503), Fail("reset"), Give(500), Fail("down")];
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    let error = layer.layer(Script::new(all)).oneshot(1).await;
    assert_eq!(error, Err(Failure::Error("down")));
    let mut all = all;
    all.reverse();
    let response = layer.layer(Script::new(all)).oneshot(1).await;
    assert_eq!(response, Ok(503));
}

#[tokio::test(start_paused = true)]
async fn without_a_classifier_each_error_is_retried() {
    let script = Script::new([Fail("reset"), Hang, Give(503)]);
    let layer = RetryLayer::new(&EXACT, copy).attempt_timeout(SEC);
    assert_eq!(layer.layer(script.clone()).oneshot(1).await, Ok(503));
    assert_eq!(script.when("call"), [0, 100, 1300]);
}

#[tokio::test(start_paused = true)]
async fn the_service_is_asked_anew_before_each_attempt() {
    let script = Script::new([Give(503), Give(503), Give(200)]);
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    let mut service = layer.layer(script.clone());
    service.ready().await.unwrap();
    // Ready it stays, until it is called.
    sleep(SEC).await;
    assert_eq!(service.call(1).await, Ok(200));
    assert_eq!(script.when("ready"), [0, 1100, 1300]);
    assert_eq!(script.when("call"), [1000, 1100, 1300]);
}

#[tokio::test(start_paused = true)]
async fn a_place_under_a_limit_is_free_while_a_call_waits() {
    let script = Script::new([Give(503), Give(200), Give(201)]);
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(script.clone());
    let first = tokio::spawn(service.clone().oneshot(1));
    sleep(10 * MS).await;
    assert_eq!(timeout(MS, service.oneshot(2)).await.unwrap(), Ok(200));
    assert_eq!(first.await.unwrap(), Ok(201));
}

#[tokio::test(start_paused = true)]
async fn so_is_its_place_in_line_for_one() {
    let script = Script::new([Give(503), Give(200), Give(201)]);
    let limited = ConcurrencyLimitLayer::new(1).layer(script.clone());
    let layer = RetryLayer::new(&EXACT, copy)
        .classify(by_code)
        .attempt_timeout(50 * MS);
    let first = tokio::spawn(layer.layer(limited.clone()).oneshot(1));
    sleep(50 * MS).await;
    let mut other = limited.clone();
    other.ready().await.unwrap();
    // The second attempt stands in line from 100 to 150, and the next one comes at 350.
    sleep(130 * MS).await;
    drop(other);
    sleep(20 * MS).await;
    assert_eq!(timeout(MS, limited.oneshot(2)).await.unwrap(), Ok(200));
    assert_eq!(first.await.unwrap(), Ok(201));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_dropped_before_the_wait() {
    let script = Script::new([Hang, Give(503), Give(200)]);
    let layer = RetryLayer::new(&EXACT, copy)
        .classify(by_code)
        .attempt_timeout(50 * MS);
    assert_eq!(layer.layer(script.clone()).oneshot(1).await, Ok(200));
    assert_eq!(script.when("call"), [0, 150, 350]);
    assert_eq!(script.when("drop"), [50, 150, 350]);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_dropped_before_the_next_attempt() {
    let held = Arc::new(());
    let service = service_fn(|_: u32| {
        assert_eq!(Arc::strong_count(&held), 1, "the last response lives");
        ready(Ok::<_, &str>(held.clone()))
    });
    let layer = RetryLayer::new(&EXACT, copy)
        .classify(|_: Result<&Arc<()>, Failure<&&str>>| Some(Verdict::Retry));
    let last = layer.layer(service).oneshot(1).await.unwrap();
    assert_eq!(Arc::strong_count(&last), 2);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_an_error() {
    let script = Script::new([Hang; 4]);
    let layer = RetryLayer::new(&EXACT, copy)
        .classify(by_code)
        .attempt_timeout(SEC);
    let error = layer.layer(script.clone()).oneshot(1).await;
    assert_eq!(error, Err(Failure::TimedOut));
    assert_eq!(script.when("call"), [0, 1100, 2300, 3700]);
    assert_eq!(script.when("drop"), [1000, 2100, 3300, 4700]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_service_is_within_the_attempt() {
    let script = Script::new([Give(503), Give(200)]);
    let layer = RetryLayer::new(&EXACT, once_more_if_unsent())
        .classify(by_code)
        .attempt_timeout(50 * MS);
    let call = tokio::spawn(layer.layer(script.clone()).oneshot(1));
    sleep(10 * MS).await;
    script.get_ready(Ready::Never);
    sleep(200 * MS).await;
    script.get_ready(Ready::Yes);
    // Its second attempt was never sent, so it needs no copy for the third.
    assert_eq!(call.await.unwrap(), Ok(200));
    assert_eq!(script.when("call"), [0, 350]);
}

/// Copies a request once.
fn once_more_if_unsent() -> impl Fn(&u32) -> Option<u32> + Clone + Send + 'static {
    let left = Arc::new(Mutex::new(Some(1)));
    move |_| left.lock().unwrap().take()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_get_ready_is_called_no_more() {
    let script = Script::new([Give(503)]);
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    let call = tokio::spawn(layer.layer(script.clone()).oneshot(1));
    sleep(10 * MS).await;
    script.get_ready(Ready::Closed);
    assert_eq!(call.await.unwrap(), Err(Failure::Error("closed")));
    assert_eq!(script.when("call"), [0]);
    let error = layer.layer(script).oneshot(1).await;
    assert_eq!(error, Err(Failure::Error("closed")));
}

#[tokio::test(start_paused = true)]
async fn what_cant_be_copied_is_sent_once() {
    for answer in [Give(503), Fail("reset"), Hang] {
        let script = Script::new([answer]);
        let layer = RetryLayer::new(&EXACT, |_: &u32| None)
            .classify(by_code)
            .attempt_timeout(SEC);
        let outcome = layer.layer(script.clone()).oneshot(1).await;
        let expected = match answer {
            Give(code) => Ok(code),
            Fail(error) => Err(Failure::Error(error)),
            Hang => Err(Failure::TimedOut),
        };
        assert_eq!(outcome, expected);
        assert_eq!(script.when("call"), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_over_all_calls_and_keeps_the_outcome() {
    let budget = Budget::ratio(0.0).burst(3).min_per_sec(0);
    let script = Script::new([Give(503); 8]);
    let policy = EXACT.max_retries(2);
    let layer = RetryLayer::new(&policy, copy)
        .classify(by_code)
        .budget(&budget);
    let mut service = layer.layer(script.clone());
    for calls in [3, 5, 6] {
        assert_eq!(service.ready().await.unwrap().call(1).await, Ok(503));
        assert_eq!(script.when("call").len(), calls);
    }
    assert_eq!(
        (budget.snapshot().granted, budget.snapshot().refused),
        (3, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_scope_holds() {
    let script = Script::new([Give(503); 4]);
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    let outcome = timeout(500 * MS, layer.layer(script.clone()).oneshot(1)).await;
    // The fourth would come at 700 ms.
    assert_eq!(outcome, Ok(Ok(503)));
    assert_eq!(script.when("drop"), [0, 100, 300]);
}

/// tower 0.5 clones the generator with the backoff: calls at the same time drew the same.
#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_draw_delays_of_their_own() {
    static RANDOM: Policy = Policy::constant(Duration::from_secs(1_000)).max_retries(1);
    let layer = RetryLayer::new(&RANDOM, copy).classify(by_code);
    let service = layer.layer(Script::new([Give(503); 8]));
    let calls = [(); 4].map(|()| {
        let (begin, service) = (Instant::now(), service.clone());
        tokio::spawn(async move {
            service.oneshot(1).await.unwrap();
            begin.elapsed()
        })
    });
    let mut waited = Vec::new();
    for call in calls {
        waited.push(call.await.unwrap());
    }
    waited.sort();
    waited.dedup();
    assert_eq!(waited.len(), 4, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_judge_may_look_at_the_request() {
    /// Sends again what is even.
    #[derive(Clone)]
    struct Even;
    impl Judge<u32, u32, &'static str> for Even {
        type Note = bool;
        fn note(&self, request: &u32) -> bool {
            request % 2 == 0
        }
        fn judge(
            &self,
            is_even: &bool,
            outcome: Result<&u32, Failure<&&'static str>>,
        ) -> Option<Verdict> {
            by_code(outcome).filter(|_| *is_even)
        }
    }
    for (request, calls) in [(1, 1), (2, 4)] {
        let script = Script::new([Fail("reset"); 4]);
        let layer = RetryLayer::new(&EXACT, copy).judge(Even);
        let error = layer.layer(script.clone()).oneshot(request).await;
        assert_eq!(error, Err(Failure::Error("reset")));
        assert_eq!(script.when("call").len(), calls);
    }
}

#[test]
fn a_failure_in_a_box_is_the_error_itself() {
    let error: BoxError = Failure::Error(std::fmt::Error).into();
    assert!(error.is::<std::fmt::Error>());
    let error: BoxError = Failure::Error(error).into();
    assert!(error.is::<std::fmt::Error>());
    let error: BoxError = Failure::<std::fmt::Error>::TimedOut.into();
    assert!(error.is::<TimedOut>());
    assert_eq!(error.to_string(), "it took too long");
}

#[test]
fn a_call_may_go_to_another_thread() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let layer = RetryLayer::new(&EXACT, copy).classify(by_code);
    drop(send(layer.layer(Script::new([])).oneshot(1)));
}

fn is_ill(outcome: Result<&u32, &&str>) -> bool {
    !matches!(outcome, Ok(..500))
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_bad_responses_and_asks_no_more() {
    let breaker = Breaker::builder().min_calls(4).probes(1).build();
    let answers = [Give(503), Fail("down"), Give(200), Give(500), Give(404)];
    let script = Script::new(answers);
    let mut service = BreakerLayer::new(&breaker, is_ill).layer(script.clone());
    for answer in &answers[..4] {
        let outcome = service.ready().await.unwrap().call(1).await;
        let expected = match *answer {
            Give(code) => Ok(code),
            Fail(error) => Err(CallError::Failed(error)),
            Hang => unreachable!(),
        };
        assert_eq!(outcome, expected);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    let refused = service.ready().await.unwrap().call(1).await;
    assert_eq!(refused.unwrap_err().retry_in(), Some(30 * SEC));
    assert_eq!(script.when("call").len(), 4);
    sleep(30 * SEC).await;
    // A probe; a 404 is an answer.
    assert_eq!(service.ready().await.unwrap().call(1).await, Ok(404));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_inside_is_asked_by_each_attempt() {
    let breaker = Breaker::builder()
        .min_calls(2)
        .open_for(SEC)
        .probes(1)
        .build();
    let script = Script::new([Give(503), Give(503), Give(200)]);
    let retry = RetryLayer::new(&EXACT, copy).classify(
        |outcome: Result<&u32, Failure<&CallError<&str>>>| match outcome {
            Ok(..400) => None,
            Err(Failure::Error(CallError::Open(open))) => Some(Verdict::RetryAfter(open.retry_in)),
            _ => Some(Verdict::Retry),
        },
    );
    let service = ServiceBuilder::new()
        .layer(retry)
        .layer(BreakerLayer::new(&breaker, is_ill))
        .service(script.clone());
    assert_eq!(service.oneshot(1).await, Ok(200));
    let calls = script.when("call");
    // The third attempt is refused, and the fourth is the probe.
    assert_eq!(calls[..2], [0, 100]);
    assert!((1100..=1182).contains(&calls[2]), "{calls:?}");
    assert_eq!(breaker.snapshot().refused, 1);
}

#[cfg(feature = "http")]
mod http {
    use ::http::header::RETRY_AFTER;
    use ::http::{Method, Request, Response};
    use shibuya_retry::http::attach_idempotency_key;

    use super::*;

    fn request(method: Method) -> Request<u32> {
        let request = Request::builder().method(method);
        request.body(1).unwrap()
    }

    fn copy(request: &Request<u32>) -> Option<Request<u32>> {
        Some(request.clone())
    }

    /// When the requests came: each is answered as `answer` says.
    async fn sent(request: Request<u32>, answer: Answer) -> Vec<u64> {
        let script = Script::new([answer; 4]);
        let mut log = script.clone();
        let server = service_fn(move |_: Request<u32>| {
            log.is_ready = true;
            let code = log.call(1);
            async move {
                let response = Response::builder().status(code.await? as u16);
                Ok::<_, &str>(response.header(RETRY_AFTER, "5").body(()).unwrap())
            }
        });
        let layer = RetryLayer::new(&EXACT, copy)
            .by_status()
            .attempt_timeout(SEC);
        let server = tower::util::BoxCloneService::new(server);
        let _ = layer.layer(server).oneshot(request).await;
        script.when("call")
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed() {
        let at = sent(request(Method::GET), Give(503)).await;
        assert_eq!(at.len(), 4);
        for pair in at.windows(2) {
            assert!((5000..=5502).contains(&(pair[1] - pair[0])), "{at:?}");
        }
        assert_eq!(sent(request(Method::GET), Give(404)).await, [0]);
    }

    /// KittyCAD/kittycad.rs#1042.
    #[tokio::test(start_paused = true)]
    async fn a_post_is_sent_once() {
        for answer in [Give(503), Give(429), Fail("reset"), Hang] {
            assert_eq!(sent(request(Method::POST), answer).await, [0]);
            assert_eq!(sent(request(Method::PUT), answer).await.len(), 4);
            let mut with_key = request(Method::POST);
            attach_idempotency_key(with_key.headers_mut());
            assert_eq!(sent(with_key, answer).await.len(), 4);
        }
    }
}
