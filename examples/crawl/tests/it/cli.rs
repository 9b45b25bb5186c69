use std::net::TcpListener;
use std::time::Duration;

use crate::run::{crawl, report};
use crate::server::{Server, html, not_found};

#[test]
fn wrong_usage_exits_2_and_says_what_is_wrong() {
    for (arguments, expected) in [
        (&["not-a-url"][..], "a URL looks like"),
        (&["ftp://example.com/"], "neither http nor https"),
        (&["http://[::1"], "invalid IPv6"),
        (&["--concurrency", "0"], "1..=65535"),
        (&["--rate", "0"], "0.001"),
        (&["--timeout", "soon"], "the units are"),
        (&["--retries", "101"], "0..=100"),
        (&["--retries", "some"], "invalid digit"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = crawl(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn the_help_names_each_flag_and_the_exit_status() {
    let output = crawl(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "--json",
        "--depth",
        "--concurrency",
        "--rate",
        "--timeout",
        "--retries",
        "--deadline",
        "--external",
        "--tree",
        "Exit status",
    ] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn a_site_without_a_broken_link_exits_0() {
    let server = Server::start(|path| {
        if path == "/" {
            html("<a href=/#top>")
        } else {
            not_found()
        }
    });
    let report = report(&server.url("/#fragment"), &[]);
    assert_eq!((report.status, report.checked()), (0, 1));
    assert_eq!(report.json["start"], server.url("/"));
}

#[test]
fn a_start_that_refuses_connections_exits_2() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let report = report(&nobody, &[]);
    assert_eq!((report.status, report.checked()), (2, 0));
    assert!(report.only_error(&nobody).contains("Connection refused"));

    let output = crawl(&[&nobody]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.starts_with(&format!("crawl: cannot reach {nobody}: ")),
        "{error}"
    );
}

#[test]
fn a_start_that_answers_404_is_a_broken_link() {
    let server = Server::start(|_| not_found());
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.status, 1);
    assert_eq!(
        report.broken()[&server.url("/")],
        (Some(404), String::new(), vec![])
    );
}

#[test]
fn depth_counts_the_clicks_from_the_start() {
    let server = Server::start(|path| match path.len() {
        0..5 => html(format!("<a href={path}x>")),
        _ => not_found(),
    });
    for (depth, pages) in [("0", 1), ("1", 2), ("2", 3)] {
        let report = report(&server.url("/"), &["--depth", depth]);
        assert_eq!((report.status, report.checked()), (0, pages));
        assert_eq!(report.json["skipped"]["too_deep"], 1);
    }
    assert_eq!(
        report(&server.url("/"), &["--depth", "9"]).broken().len(),
        1
    );
}

#[test]
fn under_a_depth_limit_the_short_way_counts_however_slow() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=/slow><a href=/quick>"),
        "/slow" => {
            std::thread::sleep(Duration::from_millis(100));
            html("<a href=/page>")
        }
        "/quick" => html("<a href=/way>"),
        "/way" => html("<a href=/page>"),
        "/page" => html(""),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &["--depth", "2"]);
    assert_eq!((report.status, report.checked()), (0, 5));
    assert_eq!(report.json["skipped"]["too_deep"], 0);
}

#[test]
fn concurrency_is_a_limit() {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    // The first two pages only answer when a third is asked for, which one of two tasks can't do.
    let (arrived, _keep) = channel();
    let arrived = Mutex::new(arrived);
    let server = Server::start(move |path| match path {
        "/" => html("<a href=1><a href=2><a href=3>"),
        "/robots.txt" => not_found(),
        _ => {
            arrived.lock().unwrap().send(()).unwrap();
            crate::server::Reply::Hang
        }
    });
    let report = report(
        &server.url("/"),
        &[
            "--concurrency",
            "2",
            "--timeout",
            "5s",
            "--deadline",
            "300ms",
        ],
    );
    assert_eq!(_keep.try_iter().count(), 2);
    assert_eq!(report.json["unvisited"], 3);
    assert_eq!(report.json["stopped"], "deadline");
}

#[test]
fn a_rate_spaces_the_requests() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=1><a href=2><a href=3>"),
        _ => html(""),
    });
    let report = report(&server.url("/"), &["--rate", "20"]);
    // robots.txt and four pages: four pauses of 50 ms.
    assert_eq!(report.checked(), 4);
    assert!(report.json["elapsed_ms"].as_u64().unwrap() >= 200);
}
