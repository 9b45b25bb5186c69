use std::collections::BTreeMap;

use crawl::site::{BROKEN, FLAKY};
use serde_json::json;

use crate::run::{Report, crawl};

fn demo(flags: &[&str]) -> Report {
    let report = Report::of(&crawl(&[&["--json"], flags].concat()));
    assert_eq!(report.status, 0, "the demo is no failure");
    report
}

/// A path of the site, or what is no URL, as it stands in the report.
fn full(report: &Report, path: &str) -> String {
    let start = report.json["start"].as_str().unwrap();
    if path.starts_with('/') {
        format!("{}{path}", start.trim_end_matches('/'))
    } else {
        path.to_owned()
    }
}

/// The broken links and their statuses.
fn found(report: &Report) -> BTreeMap<String, Option<u64>> {
    let broken = report.broken().into_iter();
    broken.map(|(url, (status, ..))| (url, status)).collect()
}

fn known(report: &Report) -> BTreeMap<String, Option<u64>> {
    let known = BROKEN.iter();
    known
        .map(|&(path, status)| (full(report, path), status.map(u64::from)))
        .collect()
}

#[test]
fn it_finds_exactly_the_links_that_the_site_knows_to_be_broken() {
    let report = demo(&[]);
    assert_eq!(found(&report), known(&report));
    assert!(report.checked() > 300);
    assert_eq!(report.json["skipped"]["disallowed"], 1);
    assert_eq!(report.titles()[&full(&report, "/japanese")], "渋谷");
    assert_eq!(report.titles()[&full(&report, "/latin")], "Café");
    assert_eq!(report.titles()[&full(&report, "/flaky/1")], "Flaky 1");
    // Three that are flaky, with a retry each; one that crashes and one that is cut off, each with two in vain.
    let retried = json!({"requests": 5, "attempts": 7, "recovered": 3, "refused": 0});
    assert_eq!(report.json["retried"], retried);
}

#[test]
fn without_retries_the_flaky_pages_are_broken_too() {
    let report = demo(&["--retries", "0"]);
    let flaky = FLAKY.iter().map(|path| (full(&report, path), Some(503)));
    let mut known = known(&report);
    known.extend(flaky);
    assert_eq!(found(&report), known);
    let retried = json!({"requests": 0, "attempts": 0, "recovered": 0, "refused": 0});
    assert_eq!(report.json["retried"], retried);
}

#[test]
fn the_text_for_people_says_where_and_what() {
    let output = crawl(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for expected in [
        "checking the demo site on http://127.0.0.1:",
        "District 6, street 12",
        "/missing/3  404\n",
        "redirect loop",
        "pages per second",
    ] {
        assert!(text.contains(expected), "{expected} isn't in:\n{text}");
    }
    assert!(
        output.stderr.is_empty(),
        "no progress bar where there is no terminal"
    );
}
