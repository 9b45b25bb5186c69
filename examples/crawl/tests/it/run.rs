//! Runs `crawl` and takes its report apart.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::process::Child;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, with nothing of the environment that could lead it elsewhere.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawl"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn crawl(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let done = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(done.success());
}

/// The report of `crawl --json URL ..` and its exit status.
pub(crate) fn report(url: &str, more: &[&str]) -> Report {
    let output = crawl(&[&["--json", url], more].concat());
    Report::of(&output)
}

pub(crate) struct Report {
    pub(crate) json: Value,
    pub(crate) status: i32,
}

impl Report {
    /// Standard output is one JSON object, and nothing else.
    pub(crate) fn of(output: &Output) -> Self {
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error} in {:?}", String::from_utf8_lossy(&output.stdout))
        });
        assert!(json.is_object());
        Self {
            json,
            status: output.status.code().expect("no signal ended it"),
        }
    }

    pub(crate) fn checked(&self) -> u64 {
        self.json["checked"].as_u64().unwrap()
    }

    /// The broken links: URL to (status, error, referrers).
    pub(crate) fn broken(&self) -> BTreeMap<String, (Option<u64>, String, Vec<String>)> {
        let broken = self.json["broken"].as_array().unwrap();
        broken
            .iter()
            .map(|link| {
                (
                    text(&link["url"]),
                    (
                        link["status"].as_u64(),
                        text(&link["error"]),
                        texts(&link["referrers"]),
                    ),
                )
            })
            .collect()
    }

    /// The error of the only broken link, which is `url`.
    pub(crate) fn only_error(&self, url: &str) -> String {
        let broken = self.broken();
        assert_eq!(broken.keys().collect::<Vec<_>>(), [url]);
        assert_eq!(broken[url].0, None, "an error has no status");
        broken[url].1.clone()
    }

    /// The titles of the good pages, by URL.
    pub(crate) fn titles(&self) -> BTreeMap<String, String> {
        let pages = self.json["pages"].as_array().unwrap();
        pages
            .iter()
            .map(|page| (text(&page["url"]), text(&page["title"])))
            .collect()
    }

    /// The notes on `url`.
    pub(crate) fn notes(&self, url: &str) -> Vec<String> {
        let notes = self.json["notes"].as_array().unwrap();
        notes
            .iter()
            .filter(|note| note["url"] == url)
            .map(|note| text(&note["note"]))
            .collect()
    }
}

/// A string; empty for null.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}
