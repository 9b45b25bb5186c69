//! What servers and pages do wrong: each is a line in the report, none ends the crawl.

use std::net::TcpListener;

use crate::run::{crawl, report};
use crate::server::{Reply, Server, html, not_found, page, redirect};

/// A server whose first page links to `/bad` and `/good`; `bad` answers all but these.
fn with_bad(bad: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |path| match path {
        "/" => html("<a href=/bad>bad</a><a href=/good>good</a>"),
        "/good" => html("<title>Good</title>"),
        "/robots.txt" => not_found(),
        path => bad(path),
    })
}

#[test]
fn a_page_that_hangs_is_given_up_at_the_timeout() {
    let server = with_bad(|_| Reply::Hang);
    let report = report(&server.url("/"), &["--timeout", "200ms"]);
    assert_eq!((report.status, report.checked()), (1, 2));
    assert_eq!(
        report.only_error(&server.url("/bad")),
        "no answer within 200ms"
    );
    assert_eq!(report.broken()[&server.url("/bad")].2, [server.url("/")]);
}

#[test]
fn a_page_that_stops_in_the_middle_is_broken() {
    let server = with_bad(|_| {
        Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<a href=/x>"
                .to_vec(),
        )
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.checked(), 2);
    assert!(!report.only_error(&server.url("/bad")).is_empty());
}

#[test]
fn a_server_that_dies_in_the_middle_leaves_a_report() {
    // The listener goes after two connections: robots.txt and the first page.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let dying = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for reply in [
            "404 Not Found\r\nContent-Length: 0",
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 20",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            write!(stream, "HTTP/1.1 {reply}\r\nConnection: close\r\n\r\n").unwrap();
            if reply.starts_with("200") {
                drop(listener);
                stream.write_all(b"<a href=1><a href=2>").unwrap();
                return;
            }
        }
    });
    let report = report(&url, &[]);
    dying.join().unwrap();
    assert_eq!((report.status, report.checked()), (1, 1));
    assert_eq!(report.broken().len(), 2);
    for (_, error, _) in report.broken().values() {
        assert!(error.contains("refused"), "{error}");
    }
}

#[test]
fn what_is_no_http_is_an_error() {
    let server = with_bad(|_| Reply::Bytes(b"SSH-2.0-nobody\r\n".to_vec()));
    assert!(
        report(&server.url("/"), &[])
            .only_error(&server.url("/bad"))
            .contains("invalid HTTP")
    );
}

#[test]
fn endless_redirects_end() {
    let server = with_bad(|path| redirect(&format!("{path}x")));
    let report = report(&server.url("/"), &[]);
    assert_eq!(
        report.only_error(&server.url("/bad")),
        "too many redirects (more than 10)"
    );
    assert_eq!(server.requests(), 2 + 11);
}

#[test]
fn a_redirect_loop_is_named() {
    let server = with_bad(|_| redirect("/bad"));
    assert!(
        report(&server.url("/"), &[])
            .only_error(&server.url("/bad"))
            .starts_with("redirect loop through ")
    );
}

#[test]
fn a_redirect_to_nowhere_is_named() {
    let server = with_bad(|_| redirect("mailto:nobody@example.com"));
    assert!(
        report(&server.url("/"), &[])
            .only_error(&server.url("/bad"))
            .contains("no http(s) URL")
    );
}

#[test]
fn a_redirect_without_a_location_is_its_own_end() {
    let server = with_bad(|_| page("302 Found", "", ""));
    assert_eq!(
        report(&server.url("/"), &[]).broken()[&server.url("/bad")].0,
        Some(302)
    );
}

#[test]
fn a_page_of_10_mb_is_read_to_its_end() {
    let filler = "<p>lorem ipsum dolor sit amet</p>".repeat(10 * 1024 * 1024 / 33);
    let server = with_bad(move |path| match path {
        "/bad" => html(format!("{filler}<a href=/end>")),
        _ => html("<title>End</title>"),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 4));
}

#[test]
fn of_a_page_that_never_ends_the_beginning_is_read() {
    let body = "<a href=/good>".to_owned()
        + &"<p>lorem ipsum dolor sit amet</p>".repeat(17 * 1024 * 1024 / 33);
    let server = with_bad(move |_| html(&body));
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 3));
    assert_eq!(
        report.notes(&server.url("/bad")),
        ["longer than 16 MiB: the rest was not read"]
    );
}

#[test]
fn malformed_html_is_read_and_noted() {
    let server = with_bad(|path| match path {
        "/bad" => html("<p <b><a href='/six'class=x></i></table><a href=\"/seven"),
        _ => html("<title>Six</title>"),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 4));
    assert!(report.notes(&server.url("/bad"))[0].starts_with("malformed HTML: "));
}

#[test]
fn invalid_urls_are_broken_links_as_they_were_written() {
    let server = with_bad(|_| {
        html("<a href='http://[::1'><a href='http://host:99999/'><a href=mailto:x><a href='//'>")
    });
    let report = report(&server.url("/"), &[]);
    let broken = report.broken();
    assert_eq!(
        broken.keys().collect::<Vec<_>>(),
        ["//", "http://[::1", "http://host:99999/"]
    );
    assert!(
        broken
            .values()
            .all(|(_, error, referrers)| error.starts_with("invalid URL: ")
                && *referrers == [server.url("/bad")])
    );
    assert_eq!(report.json["skipped"]["other_schemes"], 1);
}

#[test]
fn of_50_000_links_on_a_page_each_is_checked_once() {
    let links: String = (0..50_000)
        .map(|n| format!("<a href=/n/{}>{n}</a>", n % 500))
        .collect();
    let external: String = (0..50_000)
        .map(|n| format!("<a href=http://example.com/{n}>{n}</a>"))
        .collect();
    let server = with_bad(move |path| match path {
        "/bad" => html(format!("{links}{external}")),
        _ => html("<title>Leaf</title>"),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 503));
    assert_eq!(report.json["skipped"]["external"], 50_000);
    assert_eq!(report.notes(&server.url("/bad")), ["50500 links"]);
    assert_eq!(server.requests(), 503);
}

#[test]
fn robots_that_cannot_be_had_forbid_everything() {
    let server = Server::start(|path| {
        if path == "/robots.txt" {
            page("503 Later", "", "")
        } else {
            html("")
        }
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.status, 2);
    assert_eq!(
        report.only_error(&server.url("/")),
        "robots.txt can't be had: status 503"
    );
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_title_cannot_write_to_the_terminal() {
    let server = Server::start(|path| {
        if path == "/" {
            html("<title>\x1b[31mred\x07</title><a href='http://[\x1b[2J'>")
        } else {
            not_found()
        }
    });
    let text = String::from_utf8(crawl(&[&server.url("/")]).stdout).unwrap();
    assert!(text.contains("red"));
    assert!(!text.contains(['\x1b', '\x07']));
}
