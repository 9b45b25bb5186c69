//! What pages say: charsets, bases, redirects, content types.

use crate::run::report;
use crate::server::{Server, html, not_found, page, redirect};

#[test]
fn charsets_are_honoured_wherever_they_are_declared() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=header><a href=meta><a href=mark><a href=none>"),
        "/header" => page(
            "200 OK",
            "Content-Type: text/html; charset=ISO-8859-1\r\n",
            b"<title>Caf\xE9</title>",
        ),
        "/meta" => html(
            encoding_rs::SHIFT_JIS
                .encode("<meta charset=Shift_JIS><title>渋谷</title><a href=\"/q?渋\">")
                .0,
        ),
        "/mark" => html("\u{feff}<meta charset=euc-jp><title>渋谷</title>"),
        "/none" => html(b"<title>na\xEFve</title>"),
        "/q?%8Fa" => html("<title>Query</title>"),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 6));
    let titles = report.titles();
    for (path, title) in [
        ("/header", "Café"),
        ("/meta", "渋谷"),
        ("/mark", "渋谷"),
        ("/none", "naïve"),
    ] {
        assert_eq!(titles[&server.url(path)], title);
    }
    assert_eq!(report.notes(&server.url("/meta")), ["read as Shift_JIS"]);
}

#[test]
fn links_resolve_against_the_base_and_against_the_end_of_redirects() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=/based/><a href=/old/x>"),
        "/based/" => html("<base href=/dir/><a href=page>"),
        "/old/x" => redirect("../dir/y"),
        "/dir/y" => html("<title>Y</title><a href=z>"),
        "/dir/page" | "/dir/z" => html("<title>Here</title>"),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &[]);
    // The end of the redirect, which no page links to, counts only as the redirecting URL.
    assert_eq!((report.status, report.checked()), (0, 5));
    assert_eq!(report.titles()[&server.url("/old/x")], "Y");
    assert_eq!(report.json["redirected"], 1);
}

#[test]
fn a_redirect_is_as_good_as_its_end() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=gone><a href=here>"),
        "/gone" => redirect("/missing"),
        "/here" => redirect("/"),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.checked(), 2);
    assert_eq!(report.broken()[&server.url("/gone")].0, Some(404));
}

#[test]
fn other_content_types_are_requested_but_not_parsed() {
    let server = Server::start(|path| match path {
        "/" => html("<a href=text><a href=xhtml>"),
        "/text" => page("200 OK", "Content-Type: text/plain\r\n", "<a href=/x>"),
        "/xhtml" => page(
            "200 OK",
            "Content-Type: Application/XHTML+xml; charset=utf-8\r\n",
            "<a href='y'/>",
        ),
        _ => not_found(),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!(report.checked(), 3);
    assert_eq!(
        report.broken().into_keys().collect::<Vec<_>>(),
        [server.url("/y")]
    );
}

#[test]
fn robots_txt_is_respected_behind_redirects_too() {
    let server = Server::start(|path| match path {
        "/robots.txt" => page("200 OK", "", "User-agent: *\nDisallow: /private\n"),
        "/" => html("<a href=/private/a><a href=/private/b><a href=/way>"),
        "/way" => redirect("/private/a"),
        path => panic!("{path} was requested"),
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (1, 1));
    assert_eq!(report.json["skipped"]["disallowed"], 2);
    assert!(
        report
            .only_error(&server.url("/way"))
            .ends_with("/private/a is disallowed by robots.txt")
    );
}

#[test]
fn other_origins_are_counted_and_requested_on_demand_alone() {
    let other = Server::start(|path| match path {
        "/page" => html("<a href=/unseen>"),
        _ => not_found(),
    });
    let (good, bad) = (other.url("/page"), other.url("/missing"));
    let server = Server::start(move |path| match path {
        "/" => html(format!("<a href={good}><a href={good}#x><a href={bad}>")),
        _ => not_found(),
    });

    let alone = report(&server.url("/"), &[]);
    assert_eq!((alone.status, alone.checked()), (0, 1));
    assert_eq!(alone.json["skipped"]["external"], 2);
    assert_eq!(other.requests(), 0);

    let external = report(&server.url("/"), &["--external"]);
    assert_eq!((external.status, external.checked()), (1, 2));
    assert_eq!(
        external.broken()[&other.url("/missing")],
        (Some(404), String::new(), vec![server.url("/")])
    );
    assert_eq!(other.requests(), 2);
}

#[test]
fn where_the_first_page_redirects_to_is_the_site() {
    let site = Server::start(|path| match path {
        "/home" => html("<a href=/page>"),
        "/page" => html("<title>Page</title>"),
        _ => not_found(),
    });
    let home = site.url("/home");
    let server = Server::start(move |path| {
        if path == "/" {
            redirect(&home)
        } else {
            not_found()
        }
    });
    let report = report(&server.url("/"), &[]);
    assert_eq!((report.status, report.checked()), (0, 2));
    assert!(report.titles().contains_key(&site.url("/page")));
}
