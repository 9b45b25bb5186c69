//! What HTTP says about trying again. The peers' bugs are named.
#![cfg(all(feature = "http", not(shibuya_loom)))]

use std::future::ready;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use shibuya_retry::http::{
    IDEMPOTENCY_KEY, attach_idempotency_key, classify, idempotency_key, may_replay, retry_after,
    verdict,
};
use shibuya_retry::{Jitter, Policy, Reason, Retryable, Verdict};
use tokio::time::{Instant, advance};

const SEC: Duration = Duration::from_secs(1);
const RETRYABLE: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// 2030-01-01T00:00:00Z, a Tuesday.
fn start_of_2030() -> SystemTime {
    SystemTime::UNIX_EPOCH + 1_893_456_000 * SEC
}

fn hint(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())])
}

fn asked(value: &str) -> Option<Duration> {
    retry_after(&hint(value), start_of_2030())
}

fn statuses() -> impl Iterator<Item = StatusCode> {
    (100..1000).map(|code| StatusCode::from_u16(code).unwrap())
}

#[test]
fn each_status_has_its_verdict() {
    let (none, now) = (HeaderMap::new(), start_of_2030());
    for status in statuses() {
        let expected = match status.as_u16() {
            code if code < 400 => None,
            code if RETRYABLE.contains(&code) => Some(Verdict::Retry),
            _ => Some(Verdict::Abort),
        };
        let given = classify(&Method::GET, &none, status, &none, now);
        assert_eq!(given, expected, "{status}");
        assert_eq!(verdict(status, &none, now), expected, "{status}");
    }
}

#[test]
fn a_hint_counts_where_a_retry_does() {
    let (none, now) = (HeaderMap::new(), start_of_2030());
    for status in statuses() {
        let given = classify(&Method::GET, &none, status, &hint("7"), now);
        match given {
            Some(Verdict::RetryAfter(time)) => assert_eq!(time, 7 * SEC),
            _ => assert_ne!(given, Some(Verdict::Retry)),
        }
        let code = status.as_u16();
        assert_eq!(
            matches!(given, Some(Verdict::RetryAfter(_))),
            RETRYABLE.contains(&code),
            "{status}"
        );
    }
}

#[test]
fn idempotent_methods_may_be_replayed() {
    let none = HeaderMap::new();
    let may = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
    let may_not = ["POST", "PATCH", "CONNECT", "get", "PROPFIND"];
    for (methods, expected) in [(&may[..], true), (&may_not[..], false)] {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(may_replay(&method, &none), expected, "{method}");
        }
    }
}

/// KittyCAD/kittycad.rs#1042.
#[test]
fn a_post_is_not_replayed_whatever_the_response() {
    let (none, now) = (HeaderMap::new(), start_of_2030());
    for method in [Method::POST, Method::PATCH] {
        for status in statuses() {
            for response in [&none, &hint("1")] {
                let given = classify(&method, &none, status, response, now);
                let expected = (status.as_u16() >= 400).then_some(Verdict::Abort);
                assert_eq!(given, expected, "{method} {status}");
            }
        }
    }
}

#[test]
fn a_post_with_a_key_is_as_good_as_a_get() {
    let (mut request, none, now) = (HeaderMap::new(), HeaderMap::new(), start_of_2030());
    request.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(""));
    assert!(!may_replay(&Method::POST, &request), "an empty key is none");
    request.clear();
    attach_idempotency_key(&mut request);
    for status in statuses() {
        assert_eq!(
            classify(&Method::POST, &request, status, &none, now),
            classify(&Method::GET, &none, status, &none, now)
        );
    }
}

#[test]
fn a_key_is_made_once_and_of_its_own() {
    let mut headers = HeaderMap::new();
    attach_idempotency_key(&mut headers);
    let first = headers[IDEMPOTENCY_KEY].clone();
    attach_idempotency_key(&mut headers);
    assert_eq!(headers[IDEMPOTENCY_KEY], first);
    assert_eq!(headers.get_all(IDEMPOTENCY_KEY).iter().count(), 1);
    let digits = |key: &HeaderValue| key.as_bytes().iter().all(u8::is_ascii_hexdigit);
    assert!(first.len() == 32 && digits(&first), "{first:?}");
    assert_ne!(idempotency_key(), idempotency_key());
}

#[test]
fn seconds_are_read() {
    assert_eq!(asked("0"), Some(Duration::ZERO));
    assert_eq!(asked("120"), Some(120 * SEC));
    assert_eq!(asked(" 007 "), Some(7 * SEC));
}

#[test]
fn a_date_is_compared_with_now() {
    let in_a_minute = [
        "Tue, 01 Jan 2030 00:01:00 GMT",
        "Tuesday, 01-Jan-30 00:01:00 GMT",
        "Tue Jan  1 00:01:00 2030",
    ];
    for date in in_a_minute {
        assert_eq!(asked(date), Some(60 * SEC), "{date}");
        let within_a_second = start_of_2030() + Duration::from_millis(1);
        let left = retry_after(&hint(date), within_a_second);
        assert_eq!(left, Some(Duration::from_millis(59_999)), "{date}");
    }
    let passed = [
        "Mon, 31 Dec 2029 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ];
    for date in passed {
        assert_eq!(asked(date), Some(Duration::ZERO), "{date}");
    }
}

#[test]
fn what_cant_be_read_is_as_if_it_were_not_there() {
    let unread = [
        "",
        " ",
        "soon",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "1 2",
        "10s",
        "\u{663}",
        "Tue, 01 Jan 2030",
        "Tue, 32 Jan 2030 00:00:00 GMT",
        "Wed, 01 Jan 2030 00:00:00 GMT", // it's a Tuesday
        "Tue, 01 Jan 2030 00:00:00 CET",
        "Tue, 01 Jan 2030 24:00:00 GMT",
    ];
    for value in unread {
        let headers = HeaderMap::from_iter([(
            RETRY_AFTER,
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )]);
        assert_eq!(retry_after(&headers, start_of_2030()), None, "{value:?}");
        let given = verdict(StatusCode::TOO_MANY_REQUESTS, &headers, start_of_2030());
        assert_eq!(given, Some(Verdict::Retry), "{value:?}");
    }
}

#[test]
fn what_is_too_much_is_the_most() {
    let most = Some(Duration::from_secs(u64::MAX));
    assert_eq!(asked("18446744073709551615"), most);
    assert_eq!(asked("18446744073709551616"), most);
    assert_eq!(asked(&"9".repeat(1000)), most);
    let end_of_9999 = asked("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
    assert!(end_of_9999 > Duration::from_secs(7969 * 365 * 86_400));
}

#[test]
fn of_several_hints_the_longest_holds() {
    let mut headers = hint("3");
    for value in ["12", "soon", "5"] {
        headers.append(RETRY_AFTER, HeaderValue::from_static(value));
    }
    assert_eq!(retry_after(&headers, start_of_2030()), Some(12 * SEC));
}

/// The times between the attempts at something that always answers 503 with this hint, on a clock that is
/// `micros` past a millisecond.
async fn waits(value: &str, micros: u64) -> (Vec<Duration>, Reason) {
    static POLICY: Policy = Policy::constant(Duration::from_millis(1))
        .max_retries(3)
        .jitter(Jitter::None);
    advance(Duration::from_micros(micros)).await;
    let (response, mut at) = (hint(value), Vec::new());
    let error = (|| {
        at.push(Instant::now());
        ready(Err::<(), _>(StatusCode::SERVICE_UNAVAILABLE))
    })
    .retry(&POLICY)
    .classify(|status, _| verdict(*status, &response, start_of_2030()).unwrap())
    .await
    .unwrap_err();
    let waits = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    (waits, error.reason())
}

/// dotnet/extensions#7001: it came up to 11 ms before its time.
#[tokio::test(start_paused = true)]
async fn a_retry_never_comes_before_its_time() {
    for micros in [0, 1, 300, 999] {
        for value in ["1", "30", "Tue, 01 Jan 2030 00:00:01 GMT"] {
            let (waits, _) = waits(value, micros).await;
            assert_eq!(waits.len(), 3);
            let least = asked(value).unwrap();
            assert!(
                waits.iter().all(|wait| *wait >= least),
                "{waits:?} for {value}"
            );
        }
    }
}

/// reqwest-retry 0.9 looks at the status alone.
#[tokio::test(start_paused = true)]
async fn the_hint_is_not_ignored() {
    let (waits, reason) = waits("60", 0).await;
    assert_eq!(reason, Reason::Exhausted);
    assert!(
        waits
            .iter()
            .all(|wait| (60 * SEC..=67 * SEC).contains(wait)),
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_ages_ends_it() {
    let (waits, reason) = waits(&"9".repeat(30), 0).await;
    assert!(waits.is_empty());
    assert_eq!(reason, Reason::RetryAfter);
}

fn any_headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[0-9]{1,30}".prop_map(String::into_bytes),
        "(Mon|Tue|Thursday), ?[0-9]{2}[ -](Jan|Feb|Dec)[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
            .prop_map(String::into_bytes),
        "(Sun|Fri) (Feb|Nov) [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}"
            .prop_map(String::into_bytes),
    ];
    let name = prop_oneof![Just(RETRY_AFTER), Just(IDEMPOTENCY_KEY)];
    vec((name, value), 0..4).prop_map(|headers| {
        let valid =
            |(name, value): (_, Vec<u8>)| Some((name, HeaderValue::from_bytes(&value).ok()?));
        headers.into_iter().filter_map(valid).collect()
    })
}

fn any_time() -> impl Strategy<Value = SystemTime> {
    let seconds = prop_oneof![any::<u64>(), 0..=253_402_300_800u64];
    (seconds, 0..1_000_000_000u32, any::<bool>()).prop_map(|(seconds, nanos, later)| {
        let span = Duration::new(seconds, nanos);
        let time = match later {
            true => SystemTime::UNIX_EPOCH.checked_add(span),
            false => SystemTime::UNIX_EPOCH.checked_sub(span),
        };
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    })
}

proptest! {
    #[test]
    fn every_response_has_a_verdict(
        method in "[A-Z]{1,8}|POST|GET",
        request in any_headers(),
        status in 100..1000u16,
        response in any_headers(),
        now in any_time(),
    ) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let given = classify(&method, &request, status, &response, now);
        prop_assert_eq!(given.is_some(), status.as_u16() >= 400);
        if let Some(Verdict::Retry | Verdict::RetryAfter(_)) = given {
            prop_assert!(may_replay(&method, &request));
            prop_assert!(RETRYABLE.contains(&status.as_u16()));
        }
        if let Some(Verdict::RetryAfter(time)) = given {
            prop_assert_eq!(retry_after(&response, now), Some(time));
        }
    }

    #[test]
    fn all_seconds_are_read(seconds: u64) {
        prop_assert_eq!(asked(&seconds.to_string()), Some(Duration::from_secs(seconds)));
    }

    #[test]
    fn all_dates_are_read(seconds in 0..253_402_300_800u64, now in any_time()) {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let given = retry_after(&hint(&httpdate::fmt_http_date(date)), now);
        prop_assert_eq!(given, Some(date.duration_since(now).unwrap_or_default()));
    }
}
