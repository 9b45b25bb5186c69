//! What the demo site answers to each path.

use std::fmt::Write as _;
use std::time::Duration;

use super::text::paragraphs;

const DISTRICTS: u32 = 12;
const STREETS: u32 = 24;
const SLOW: Duration = Duration::from_millis(300);

/// The links of the site that are broken, however often they are requested: the URL's path (or the `href`
/// itself where it is no URL at all), and the status, `None` where no answer counts.
pub const BROKEN: &[(&str, Option<u16>)] = &[
    ("/closed", Some(410)),
    ("/crash", Some(500)),
    ("/cut-off", None),
    ("/endless/0", None),
    ("/loop/a", None),
    ("/loop/b", None),
    ("/missing/1", Some(404)),
    ("/missing/2", Some(404)),
    ("/missing/3", Some(404)),
    ("/missing/4", Some(404)),
    ("/moved/away", Some(404)),
    ("http://[shibuya", None),
];

/// The links that are broken at the first request alone, which is answered 503.
pub const FLAKY: &[&str] = &["/flaky/1", "/flaky/2", "/flaky/3"];

/// How a path is answered.
pub(super) enum Answer {
    Html(String),
    /// After a pause.
    Slow(Duration, String),
    /// 503 at the first request, the page from then on.
    Flaky(String),
    /// Another content type, or HTML in another charset.
    Other(&'static str, Vec<u8>),
    Redirect(String),
    Status(u16),
    /// Fewer bytes than its Content-Length promises.
    CutOff(String),
}

pub(super) fn answer(path: &str) -> Answer {
    let mut parts = path.trim_start_matches('/').split('/');
    let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let number = second.and_then(|part| part.parse::<u32>().ok());
    match (first, number, second, third) {
        ("", ..) => Answer::Html(home()),
        ("robots.txt", ..) => Answer::Other(
            "text/plain",
            b"User-agent: *\nDisallow: /private/\n".to_vec(),
        ),
        ("district", Some(d @ 1..=DISTRICTS), _, None | Some("")) => Answer::Html(district(d)),
        ("district", Some(d @ 1..=DISTRICTS), _, Some(s)) => match s.parse() {
            Ok(s @ 1..=STREETS) => street(d, s),
            _ => Answer::Status(404),
        },
        ("oddities", ..) => Answer::Html(oddities()),
        ("flaky", Some(n), ..) => Answer::Flaky(html(&format!("Flaky {n}"), &paragraphs(n))),
        ("old", Some(d), ..) => Answer::Redirect(format!("/district/{d}/")),
        ("chain", Some(0), ..) => Answer::Redirect("/district/1/".to_owned()),
        ("chain", Some(n), ..) => Answer::Redirect(format!("/chain/{}", n - 1)),
        ("endless", Some(n), ..) => Answer::Redirect(format!("/endless/{}", n + 1)),
        ("loop", _, Some("a"), _) => Answer::Redirect("/loop/b".to_owned()),
        ("loop", _, Some("b"), _) => Answer::Redirect("/loop/a".to_owned()),
        ("moved", _, Some("away"), _) => Answer::Redirect("/missing/1".to_owned()),
        ("deep", _, Some("base"), _) => Answer::Html(base()),
        ("latin", ..) => Answer::Other("text/html; charset=iso-8859-1", latin()),
        ("japanese", ..) => Answer::Other("text/html", japanese()),
        ("malformed", ..) => Answer::Html(malformed()),
        ("paper.pdf", ..) => Answer::Other(
            "application/pdf",
            b"%PDF-1.4 <a href=/missing/pdf>".to_vec(),
        ),
        ("data.json", ..) => Answer::Other(
            "application/json",
            b"{\"a\": \"<a href=/missing/json>\"}".to_vec(),
        ),
        ("cut-off", ..) => Answer::CutOff(html("Cut off", "")),
        ("crash", ..) => Answer::Status(500),
        ("closed", ..) => Answer::Status(410),
        _ => Answer::Status(404),
    }
}

fn html(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{title}</title></head>\n\
         <body><h1>{title}</h1>\n{body}\n<p><a href=\"/\">Home</a></p></body></html>\n"
    )
}

fn home() -> String {
    let mut body = String::from("<ul>\n");
    for d in 1..=DISTRICTS {
        let _ = writeln!(body, "<li><a href=\"/district/{d}/\">District {d}</a>");
    }
    body.push_str("</ul>\n<p><a href='/oddities'>Oddities</a>, <a href=\"mailto:walk@example.com\">mail</a></p>");
    html("The crossing", &body)
}

fn district(d: u32) -> String {
    let mut body = String::from("<ol>\n");
    for s in 1..=STREETS {
        let _ = writeln!(body, "<li><a href={s}>Street {s}</a>");
    }
    body.push_str("</ol>\n");
    if d <= 4 {
        let _ = writeln!(body, "<a href=\"../../missing/{d}\">a shop that closed</a>");
    }
    html(&format!("District {d}"), &body)
}

fn street(d: u32, s: u32) -> Answer {
    let (previous, next) = ((s + STREETS - 2) % STREETS + 1, s % STREETS + 1);
    let body = format!(
        "{}<a href=\"{previous}#top\">previous</a> <a href=\"./{next}\">next</a> <a href=\"../{d}/\">District {d}</a> \
         <a href=\"https://example.com/map?district={d}&amp;street={s}\">map</a>",
        paragraphs(d * STREETS + s)
    );
    let page = html(&format!("District {d}, street {s}"), &body);
    if (d * STREETS + s) % 41 == 0 {
        Answer::Slow(SLOW, page)
    } else {
        Answer::Html(page)
    }
}

fn oddities() -> String {
    let mut body = String::from("<ul>\n");
    let odd = [
        "/flaky/1",
        "/flaky/2",
        "/flaky/3",
        "/old/1",
        "/old/2",
        "/chain/3",
        "/endless/0",
        "/loop/a",
        "/loop/b",
        "/moved/away",
        "/deep/base",
        "/latin",
        "/japanese",
        "/malformed",
        "/paper.pdf",
        "/data.json",
        "/cut-off",
        "/crash",
        "/closed",
        "/private/diary",
        "tel:+81-3-0000-0000",
        "javascript:void(0)",
        "ftp://example.com/",
        "http://[shibuya",
        "",
    ];
    for href in odd {
        let _ = writeln!(body, "<li><a href=\"{href}\">{href}</a>");
    }
    body.push_str(
        "</ul>\n<!-- <a href=/missing/comment> --><script>'<a href=/missing/script>'</script>",
    );
    html("Oddities", &body)
}

/// Its relative link leads into a district, not below `/deep/`.
fn base() -> String {
    "<!doctype html><title>Base</title><a href=3>before</a><base href=/district/3/><base href=/missing/><a href=4>after</a>"
        .to_owned()
}

fn latin() -> Vec<u8> {
    let mut page = b"<!doctype html><title>Caf".to_vec();
    page.push(0xE9);
    page.extend_from_slice(b"</title><a href=/>Home</a>");
    page
}

/// Shift_JIS, as its `meta` says and its header doesn't.
fn japanese() -> Vec<u8> {
    let page = "<!doctype html><meta charset=shift_jis><title>渋谷</title><a href=/>家</a>";
    encoding_rs::SHIFT_JIS.encode(page).0.into_owned()
}

fn malformed() -> String {
    "<title>Malformed</title><p <b><a href='/district/5/'class=x>five</a></p></i><a href=/district/6/>six<table><a href=\"".to_owned()
}
