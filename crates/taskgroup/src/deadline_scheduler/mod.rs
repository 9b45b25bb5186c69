//! [`DeadlineScheduler`]: runs what fits before a deadline, and gives back what was done and what was not.

mod agenda;
mod job;
mod report;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use shibuya_cancel::{current_deadline, deadline};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use self::agenda::Agenda;
pub use self::job::Job;
pub use self::report::{Cut, Done, Report, SkipReason, Skipped};
use crate::task::spawn::TaskBuilder;
use crate::{Cause, Failure, OnError, Outcome, Reason, Task, TaskGroup};

/// Runs as many jobs as fit before a deadline, the most important first, and says what became of
/// each.
///
/// Whenever a worker is free, the next job begins: the one of the highest priority, among those the
/// one that must be ready first, among those the first of the input. A job that by its estimate can't
/// be ready in time never begins, and is handed back with its future. One that takes longer than it
/// has is dropped at its deadline. So all is over when the deadline is, or as soon as nothing more
/// fits.
///
/// Where the scope has a deadline, and that is the earlier one, it counts; less a
/// [`reserve`](Self::reserve), so that there is time for the report.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{DeadlineScheduler, Job};
/// use tokio::time::sleep;
///
/// async fn render(part: &'static str, ms: u64) -> io::Result<&'static str> {
///     sleep(Duration::from_millis(ms)).await;
///     Ok(part)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let ms = Duration::from_millis;
/// let page = DeadlineScheduler::timeout(ms(300)).workers(2).run([
///     Job::new("text", ms(5), render("text", 5)).priority(9),
///     Job::new("map", ms(5), render("map", 5)),
///     Job::new("video", ms(1000), render("video", 1000)),
/// ]);
/// let page = page.await;
/// assert_eq!(page.done.len(), 2);
/// assert_eq!(*page.skipped[0].job.name(), "video");
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a scheduler does nothing until `run` is awaited"]
pub struct DeadlineScheduler {
    at: Option<Instant>,
    limit: Duration,
    reserve: Duration,
    workers: usize,
}

impl DeadlineScheduler {
    /// All must be over at `at`.
    pub fn new(at: Instant) -> Self {
        Self {
            at: Some(at),
            limit: Duration::MAX,
            reserve: Duration::from_millis(5),
            workers: 1,
        }
    }

    /// All must be over in `limit`, counted from the first poll of [`run`](Self::run).
    pub fn timeout(limit: Duration) -> Self {
        Self {
            at: None,
            limit,
            ..Self::new(Instant::now())
        }
    }

    /// How many jobs run at the same time. Default: one.
    ///
    /// # Panics
    ///
    /// When `workers` is 0: no job would ever begin.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(
            workers > 0,
            "a scheduler with 0 workers never runs a job; the least is 1"
        );
        self.workers = workers;
        self
    }

    /// How long before the deadline of the *scope* all must be over. Default: 5 ms.
    ///
    /// At its deadline a scope drops what it runs, the report included. The scheduler's own deadline
    /// needs no reserve.
    pub fn reserve(mut self, reserve: Duration) -> Self {
        self.reserve = reserve;
        self
    }

    /// Runs the jobs, each as a task with the job's name, and waits until all that began have ended.
    ///
    /// A job can ask for the [`remaining`](shibuya_cancel::remaining) time. In a scope that is
    /// cancelled with a grace no further job begins, and those at work end by themselves, as everything
    /// does there. For no jobs at all the report is empty, and ready at once.
    ///
    /// Dropping the returned future has the jobs dropped: those that wait at once, those at work at
    /// their next poll, without waiting for that.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime. A panic of a job is a failure in the report.
    pub fn run<T, E, F>(self, jobs: impl IntoIterator<Item = Job<F>>) -> RunJobs<T, E, F>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let jobs: Vec<_> = jobs.into_iter().map(Some).collect();
        RunJobs(Box::pin(async move {
            let mut shop = Shop::new(self.workers, self.end(Instant::now()), jobs);
            let group = TaskGroup::builder()
                .name("deadline_scheduler")
                .on_error(OnError::Collect);
            // An error only says that it was cancelled from further out, and who polls it still lives.
            let _ = group.run(async |g| Ok(shop.work(&g).await)).await;
            shop.close()
        }))
    }

    fn end(&self, now: Instant) -> Instant {
        let at = match self.at {
            Some(at) => at,
            None => now.checked_add(self.limit).unwrap_or(now + FAR),
        };
        let inherited = current_deadline().map(|at| at.checked_sub(self.reserve).unwrap_or(now));
        inherited.map_or(at, |inherited| inherited.min(at))
    }
}

/// As good as never.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The jobs of one run, wherever they are.
struct Shop<T, E, F> {
    workers: usize,
    end: Instant,
    agenda: Agenda,
    /// Those that wait, by their place in the input.
    jobs: Vec<Option<Job<F>>>,
    at_work: HashMap<usize, AtWork<T, E>>,
    report: Report<T, E, F>,
}

struct AtWork<T, E> {
    task: Task<Result<T, Late>, E>,
    location: &'static std::panic::Location<'static>,
    began: Instant,
}

/// The deadline passed before the job was done.
struct Late;

impl<T, E, F> Shop<T, E, F>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn new(workers: usize, end: Instant, jobs: Vec<Option<Job<F>>>) -> Self {
        let asks = jobs.iter().flatten().map(|job| job.ask(end)).collect();
        Self {
            workers,
            end,
            agenda: Agenda::new(asks),
            jobs,
            at_work: HashMap::new(),
            report: Report::new(),
        }
    }

    async fn work(&mut self, g: &TaskGroup<E>) {
        let (bell, mut ended) = unbounded_channel();
        loop {
            self.hand_out(g, &bell);
            if self.at_work.is_empty() {
                return;
            }
            self.take_back(&mut ended).await;
        }
    }

    /// Gives a job to each free worker, as far as there are any that fit.
    fn hand_out(&mut self, g: &TaskGroup<E>, bell: &UnboundedSender<usize>) {
        if let Some(reason) = g.reason() {
            return self.give_up(&reason);
        }
        let now = Instant::now();
        let choice = self.agenda.choose(now, self.workers - self.at_work.len());
        for place in choice.skip {
            let job = self.jobs[place].take().expect("an agenda names a job once");
            let remaining = job.ask(self.end).due.saturating_duration_since(now);
            let needs = job.estimate;
            tracing::debug!(job = %job.name, ?needs, ?remaining, "skipped: it would be late");
            let why = SkipReason::Hopeless { needs, remaining };
            self.report.skipped.push(Skipped { job, why });
        }
        for place in choice.begin {
            let job = self.jobs[place].take().expect("an agenda names a job once");
            let work = AtWork {
                location: job.location,
                began: now,
                task: self.begin(g, job, Bell(place, bell.clone())),
            };
            self.at_work.insert(place, work);
        }
    }

    fn begin(&self, g: &TaskGroup<E>, job: Job<F>, bell: Bell) -> Task<Result<T, Late>, E> {
        let due = job.ask(self.end).due;
        TaskBuilder::new(g, job.name, job.location).spawn(async move {
            let _rings_at_the_end = bell;
            match deadline(due, job.future).await {
                Ok(result) => result.map(Ok),
                Err(_) => Ok(Err(Late)),
            }
        })
    }

    /// Waits for a job to end, and notes how it did.
    async fn take_back(&mut self, ended: &mut UnboundedReceiver<usize>) {
        let place = ended.recv().await.expect("we hold a sender, too");
        let work = self.at_work.get_mut(&place).expect("it rings once");
        // Its future is all but dropped: this waits for no more than that.
        let outcome = work.task.outcome().await;
        let AtWork {
            task,
            location,
            began,
        } = self.at_work.remove(&place).expect("seen above");
        let name = task.name().clone();
        let elapsed = began.elapsed();
        let cause = match outcome {
            Outcome::Ok(Ok(value)) => {
                let done = Done {
                    name,
                    value,
                    elapsed,
                };
                return self.report.done.push(done);
            }
            Outcome::Ok(Err(Late)) => {
                tracing::debug!(job = %name, ?elapsed, "cut: its deadline passed");
                return self.report.cut.push(Cut { name, elapsed });
            }
            Outcome::Err(error) => Cause::Error(error),
            Outcome::Panicked(panic) => Cause::Panic(panic),
            Outcome::Cancelled(reason) => Cause::Cancelled(reason),
        };
        self.report.failed.push(Failure {
            id: task.id(),
            name,
            location,
            elapsed,
            cause,
        });
    }

    fn give_up(&mut self, reason: &Reason) {
        for place in self.agenda.give_up() {
            let job = self.jobs[place].take().expect("an agenda names a job once");
            let why = SkipReason::Cancelled(reason.clone());
            self.report.skipped.push(Skipped { job, why });
        }
    }

    /// The report; what the group was dropped over is in it, too.
    fn close(mut self) -> Report<T, E, F> {
        self.give_up(&Reason::Requested);
        for work in std::mem::take(&mut self.at_work).into_values() {
            self.report.cut.push(Cut {
                name: work.task.name().clone(),
                elapsed: work.began.elapsed(),
            });
        }
        self.report
    }
}

/// Says which job has ended, whichever way.
struct Bell(usize, UnboundedSender<usize>);

impl Drop for Bell {
    fn drop(&mut self) {
        // Nobody listens when the run was dropped.
        let _ = self.1.send(self.0);
    }
}

/// The future of [`DeadlineScheduler::run`].
#[must_use = "futures do nothing unless polled"]
pub struct RunJobs<T, E, F>(BoxFuture<'static, Report<T, E, F>>);

impl<T, E, F> Future for RunJobs<T, E, F> {
    type Output = Report<T, E, F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E, F> fmt::Debug for RunJobs<T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunJobs(..)")
    }
}
