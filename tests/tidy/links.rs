//! The README's table lists every crate, and links between the repository's own files lead somewhere.

use std::path::Path;

use crate::assert_none;
use crate::workspace::{crates, files, name, read, root};

/// The targets of the links in `markdown` with their lines, from 1. Code is skipped.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fence = None;
    for (number, line) in (1..).zip(markdown.lines()) {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (mark, fence) {
            (Some(_), None) => fence = mark,
            (Some(_), Some(_)) if mark == fence => fence = None,
            (None, None) => links.extend(
                targets(&without_code(line))
                    .into_iter()
                    .map(|target| (number, target)),
            ),
            _ => {}
        }
    }
    links
}

/// `line` without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// `target` of each `](target "title")`, and of a line `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target.trim());
    let targets = inline
        .chain(reference)
        .map(|target| target.trim_matches(['<', '>']).to_owned());
    targets.filter(|target| !target.is_empty()).collect()
}

/// The path that a link of `file` leads to, relative to the repository; `None` if it leads elsewhere.
fn path_of(file: &Path, link: &str) -> Option<std::path::PathBuf> {
    let path = link.split('#').next().unwrap_or_default();
    let elsewhere = path.is_empty() || path.contains(':'); // an anchor, a URL, or an item in rustdoc
    let is_item = |part: char| part.is_alphanumeric() || part == '_';
    // A crate's README is also its front page in rustdoc, where a bare name is an item.
    let is_item = file.starts_with("crates") && path.chars().all(is_item);
    (!elsewhere && !is_item).then(|| file.parent().unwrap_or(Path::new("")).join(path))
}

/// Whether a row of a table in `readme` is about the crate in `crates/<folder>`.
fn has_row(readme: &str, folder: &str) -> bool {
    let rows = || {
        readme
            .lines()
            .filter(|line| line.trim_start().starts_with('|'))
    };
    let package = if folder == "shibuya" {
        folder.to_owned()
    } else {
        format!("shibuya-{folder}")
    };
    [
        format!("](crates/{folder})"),
        format!("](crates/{folder}/"),
        format!("`{package}`"),
        format!("`{folder}`"),
    ]
    .iter()
    .any(|mark| rows().any(|row| row.contains(mark)))
}

#[test]
fn the_readme_lists_every_crate() {
    let readme = read(&root().join("README.md"));
    let missing = crates()
        .into_iter()
        .filter(|dir| !has_row(&readme, name(dir)));
    let complaints =
        missing.map(|dir| format!("README.md: the table has no row for crates/{}", name(&dir)));
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn links_between_files_lead_somewhere() {
    let mut complaints = Vec::new();
    for file in files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
    {
        for (line, link) in links(&read(&root().join(&file))) {
            if path_of(&file, &link).is_some_and(|path| !root().join(path).exists()) {
                complaints.push(format!("{}:{line}: there is no {link}", file.display()));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn links_are_found_outside_of_code() {
    let text = "see [a](a.md), ![b](<b.png> \"B\") and `[no](no.md)` [`c`](c.md#part)\n\
                ```text\n[no](no.md)\n```\n[d]: ../d.md\n[e] [f](#here)";
    let found: Vec<_> = links(text);
    let expected = [
        (1, "a.md"),
        (1, "b.png"),
        (1, "c.md#part"),
        (5, "../d.md"),
        (6, "#here"),
    ];
    assert_eq!(found, expected.map(|(line, link)| (line, link.to_owned())));
}

#[test]
fn a_link_is_relative_to_its_file() {
    let path = |file: &str, link: &str| {
        path_of(Path::new(file), link).map(|path| path.display().to_string())
    };
    assert_eq!(
        path("docs/src/a.md", "../b.md#c").as_deref(),
        Some("docs/src/../b.md")
    );
    assert_eq!(
        path("README.md", "crates/cancel").as_deref(),
        Some("crates/cancel")
    );
    assert_eq!(path("README.md", "LICENSE").as_deref(), Some("LICENSE"));
    assert_eq!(path("crates/cancel/README.md", "CancelScope"), None);
    assert_eq!(path("crates/cancel/README.md", "crate::CancelScope"), None);
    assert_eq!(path("README.md", "https://example.org/a"), None);
    assert_eq!(path("README.md", "#there"), None);
}

#[test]
fn a_row_is_a_line_of_a_table_and_names_the_whole_crate() {
    assert!(has_row("| [cancel](crates/cancel) | scopes |", "cancel"));
    assert!(has_row("| `shibuya-cancel` | scopes |", "cancel"));
    assert!(!has_row("[cancel](crates/cancel) is for scopes", "cancel"));
    assert!(!has_row("| [cancel](crates/cancel) |", "can"));
}
