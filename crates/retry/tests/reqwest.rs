//! Requests over loopback. The clock is paused: it moves when all wait for a timer, or for the network.
#![cfg(all(feature = "reqwest", not(shibuya_loom)))]

mod support;

use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use reqwest::Body;
use shibuya_cancel::timeout;
use shibuya_retry::reqwest::{RetryRequest, RetrySend, SendError};
use shibuya_retry::tower::RetryLayer;
use shibuya_retry::{Budget, Failure, Jitter, Policy, Reason, RetryError};
use shibuya_testkit::{Ending, cancel_at_every_poll};
use static_assertions::assert_impl_all;
use support::Answer::{Busy, Reset, Silence, Status};
use support::{Server, client, nowhere};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// 100, 200, 400 ms.
static EXACT: Policy = Policy::exponential(Duration::from_millis(100), SEC).jitter(Jitter::None);

assert_impl_all!(RetrySend<'static>: Send);
assert_impl_all!(RetryError<SendError>: std::error::Error, Send, Sync);

#[tokio::test(start_paused = true)]
async fn a_get_is_sent_until_the_response_is_fine() {
    let server = Server::start([Status(503), Reset, Status(500)]).await;
    let response = client().get(server.url()).retry(&EXACT).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "what it is");
    assert_eq!(server.came().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_error_keeps_the_last_response() {
    let server = Server::start([Status(503), Status(503), Status(503), Status(502)]).await;
    let error = client().get(server.url()).retry(&EXACT).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Exhausted, 4));
    assert_eq!(error.history().len(), 0);
    assert!(error.elapsed() >= 700 * MS);
    assert!(
        error
            .to_string()
            .starts_with("the answer was 502 Bad Gateway (4 attempts in ")
    );
    let last = error.into_error().unwrap();
    assert_eq!(last.status().unwrap(), 502);
    let response = last.into_response().unwrap();
    assert_eq!(response.text().await.unwrap(), "what it is");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_is_asked_for_once() {
    let server = Server::start([Status(404)]).await;
    let error = client().get(server.url()).retry(&EXACT).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Aborted, 1));
    assert_eq!(error.into_error().unwrap().status().unwrap(), 404);
}

/// reqwest-retry 0.9 looks at the status alone.
#[tokio::test(start_paused = true)]
async fn retry_after_is_not_ignored() {
    let server = Server::start([Busy("60"), Busy("7"), Busy("soon")]).await;
    client().get(server.url()).retry(&EXACT).await.unwrap();
    let came = server.came();
    let waits: Vec<_> = came
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    assert!((60 * SEC..68 * SEC).contains(&waits[0]), "{waits:?}");
    assert!((7 * SEC..9 * SEC).contains(&waits[1]), "{waits:?}");
    // What can't be read leaves it to the policy, whose third delay this is.
    assert!((400 * MS..SEC).contains(&waits[2]), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_may_be_a_date() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + 3600 * SEC);
    let server = Server::start([Busy(in_an_hour.leak())]).await;
    let policy = EXACT.max_retry_after(4000 * SEC);
    client().get(server.url()).retry(&policy).await.unwrap();
    let came = server.came();
    let waited = came[1].at - came[0].at;
    // Less what the test took so far, on the real clock.
    assert!((3500 * SEC..3970 * SEC).contains(&waited), "{waited:?}");
}

/// KittyCAD/kittycad.rs#1042.
#[tokio::test(start_paused = true)]
async fn a_post_is_sent_once() {
    for answer in [Status(503), Status(429), Busy("1"), Reset, Silence] {
        let server = Server::start([answer]).await;
        let post = client().post(server.url()).body("two pears").retry(&EXACT);
        let sent = match answer {
            Silence => post.attempt_timeout(SEC).await,
            _ => post.await,
        };
        let error = sent.unwrap_err();
        assert_eq!((error.reason(), error.attempts()), (Reason::Aborted, 1));
        assert_eq!(server.came().len(), 1, "{answer:?}");
        assert_eq!(error.last().is_timeout(), answer == Silence);
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_with_a_key_is_sent_again_with_the_same() {
    let server = Server::start([Status(503), Reset]).await;
    let post = client().post(server.url()).body("two pears");
    post.retry(&EXACT).idempotency_key().await.unwrap();
    let keys: Vec<_> = server.came().into_iter().map(|came| came.key).collect();
    assert_eq!(keys.len(), 3);
    assert!(
        keys[0].is_some() && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );

    let own = client()
        .post(server.url())
        .header("idempotency-key", "mine");
    own.retry(&EXACT).idempotency_key().await.unwrap();
    assert_eq!(server.came()[3].key.as_deref(), Some("mine"));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_found_nobody_was_never_sent() {
    let (_socket, at) = nowhere();
    let begin = Instant::now();
    let post = client().post(format!("http://{at}/")).body("two pears");
    let error = post.retry(&EXACT).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Exhausted, 4));
    assert!(begin.elapsed() >= 700 * MS);
    let Some(SendError::Transport(error)) = error.into_error() else {
        panic!("there is no response");
    };
    assert!(error.is_connect());
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_dropped() {
    let server = Server::start([Silence; 4]).await;
    let get = client().get(server.url()).retry(&EXACT);
    let error = get.attempt_timeout(SEC).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Exhausted, 4));
    assert!(error.last().is_timeout());
    assert!(error.into_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_that_would_come_too_late() {
    let server = Server::start([Busy("10")]).await;
    let begin = Instant::now();
    let get = client().get(server.url()).retry(&EXACT);
    let error = get.deadline(begin + 9 * SEC).await.unwrap_err();
    assert_eq!(error.reason(), Reason::Deadline);
    assert_eq!(error.into_error().unwrap().status().unwrap(), 503);
    assert!(begin.elapsed() < 9 * SEC);

    let server = Server::start([Busy("10")]).await;
    let get = client().get(server.url()).retry(&EXACT);
    let error = timeout(9 * SEC, get).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Reason::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_budget_keeps_the_response() {
    let budget = Budget::ratio(0.0).burst(1).min_per_sec(0);
    let server = Server::start([Status(503); 2]).await;
    let get = client().get(server.url()).retry(&EXACT).budget(&budget);
    let error = get.await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Budget, 2));
    assert_eq!(error.into_error().unwrap().status().unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cant_be_built_is_not_sent() {
    let error = client().get("no url").retry(&EXACT).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Aborted, 0));
    assert!(matches!(error.into_error(), Some(SendError::Transport(error)) if error.is_builder()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_gone_is_sent_once() {
    let server = Server::start([Status(503)]).await;
    let stream = Body::wrap(Full::<Bytes>::from("two pears"));
    let put = client().put(server.url()).body(stream);
    let error = put.retry(&EXACT).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Reason::Aborted, 1));
    assert_eq!(error.into_error().unwrap().status().unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_a_service_for_the_layer() {
    let server = Server::start([Status(503), Status(404)]).await;
    let layer = RetryLayer::new(&EXACT, reqwest::Request::try_clone).by_status();
    let request = client().get(server.url()).build().unwrap();
    let response = layer.layer(client()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 404);
    let (_socket, at) = nowhere();
    let request = client().post(format!("http://{at}/")).build().unwrap();
    let error = layer.layer(client()).oneshot(request).await.unwrap_err();
    assert!(matches!(error, Failure::Error(error) if error.is_connect()));
}

/// The first answer is a 503, and the second never comes.
#[tokio::test(start_paused = true)]
async fn a_dropped_request_leaks_no_retry() {
    let report = cancel_at_every_poll(
        "RetrySend",
        async || {
            let budget: &Budget = Box::leak(Box::new(Budget::ratio(0.0).burst(5).min_per_sec(0)));
            let server = Server::start([Status(503), Silence]).await;
            let get = client().get(server.url()).retry(&EXACT);
            let future: RetrySend<'_> = get.budget(budget).attempt_timeout(60 * SEC);
            ((budget, server), future)
        },
        async |(budget, server), ending| {
            let spent = budget.snapshot().granted;
            assert_eq!(budget.snapshot().balance, 5.0 - spent as f64);
            // One that was granted and spent may not have come that far.
            assert!(server.came().len() as u64 <= spent + 1);
            if let Ending::Completed(outcome) = ending {
                assert_eq!(outcome.unwrap().status(), 200);
                assert_eq!((spent, server.came().len()), (2, 3));
            }
        },
    );
    let report = report.await;
    assert!(report.polls >= 5, "it never had to wait: {report:?}");
}
