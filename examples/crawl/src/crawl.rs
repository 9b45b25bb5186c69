//! The engine: a queue of jobs, and a group of workers that empty it.
//!
//! A worker takes a job, requests its URL, reads the page and notes what it found, which puts new jobs
//! into the queue before its own is done. So when the queue is [joined](Queue::join), nothing is left
//! and nothing will come. Workers share what is known behind a lock that nobody holds while waiting.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use shibuya_sync::Queue;
use shibuya_taskgroup::{Cause, GroupError, Reason, TaskGroup, cancelled, step};
use url::Url;

use crate::fetch::Fetcher;
use crate::frontier::Job;
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
    /// How many requests at a time; not 0.
    pub concurrency: usize,
    /// How many requests per second to each host.
    pub rate: Option<f64>,
    /// The time for one attempt at a request.
    pub timeout: Duration,
    /// How often to send a request again that fails for the moment.
    pub retries: u32,
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
    assert!(options.concurrency > 0, "without a worker it never ends");
    let begun = Instant::now();
    // Outside of the group, so that a crawl that is cut short leaves what it found.
    let crew = Arc::new(Crew::new(options, progress)?);

    let mut group = Group::builder().name("crawl").grace(GRACE);
    if let Some(time) = options.deadline {
        group = group.timeout(time);
    }
    let ended = group
        .run(async |g| {
            let mut work = pin!(crew.visit_all(&g, options));
            let is_interrupted = tokio::select! {
                biased; // so that it listens before the first request is sent
                () = stop => true,
                _ = cancelled() => false, // by the deadline, or since a worker panicked
                () = &mut work => return Ok(None),
            };
            crew.jobs.shutdown_now(); // first: whoever reads that it is interrupted may rely on it
            if is_interrupted {
                g.cancel(Reason::Requested);
                progress
                    .say("crawl: interrupted, finishing what is under way (Ctrl-C again to quit)");
            }
            work.await; // what is under way may end
            Ok(g.reason())
        })
        .await;

    progress.clear();
    let crew = Arc::into_inner(crew).expect("no worker outlives the group");
    Ok(Report::new(
        options.start.clone(),
        crew.survey.into_inner().expect(RECORDS),
        crew.fetcher.retried(),
        begun.elapsed(),
        why_stopped(ended),
    ))
}

/// What the workers share.
struct Crew {
    jobs: Queue<Job>,
    survey: Mutex<Survey>,
    fetcher: Fetcher,
    progress: Progress,
}

const RECORDS: &str = "nothing that is recorded panics";

impl Crew {
    fn new(options: &Options, progress: &Progress) -> Result<Self, reqwest::Error> {
        let jobs = Queue::unbounded();
        let survey = Survey::new(jobs.clone(), options.depth, options.external);
        Ok(Self {
            jobs,
            survey: Mutex::new(survey),
            fetcher: Fetcher::new(
                &options.start,
                options.timeout,
                options.retries,
                options.rate,
            )?,
            progress: progress.clone(),
        })
    }

    /// Visits the first page and all that it leads to, or as much of it as was begun before the queue
    /// was shut down.
    async fn visit_all(self: &Arc<Self>, g: &Group, options: &Options) {
        let scope = Arc::new(self.first_page(&options.start).await);
        for n in 1..=options.concurrency {
            let worker = worker(Arc::clone(self), Arc::clone(&scope));
            g.task(format!("worker {n}")).spawn(worker);
        }
        // Without a depth limit there is one level.
        while self.jobs.join().await.is_ok() && self.survey().frontier.begin_level() {}
        self.jobs.shutdown();
    }

    /// Visits the first page. Where its redirects end is the origin to crawl: who asks for
    /// `http://example.com` means `https://www.example.com`.
    async fn first_page(&self, url: &Url) -> Scope {
        let job = self.survey().begin(url);
        let mut scope = step("robots.txt", Scope::of(url, &self.fetcher)).await;
        let first = visit::start(url, &scope, &self.fetcher);
        let first = step(job.name(), first).await;
        if let Some(end) = first.end().filter(|end| !scope.contains(end)) {
            scope = step("robots.txt", Scope::of(end, &self.fetcher)).await;
        }
        self.record(&job, first, &scope);
        scope
    }

    fn record(&self, job: &Job, visit: Visit, scope: &Scope) {
        let (visited, planned) = self.survey().record(job, visit, scope);
        self.progress.show(visited, planned);
    }

    /// For a moment: its guard can't be held across an await.
    fn survey(&self) -> MutexGuard<'_, Survey> {
        self.survey.lock().expect(RECORDS)
    }
}

async fn worker(crew: Arc<Crew>, scope: Arc<Scope>) -> Result<(), Infallible> {
    while let Ok(job) = crew.jobs.get().await {
        // Boxed, as most of many workers wait, and what waits should be small.
        let url = job.url();
        let visit = Box::pin(step(job.name(), visit::visit(&url, &scope, &crew.fetcher)));
        crew.record(&job, visit.await, &scope);
        // The job is done here, after those that it led to were put.
    }
    Ok(())
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
