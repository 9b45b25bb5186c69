//! The engine: one group of tasks, one coordinator.
//!
//! The coordinator alone owns the [`Frontier`](crate::frontier) and hands out a URL when a task is
//! free to take it, so that a page with 50,000 links makes a set of URLs grow and never a queue of
//! tasks. A task requests one URL, reads its page and sends what it found; it shares nothing that
//! needs a lock.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shibuya_taskgroup::{Cause, GroupError, Reason, TaskGroup};
use tokio::sync::mpsc;
use url::Url;

use crate::fetch::Fetcher;
use crate::progress::Progress;
use crate::report::Report;
use crate::scope::Scope;
use crate::survey::Survey;
use crate::visit;

/// When a crawl is stopped, requests under way have this long to end.
const GRACE: Duration = Duration::from_secs(2);

/// What to crawl, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first page; its origin is what is crawled.
    pub start: Url,
    /// How many clicks from the start to go.
    pub depth: Option<usize>,
    /// How many requests at a time; not 0.
    pub concurrency: usize,
    /// How many requests per second.
    pub rate: Option<f64>,
    /// The time for one request.
    pub timeout: Duration,
    /// The time for all of them.
    pub deadline: Option<Duration>,
    /// Whether links to other origins are requested too.
    pub external: bool,
}

/// Visits fail in a report, not as tasks: only a panic can end the group.
type Group = TaskGroup<Infallible>;

/// Crawls until every page that can be reached was visited, or `stop` completes, or time is up; what
/// was found so far is in the report in any case.
///
/// # Errors
///
/// If the HTTP client can't be set up.
///
/// # Panics
///
/// If the concurrency is 0.
pub async fn crawl(
    options: &Options,
    progress: &Progress,
    stop: impl Future<Output = ()>,
) -> Result<Report, reqwest::Error> {
    let begun = Instant::now();
    let fetcher = Arc::new(Fetcher::new(&options.start, options.timeout, options.rate)?);
    // Outside of the group, so that a crawl that is cut short leaves what it found.
    let mut survey = Survey::new(options.depth, options.external);

    let mut group = Group::builder()
        .name("crawl")
        .limit(options.concurrency)
        .grace(GRACE);
    if let Some(time) = options.deadline {
        group = group.timeout(time);
    }
    let ended = group
        .run(async |g| {
            let mut work = pin!(coordinate(&g, options, &fetcher, &mut survey, progress));
            tokio::select! {
                biased; // so that it listens before the first request is sent
                () = stop => {
                    g.cancel(Reason::Requested);
                    progress.say("crawl: interrupted, finishing what is under way (Ctrl-C again to quit)");
                    work.await;
                }
                () = &mut work => {}
            }
            Ok(g.reason())
        })
        .await;

    progress.clear();
    Ok(Report::new(
        options.start.clone(),
        survey,
        begun.elapsed(),
        why_stopped(ended),
    ))
}

/// Feeds the group until nothing is left to visit or the group is cancelled; then waits for what is
/// under way.
async fn coordinate(
    g: &Group,
    options: &Options,
    fetcher: &Arc<Fetcher>,
    survey: &mut Survey,
    progress: &Progress,
) {
    let scope = Arc::new(first_page(&options.start, fetcher, survey).await);
    let limit = options.concurrency;
    let (found, mut visits) = mpsc::channel(limit);
    let mut under_way = 0;
    loop {
        // No more than the group runs at a time, so that none waits in a line of tasks.
        while under_way < limit && !g.is_cancelled() {
            let Some(job) = survey.frontier.pop(under_way == 0) else {
                break;
            };
            let (scope, fetcher, found) = (Arc::clone(&scope), Arc::clone(fetcher), found.clone());
            g.spawn(async move {
                let visit = visit::visit(&job.url, &scope, &fetcher).await;
                // There is room for it; only a coordinator that is gone doesn't want it.
                let _ = found.send((job, visit)).await;
                Ok(())
            });
            under_way += 1;
        }
        if under_way == 0 {
            return;
        }
        let (job, visit) = visits.recv().await.expect("`found` is kept here");
        under_way -= 1;
        survey.record(&job, visit, &scope);
        progress.show(survey.visited, survey.planned);
    }
}

/// Visits the first page. Where its redirects end is the origin to crawl: who asks for
/// `http://example.com` means `https://www.example.com`.
async fn first_page(url: &Url, fetcher: &Fetcher, survey: &mut Survey) -> Scope {
    let job = survey.begin(url);
    let mut scope = Scope::of(url, fetcher).await;
    let first = visit::start(url, &scope, fetcher).await;
    if let Some(end) = first.end().filter(|end| !scope.contains(end)) {
        scope = Scope::of(end, fetcher).await;
    }
    survey.record(&job, first, &scope);
    scope
}

/// Nothing to say about a crawl that came to its end.
fn why_stopped(ended: Result<Option<Reason>, GroupError<Infallible>>) -> Option<String> {
    let reason = match ended {
        Ok(reason) => reason?,
        Err(error) => match error.first().cause() {
            Cause::Deadline => Reason::Deadline,
            Cause::Cancelled(reason) => reason.clone(),
            _ => return Some(error.to_string()),
        },
    };
    Some(match reason {
        Reason::Requested => "interrupted".to_owned(),
        Reason::Deadline => "deadline".to_owned(),
        other => other.to_string(),
    })
}
