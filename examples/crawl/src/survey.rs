//! What is known so far: grows with each visit, becomes the report in the end.

use std::time::Duration;

use shibuya_sync::Queue;
use url::Url;

use crate::frontier::{Frontier, Id, Job};
use crate::links::Page;
use crate::scope::Scope;
use crate::visit::Visit;

/// A URL that was visited, or can't be.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: Id,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    /// Where its redirects led.
    pub(crate) redirected_to: Option<Url>,
    pub(crate) title: Option<String>,
    pub(crate) bytes: u64,
    /// How long it took to answer.
    pub(crate) took: Option<Duration>,
    pub(crate) notes: Vec<String>,
}

/// Distinct URLs that were left alone, and why; `other_schemes` counts links.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct Skipped {
    /// On other origins.
    pub external: usize,
    /// Kept off by robots.txt.
    pub disallowed: usize,
    /// Deeper than `--depth`.
    pub too_deep: usize,
    /// `mailto:`, `tel:`, `javascript:` …
    pub other_schemes: usize,
}

/// The state of a crawl.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) frontier: Frontier,
    pub(crate) checked: Vec<Checked>,
    pub(crate) skipped: Skipped,
    /// How many URLs were to be visited, so far.
    pub(crate) planned: usize,
    /// How many of them were.
    pub(crate) visited: usize,
    external: bool,
}

impl Survey {
    /// Nothing is known yet. What is to be visited will be put into `queue`.
    pub(crate) fn new(queue: Queue<Job>, depth_max: Option<usize>, external: bool) -> Self {
        Self {
            frontier: Frontier::new(queue, depth_max),
            checked: Vec::new(),
            skipped: Skipped::default(),
            planned: 0,
            visited: 0,
            external,
        }
    }

    /// Makes `start` the first URL; it is not put into the queue.
    pub(crate) fn begin(&mut self, start: &Url) -> Job {
        self.planned = 1;
        let (id, _) = self.frontier.link(start.as_str(), None);
        self.frontier.job(id, 0)
    }

    /// Takes note of a visit and of the links that it found. Gives how many URLs were visited by now,
    /// of how many.
    pub(crate) fn record(&mut self, job: &Job, visit: Visit, scope: &Scope) -> (usize, usize) {
        self.visited += 1;
        let mut page = visit.page.unwrap_or_default();
        let mut checked = Checked {
            title: page.title.take(),
            notes: visit.notes,
            ..Checked::new(job.id)
        };
        match visit.answer {
            Ok(answer) => {
                checked.status = Some(answer.status);
                checked.redirected_to = (answer.end != job.url()).then_some(answer.end);
                checked.bytes = answer.length;
                checked.took = Some(answer.took);
            }
            Err(error) => checked.error = Some(error.to_string()),
        }
        self.checked.push(checked);
        self.follow(job, page, scope);
        (self.visited, self.planned)
    }

    fn follow(&mut self, from: &Job, page: Page, scope: &Scope) {
        self.skipped.other_schemes += page.other_schemes;
        for url in &page.links {
            let (id, is_new) = self.frontier.link(url.as_str(), Some(from.id));
            if is_new {
                self.plan(id, url, from.depth + 1, scope);
            }
        }
        for (href, reason) in &page.invalid {
            let (id, is_new) = self.frontier.link(href, Some(from.id));
            if is_new {
                self.checked.push(Checked::invalid(id, reason));
            }
        }
    }

    /// Visit it or leave it?
    fn plan(&mut self, id: Id, url: &Url, depth: usize, scope: &Scope) {
        if !self.external && !scope.contains(url) {
            self.skipped.external += 1;
        } else if scope.allows(url).is_err() {
            self.skipped.disallowed += 1;
        } else if !self.frontier.plan(id, depth) {
            self.skipped.too_deep += 1;
        } else {
            self.planned += 1;
        }
    }
}

impl Checked {
    fn new(id: Id) -> Self {
        Self {
            id,
            status: None,
            error: None,
            redirected_to: None,
            title: None,
            bytes: 0,
            took: None,
            notes: Vec::new(),
        }
    }

    fn invalid(id: Id, reason: &url::ParseError) -> Self {
        Self {
            error: Some(format!("invalid URL: {reason}")),
            ..Self::new(id)
        }
    }
}
