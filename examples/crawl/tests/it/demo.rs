use std::collections::BTreeMap;

use crawl::site::BROKEN;

use crate::run::{Report, crawl};

#[test]
fn it_finds_exactly_the_links_that_the_site_knows_to_be_broken() {
    let output = crawl(&["--json"]);
    let report = Report::of(&output);
    assert_eq!(report.status, 0, "the demo is no failure");

    let start = report.json["start"].as_str().unwrap();
    let full = |path: &str| {
        if path.starts_with('/') {
            format!("{}{path}", start.trim_end_matches('/'))
        } else {
            path.to_owned()
        }
    };
    let known: BTreeMap<_, _> = BROKEN
        .iter()
        .map(|&(path, status)| (full(path), status.map(u64::from)))
        .collect();
    let found: BTreeMap<_, _> = report
        .broken()
        .into_iter()
        .map(|(url, (status, ..))| (url, status))
        .collect();
    assert_eq!(found, known);
    assert!(report.checked() > 300);
    assert_eq!(report.json["skipped"]["disallowed"], 1);
    assert_eq!(report.titles()[&full("/japanese")], "渋谷");
    assert_eq!(report.titles()[&full("/latin")], "Café");
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
