//! One URL, visited: requested and, if it is a page, read. This is the work on one job.

use url::Url;

use crate::fetch::{Answer, BODY_MAX, FetchError, Fetcher, Read};
use crate::links::Page;
use crate::scope::Scope;

/// More links on a page than this are worth a note.
const LINKS_MANY: usize = 10_000;

/// What came of a visit.
#[derive(Debug)]
pub struct Visit {
    /// What answered in the end, without its body.
    pub answer: Result<Answer, FetchError>,
    /// What was on it, where that is a page of the site.
    pub page: Option<Page>,
    /// What a reader of the report should know.
    pub notes: Vec<String>,
}

impl Visit {
    /// Where the redirects led; `None` where nothing answered.
    #[must_use]
    pub fn end(&self) -> Option<&Url> {
        self.answer.as_ref().ok().map(|answer| &answer.end)
    }
}

/// Visits `url`. Of another origin only the status is of interest, its pages are not read.
pub async fn visit(url: &Url, scope: &Scope, fetcher: &Fetcher) -> Visit {
    let read = if scope.contains(url) {
        Read::Html
    } else {
        Read::Nothing
    };
    let mut visit = request(url, read, scope, fetcher).await;
    if visit.end().is_some_and(|end| scope.contains(end)) {
        visit.read();
    }
    visit
}

/// Visits the first page, wherever it leads: that is the site.
pub async fn start(url: &Url, scope: &Scope, fetcher: &Fetcher) -> Visit {
    let mut visit = request(url, Read::Html, scope, fetcher).await;
    visit.read();
    visit
}

async fn request(url: &Url, read: Read, scope: &Scope, fetcher: &Fetcher) -> Visit {
    let answer = fetcher.get(url, read, |to| scope.allows(to)).await;
    Visit {
        answer,
        page: None,
        notes: Vec::new(),
    }
}

impl Visit {
    /// Reads the body, if there is one, and lets go of it.
    fn read(&mut self) {
        let Ok(answer) = &mut self.answer else { return };
        let Some(body) = answer.body.take() else {
            return;
        };
        let page = Page::parse(&body, &answer.end);

        if body.truncated {
            self.notes.push(format!(
                "longer than {} MiB: the rest was not read",
                BODY_MAX >> 20
            ));
        } else if let Some((errors, first)) = page.malformed {
            let plural = if errors == 1 { "" } else { "s" };
            self.notes.push(format!(
                "malformed HTML: {errors} syntax error{plural}, the first is {first}"
            ));
        }
        if page.charset != "UTF-8" {
            self.notes.push(format!("read as {}", page.charset));
        }
        if page.links.len() > LINKS_MANY {
            self.notes.push(format!("{} links", page.links.len()));
        }
        self.page = Some(page);
    }
}
