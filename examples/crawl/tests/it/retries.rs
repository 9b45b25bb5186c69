//! What fails for a moment, and what fails for good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::{crawl, report};
use crate::server::{Reply, Server, html, not_found, page};

/// When each path was asked for.
#[derive(Clone, Default)]
struct Came(Arc<Mutex<HashMap<String, Vec<Instant>>>>);

impl Came {
    /// Takes note of a request, and says which it is for this path, from 1.
    fn note(&self, path: &str) -> usize {
        let mut came = self.0.lock().unwrap();
        let came = came.entry(path.to_owned()).or_default();
        came.push(Instant::now());
        came.len()
    }

    fn times(&self, path: &str) -> usize {
        self.0.lock().unwrap().get(path).map_or(0, Vec::len)
    }

    /// From the first request to the second.
    fn gap(&self, path: &str) -> Duration {
        let came = &self.0.lock().unwrap()[path];
        came[1] - came[0]
    }
}

/// A server whose first page links to `/bad`, which is answered by the number of the request.
fn with_bad(bad: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Server, Came) {
    let came = Came::default();
    let noted = came.clone();
    let server = Server::start(move |path| match path {
        "/" => html("<a href=/bad>bad</a>"),
        "/bad" => bad(noted.note(path)),
        _ => not_found(),
    });
    (server, came)
}

fn busy(headers: &str) -> Reply {
    page("503 Service Unavailable", headers, "")
}

fn cut_off() -> Reply {
    Reply::Bytes(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>".to_vec(),
    )
}

#[test]
fn what_fails_for_a_moment_is_good() {
    let first: [fn() -> Reply; 6] = [
        || busy(""),
        || page("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        || page("502 Bad Gateway", "", ""),
        || page("504 Gateway Timeout", "", ""),
        cut_off,
        || Reply::Bytes(Vec::new()), // hangs up
    ];
    for first in first {
        let (server, came) = with_bad(move |number| match number {
            1 => first(),
            _ => html("<title>Good</title>"),
        });
        let report = report(&server.url("/"), &[]);
        assert_eq!((report.status, report.checked()), (0, 2));
        assert_eq!(came.times("/bad"), 2);
        assert_eq!(
            report.json["retried"],
            json!({"requests": 1, "attempts": 1, "recovered": 1, "refused": 0})
        );
    }
}

#[test]
fn what_hangs_once_is_good() {
    let (server, _) = with_bad(|number| match number {
        1 => Reply::Hang,
        _ => html(""),
    });
    let report = report(&server.url("/"), &["--timeout", "1s"]);
    assert_eq!((report.status, report.checked()), (0, 2));
}

#[test]
fn retry_after_is_obeyed_and_is_no_latency() {
    let (server, came) = with_bad(|number| match number {
        1 => busy("Retry-After: 1\r\n"),
        _ => html(""),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 2));
    assert!(came.gap("/bad") >= Duration::from_secs(1));
    assert!(report.json["latency_ms"]["max"].as_f64().unwrap() < 1000.0);
}

#[test]
fn who_asks_for_too_long_a_wait_is_asked_once() {
    let (server, came) = with_bad(|_| busy("Retry-After: 31\r\n"));
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.broken()[&server.url("/bad")].0, Some(503));
    assert_eq!(came.times("/bad"), 1);
}

#[test]
fn nobody_waits_past_the_deadline() {
    let (server, came) = with_bad(|_| busy("Retry-After: 25\r\n"));
    let begun = Instant::now();
    let report = report(&server.url("/"), &["--deadline", "20s"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(report.broken()[&server.url("/bad")].0, Some(503));
    assert_eq!(report.json["stopped"], json!(null));
    assert_eq!(came.times("/bad"), 1);
}

#[test]
fn what_fails_for_good_is_asked_for_once() {
    let for_good: [fn() -> Reply; 4] = [
        not_found,
        || page("403 Forbidden", "Retry-After: 0\r\n", ""),
        || page("501 Not Implemented", "", ""),
        || Reply::Bytes(b"SSH-2.0-nobody\r\n".to_vec()),
    ];
    for bad in for_good {
        let (server, came) = with_bad(move |_| bad());
        let report = report(&server.url("/"), &[]);
        assert_eq!(report.broken().len(), 1);
        assert_eq!(came.times("/bad"), 1);
        assert_eq!(report.json["retried"]["requests"], 0);
    }
}

#[test]
fn the_number_of_retries_is_a_flag() {
    for (flags, requests) in [
        (&[][..], 3),
        (&["--retries", "1"], 2),
        (&["--retries", "0"], 1),
    ] {
        let (server, came) = with_bad(|_| busy("Retry-After: 0\r\n"));
        let report = report(&server.url("/"), flags);
        assert_eq!(report.broken()[&server.url("/bad")].0, Some(503));
        assert_eq!(came.times("/bad"), requests);
        assert_eq!(report.json["retried"]["attempts"], requests - 1);
        assert_eq!(report.json["retried"]["recovered"], 0);
    }
}

#[test]
fn a_redirect_is_followed_from_where_it_failed() {
    let came = Came::default();
    let noted = came.clone();
    let server = Server::start(move |path| match (path, noted.note(path)) {
        ("/", _) => crate::server::redirect("/end"),
        ("/end", 1) => busy("Retry-After: 0\r\n"),
        ("/end", _) => html(""),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 1));
    assert_eq!((came.times("/"), came.times("/end")), (1, 2));
}

#[test]
fn robots_txt_is_tried_again() {
    let came = Came::default();
    let noted = came.clone();
    let server = Server::start(move |path| match (path, noted.note(path)) {
        ("/robots.txt", 1) => busy("Retry-After: 0\r\n"),
        ("/robots.txt", _) => not_found(),
        _ => html(""),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 1));
}

/// 201 requests, of which 200 fail, twenty retries, and a fifth of those requests that found the budget less than full.
#[test]
fn a_site_that_is_down_is_not_hammered() {
    let links: String = (0..200).map(|n| format!("<a href=/{n}>")).collect();
    let server = Server::start(move |path| match path {
        "/" => html(&links),
        "/robots.txt" => not_found(),
        _ => busy("Retry-After: 0\r\n"),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.broken().len(), 200);
    let attempts = report.json["retried"]["attempts"].as_u64().unwrap();
    assert!((50..=60).contains(&attempts), "{attempts}");
    assert_eq!(server.requests() as u64, 201 + attempts);
    assert!(report.json["retried"]["refused"].as_u64().unwrap() >= 140);
}

/// Two turns a second: robots.txt, the page, and the page once more are two pauses.
#[test]
fn a_retry_takes_a_turn() {
    let came = Came::default();
    let noted = came.clone();
    let server = Server::start(move |path| match (path, noted.note(path)) {
        ("/", 1) => busy("Retry-After: 0\r\n"),
        ("/", _) => html(""),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &["--rate", "2"]);
    assert_eq!(report.checked(), 1);
    assert!(report.json["elapsed_ms"].as_u64().unwrap() >= 1000);
}

#[test]
fn the_text_says_how_many() {
    let (server, _) = with_bad(|number| match number {
        1 => busy("Retry-After: 0\r\n"),
        _ => html(""),
    });
    let text = |flags: &[&str]| {
        let url = server.url("/");
        String::from_utf8(crawl(&[&[&*url], flags].concat()).stdout).unwrap()
    };
    let line = "\nRetried    requests 1 (recovered 1) with 1 more attempt\n";
    let first = text(&[]);
    assert!(first.contains(line), "{first}");
    assert!(!text(&[]).contains("Retried"), "nothing was");
}
