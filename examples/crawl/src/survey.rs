//! What is known so far: grows with each visit, becomes the report in the end.

use url::Url;

use crate::fetch::FetchError;
use crate::frontier::{Frontier, Id};
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
    /// How long the visit took, unless there was none.
    pub(crate) millis: Option<f64>,
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
    pub(crate) fn new(depth_max: Option<usize>, external: bool) -> Self {
        Self {
            frontier: Frontier::new(depth_max),
            checked: Vec::new(),
            skipped: Skipped::default(),
            planned: 0,
            visited: 0,
            external,
        }
    }

    /// Makes `start` the first URL; it is not put in the queue.
    pub(crate) fn begin(&mut self, start: &Url) -> Id {
        self.planned = 1;
        self.frontier.link(start.as_str(), None).0
    }

    /// Takes note of a visit to `id` and of the links that it found.
    pub(crate) fn record(&mut self, id: Id, depth: usize, visit: Visit, scope: &Scope) {
        self.visited += 1;
        let (status, error, redirected_to, bytes) = match visit.answer {
            Ok(answer) => {
                let redirected = answer.end.as_str() != &*self.frontier[id].url;
                (
                    Some(answer.status),
                    None,
                    redirected.then_some(answer.end),
                    answer.length,
                )
            }
            Err(error) => (None, Some(error.to_string()), None, 0),
        };
        let mut page = visit.page.unwrap_or_default();
        self.checked.push(Checked {
            id,
            status,
            error,
            redirected_to,
            title: page.title.take(),
            bytes,
            millis: Some(visit.elapsed.as_secs_f64() * 1000.0),
            notes: visit.notes,
        });
        self.follow(id, depth, page, scope);
    }

    fn follow(&mut self, from: Id, depth: usize, page: Page, scope: &Scope) {
        self.skipped.other_schemes += page.other_schemes;
        for url in &page.links {
            let (id, is_new) = self.frontier.link(url.as_str(), Some(from));
            if is_new {
                self.plan(id, url, depth + 1, scope);
            }
        }
        for (href, reason) in &page.invalid {
            let (id, is_new) = self.frontier.link(href, Some(from));
            if is_new {
                self.checked.push(Checked::invalid(id, reason));
            }
        }
    }

    /// Visit it or leave it?
    fn plan(&mut self, id: Id, url: &Url, depth: usize, scope: &Scope) {
        if !scope.contains(url) {
            self.skipped.external += usize::from(!self.external);
            if !self.external {
                return;
            }
        }
        match scope.allows(url) {
            Err(FetchError::Disallowed(_) | FetchError::NoRobots(_)) => {
                self.skipped.disallowed += 1
            }
            _ if self.frontier.push(id, depth) => self.planned += 1,
            _ => self.skipped.too_deep += 1,
        }
    }
}

impl Checked {
    fn invalid(id: Id, reason: &url::ParseError) -> Self {
        Self {
            id,
            status: None,
            error: Some(format!("invalid URL: {reason}")),
            redirected_to: None,
            title: None,
            bytes: 0,
            millis: None,
            notes: Vec::new(),
        }
    }
}
