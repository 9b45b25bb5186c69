//! The engine: one group of tasks, one coordinator.
//!
//! The coordinator alone owns the [`Frontier`](crate::frontier) and hands out a URL when a task is
//! free to take it, so that a page with 50,000 links makes a set of URLs grow and never a queue of
//! tasks. A task requests one URL, reads its page and sends what it found; it shares nothing that
//! needs a lock.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use crate::fetch::Fetcher;
use crate::frontier::Id;
use crate::progress::Progress;
use crate::report::Report;
use crate::scope::Scope;
use crate::survey::Survey;
use crate::visit::{self, Visit};

/// When a crawl is stopped, requests under way have this long to end.
const GRACE: Duration = Duration::from_secs(2);

/// What to crawl, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first page; its origin is what is crawled.
    pub start: Url,
    /// How many clicks from the start to go.
    pub depth: Option<usize>,
    /// How many requests at a time.
    pub concurrency: NonZeroUsize,
    /// How many requests per second.
    pub rate: Option<f64>,
    /// The time for one request.
    pub timeout: Duration,
    /// The time for all of them.
    pub deadline: Option<Duration>,
    /// Whether links to other origins are requested too.
    pub external: bool,
}

/// Crawls until every page that can be reached was visited, or `stop` completes, or time is up; what
/// was found so far is in the report in any case.
///
/// # Errors
///
/// If the HTTP client can't be set up.
pub async fn crawl(
    options: &Options,
    progress: &Progress,
    stop: impl Future<Output = ()>,
) -> Result<Report, reqwest::Error> {
    let begun = Instant::now();
    let fetcher = Arc::new(Fetcher::new(&options.start, options.timeout, options.rate)?);
    let mut survey = Survey::new(options.depth, options.external);
    let mut stopped = None;
    {
        let mut drive = pin!(drive(options, &fetcher, &mut survey, progress));
        let deadline = async {
            match options.deadline {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut drive => {}
            () = stop => {
                progress.say("interrupted");
                stopped = Some("interrupted".to_owned());
                let _ = tokio::time::timeout(GRACE, drive).await;
            }
            () = deadline => stopped = Some("deadline".to_owned()),
        }
    }
    progress.clear();
    Ok(Report::new(
        options.start.clone(),
        survey,
        begun.elapsed(),
        stopped,
    ))
}

/// The coordinator.
async fn drive(
    options: &Options,
    fetcher: &Arc<Fetcher>,
    survey: &mut Survey,
    progress: &Progress,
) {
    let scope = Arc::new(first_page(&options.start, fetcher, survey).await);
    let limit = options.concurrency.get();
    let (found, mut visits) = mpsc::channel::<(Id, usize, Visit)>(limit);
    let mut under_way = 0;
    let mut tasks = JoinSet::new();
    loop {
        while under_way < limit {
            let Some((id, url, depth)) = survey.frontier.pop(under_way == 0) else {
                break;
            };
            under_way += 1;
            let (found, scope, fetcher) = (found.clone(), Arc::clone(&scope), Arc::clone(fetcher));
            tasks.spawn(async move {
                let visit = visit::visit(url, scope, fetcher).await;
                let _ = found.send((id, depth, visit)).await;
            });
        }
        if under_way == 0 {
            return;
        }
        tokio::select! {
            Some((id, depth, visit)) = visits.recv() => {
                under_way -= 1;
                survey.record(id, depth, visit, &scope);
                progress.show(survey.visited, survey.planned);
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Visits the first page. Where its redirects end is the origin to crawl: who asks for
/// `http://example.com` means `https://www.example.com`.
async fn first_page(url: &Url, fetcher: &Fetcher, survey: &mut Survey) -> Scope {
    let id = survey.begin(url);
    let mut scope = Scope::of(url, fetcher).await;
    let first = visit::start(url, &scope, fetcher).await;
    if let Some(end) = first.end().filter(|end| !scope.contains(end)) {
        scope = Scope::of(end, fetcher).await;
    }
    survey.record(id, 0, first, &scope);
    scope
}
