//! What the crawl found. Serialized it is the JSON of `--json`; displayed, the text for people.

mod latency;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::fetch::Retried;
use crate::survey::{Checked, Skipped, Survey};

pub use latency::Latency;

/// The result of a crawl.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it began.
    pub start: Url,
    /// How many distinct URLs, without fragments, ended in a 2xx.
    pub checked: usize,
    /// The links that are broken, by URL.
    pub broken: Vec<Broken>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
    /// How many URLs were found and, for that reason, not visited.
    pub unvisited: usize,
    /// How many of the visited URLs redirect.
    pub redirected: usize,
    /// The links that were not to be visited.
    pub skipped: Skipped,
    /// How many URLs ended in which class of status: `2xx`, `4xx`, `none` where nothing answered.
    pub statuses: BTreeMap<String, usize>,
    /// What was sent again, since it failed for the moment.
    pub retried: Retried,
    /// How long the URLs took, in milliseconds; of what was sent again, the last attempt.
    pub latency_ms: Option<Latency>,
    /// Visits per second.
    pub pages_per_second: f64,
    /// The URLs that ended in a 2xx, in order.
    pub pages: Vec<PageInfo>,
    /// What else there is to say about a page, by URL.
    pub notes: Vec<Note>,
}

/// A link that leads nowhere.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// Where to; the `href` itself where that is no URL.
    pub url: String,
    /// The status in the end, if there was one.
    pub status: Option<u16>,
    /// What went wrong, if there was no status.
    pub error: Option<String>,
    /// The pages that link to it, in order.
    pub referrers: Vec<String>,
}

/// A URL that answered.
#[derive(Debug, Serialize)]
pub struct PageInfo {
    /// As it was linked to.
    pub url: String,
    /// Where its redirects led.
    pub redirected_to: Option<Url>,
    /// Its title, if it is a page of the site that has one.
    pub title: Option<String>,
    /// Its length.
    pub bytes: u64,
}

/// A remark on a page.
#[derive(Debug, Serialize)]
pub struct Note {
    /// The page.
    pub url: String,
    /// The remark.
    pub note: String,
}

impl Report {
    pub(crate) fn new(
        start: Url,
        survey: Survey,
        retried: Retried,
        elapsed: Duration,
        stopped: Option<String>,
    ) -> Self {
        let mut statuses = BTreeMap::new();
        for checked in &survey.checked {
            *statuses.entry(class(checked.status)).or_default() += 1;
        }
        let (good, bad): (Vec<_>, Vec<_>) =
            survey.checked.iter().partition(|checked| checked.is_good());

        let mut report = Self {
            start,
            checked: good.len(),
            broken: bad.iter().map(|checked| survey.broken(checked)).collect(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            stopped,
            unvisited: survey.planned - survey.visited,
            redirected: survey
                .checked
                .iter()
                .filter(|checked| checked.redirected_to.is_some())
                .count(),
            skipped: survey.skipped,
            statuses,
            retried,
            latency_ms: Latency::of(survey.checked.iter().filter_map(|checked| checked.took)),
            pages_per_second: survey.visited as f64 / elapsed.as_secs_f64(),
            pages: good.iter().map(|checked| survey.page(checked)).collect(),
            notes: survey
                .checked
                .iter()
                .flat_map(|checked| survey.notes(checked))
                .collect(),
        };
        report.broken.sort_by(|a, b| a.url.cmp(&b.url));
        report.pages.sort_by(|a, b| a.url.cmp(&b.url));
        report.notes.sort_by(|a, b| a.url.cmp(&b.url));
        report
    }

    /// Why the first page couldn't be had; a status, even a bad one, is an answer.
    #[must_use]
    pub fn unreachable(&self) -> Option<&str> {
        if self.statuses.is_empty() {
            return self.stopped.as_deref();
        }
        let start = self
            .broken
            .iter()
            .find(|broken| broken.url == self.start.as_str())?;
        start.error.as_deref()
    }
}

fn class(status: Option<u16>) -> String {
    status.map_or_else(|| "none".to_owned(), |status| format!("{}xx", status / 100))
}

impl Checked {
    pub(crate) fn is_good(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

impl Survey {
    fn url(&self, checked: &Checked) -> String {
        self.frontier[checked.id].url.to_string()
    }

    fn broken(&self, checked: &Checked) -> Broken {
        let referrers = &self.frontier[checked.id].referrers;
        let mut referrers: Vec<_> = referrers
            .iter()
            .map(|&page| self.frontier[page].url.to_string())
            .collect();
        referrers.sort();
        Broken {
            url: self.url(checked),
            status: checked.status,
            error: checked.error.clone(),
            referrers,
        }
    }

    fn page(&self, checked: &Checked) -> PageInfo {
        PageInfo {
            url: self.url(checked),
            redirected_to: checked.redirected_to.clone(),
            title: checked.title.clone(),
            bytes: checked.bytes,
        }
    }

    fn notes(&self, checked: &Checked) -> impl Iterator<Item = Note> {
        checked.notes.iter().map(|note| Note {
            url: self.url(checked),
            note: note.clone(),
        })
    }
}
