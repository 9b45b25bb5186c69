use std::fmt::{self, Display};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::panics::{Said, catch, catch_async};
use crate::wakes::Wakes;
use crate::{DropPoint, Ending};

/// How often a drop point is tried again when the future completes before it although it went further in an earlier run.
const ATTEMPTS: usize = 3;

/// Drops a future at every point of its life and checks, each time, that nothing was lost and nobody else was harmed.
///
/// `make` builds a fresh fixture and the future under test; `check` gets the fixture back after the future is gone. They
/// run once for each of these, in this order, until the future completes:
///
/// 1. dropped before its first poll;
/// 2. for each poll k that returns `Pending`: dropped right after it, then (in a run of its own) dropped after the wake
///    that follows it and before the next poll, when whatever was handed to the future must go to somebody else;
/// 3. completed;
/// 4. completed once more, polled twice before each wake, since a future may be polled without having been woken.
///
/// The future is polled only after it asked for it: each poll gets a waker of its own, and the harness really waits until
/// that waker is used. So real I/O works, and so do a paused clock and any runtime, or none. `name` is the public future
/// under test (`"Queue::get"`); it stands in every message. [`Harness`] is the same with other limits.
///
/// Dropping the returned future drops the run it is in, without a `check`.
///
/// # Cancel safety
///
/// Cancel safe: no task or thread of the harness stays behind. A harness that was dropped has proved nothing.
///
/// # Panics
///
/// With the name, the drop point and the place of this call, when
///
/// * `make`, the future, its destructor or `check` panics (the message is repeated);
/// * a poll returns `Pending` and no wake follows within the limit: a lost wake-up;
/// * `make` or `check` takes longer than the limit: after the drop, the next user hangs;
/// * the future is still pending after the maximal number of polls.
///
/// # Examples
///
/// ```
/// use shibuya_testkit::{Ending, cancel_at_every_poll};
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let report = cancel_at_every_poll(
///     "mpsc::Receiver::recv",
///     async || {
///         let (tx, rx) = mpsc::channel(1);
///         let rx = std::sync::Arc::new(tokio::sync::Mutex::new(rx));
///         let shared = rx.clone();
///         tokio::spawn(async move { tx.send("item").await });
///         (rx, async move { shared.lock().await.recv().await })
///     },
///     async |rx, ending| {
///         if let Ending::Dropped(_) = ending {
///             assert_eq!(rx.lock().await.recv().await, Some("item"), "the dropped recv took the item along");
///         }
///     },
/// )
/// .await;
/// assert!(report.polls >= 2, "recv never had to wait: {report:?}");
/// # }
/// ```
#[track_caller]
pub fn cancel_at_every_poll<S, F, M, C>(
    name: &str,
    make: M,
    check: C,
) -> impl Future<Output = Report> + use<S, F, M, C>
where
    F: Future,
    M: AsyncFnMut() -> (S, F),
    C: AsyncFnMut(S, Ending<F::Output>),
{
    Harness::new(name).run(make, check)
}

/// [`cancel_at_every_poll`] with limits of your own.
///
/// # Examples
///
/// ```
/// use shibuya_testkit::Harness;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let report = Harness::new("yield_now")
///     .limit(Duration::from_secs(60))
///     .max_polls(2)
///     .run(async || ((), tokio::task::yield_now()), async |(), _| {})
///     .await;
/// assert_eq!(report.polls, 2);
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a harness does nothing before `run`"]
pub struct Harness {
    name: String,
    location: &'static Location<'static>,
    limit: Duration,
    max_polls: usize,
}

impl Harness {
    /// A harness for the public future `name`, with 5 seconds and 1000 polls as limits.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        Harness {
            name: name.to_owned(),
            location: Location::caller(),
            limit: Duration::from_secs(5),
            max_polls: 1000,
        }
    }

    /// How long each wake, each `make` and each `check` may take, in real time even where the runtime's clock is paused.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How many polls the future may need.
    ///
    /// # Panics
    ///
    /// If `polls` is 0.
    #[track_caller]
    pub fn max_polls(mut self, polls: usize) -> Self {
        assert!(polls > 0, "a future needs at least one poll");
        self.max_polls = polls;
        self
    }

    /// Runs the harness: see [`cancel_at_every_poll`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no task or thread of the harness stays behind. A harness that was dropped has proved nothing.
    ///
    /// # Panics
    ///
    /// As [`cancel_at_every_poll`] does.
    pub async fn run<S, F, M, C>(self, make: M, check: C) -> Report
    where
        F: Future,
        M: AsyncFnMut() -> (S, F),
        C: AsyncFnMut(S, Ending<F::Output>),
    {
        let mut runner = Runner {
            harness: self,
            make,
            check,
            alarm: Alarm::default(),
            report: Report::default(),
        };
        runner.every_point().await;
        runner.report
    }
}

/// What the harness did, for tests that want to be sure that there was something to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Runs that dropped the future before it completed.
    pub drops: usize,
    /// Runs in which the future completed.
    pub completions: usize,
    /// The most polls that a run needed; 1 means that the future never was pending.
    pub polls: usize,
}

/// What a run intends to do with its future.
#[derive(Clone, Copy)]
enum Plan {
    Drop(DropPoint),
    PollTwice,
}

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Drop(point) => write!(f, "to be dropped {point}"),
            Plan::PollTwice => write!(f, "polled twice before each wake"),
        }
    }
}

struct Runner<M, C> {
    harness: Harness,
    make: M,
    check: C,
    alarm: Alarm,
    report: Report,
}

impl<M, C> Runner<M, C> {
    async fn every_point<S, F>(&mut self)
    where
        F: Future,
        M: AsyncFnMut() -> (S, F),
        C: AsyncFnMut(S, Ending<F::Output>),
    {
        self.run(Plan::Drop(DropPoint::BeforeFirstPoll)).await;
        let mut poll = 1;
        while self.reach(DropPoint::AfterPoll(poll)).await {
            // A future that takes another way this time may complete; the next poll's turn decides whether that was its end.
            self.reach(DropPoint::AfterWake(poll)).await;
            poll += 1;
        }
        self.run(Plan::PollTwice).await;
    }

    /// Drops the future at `point`, if it gets there. With real I/O it may complete early by chance: then it gets more
    /// chances, as long as it is known to be able to go further.
    async fn reach<S, F>(&mut self, point: DropPoint) -> bool
    where
        F: Future,
        M: AsyncFnMut() -> (S, F),
        C: AsyncFnMut(S, Ending<F::Output>),
    {
        for _ in 0..ATTEMPTS {
            let longest = self.report.polls;
            match self.run(Plan::Drop(point)).await {
                None => return true,
                Some(polls) if polls > longest => return false,
                Some(_) => {}
            }
        }
        false
    }

    /// One run: makes, polls, drops, checks. Returns the number of polls if the future completed.
    async fn run<S, F>(&mut self, plan: Plan) -> Option<usize>
    where
        F: Future,
        M: AsyncFnMut() -> (S, F),
        C: AsyncFnMut(S, Ending<F::Output>),
    {
        let (state, future) = self.make(plan).await;
        let mut run = Run {
            runner: self,
            plan,
            polls: 0,
            wakes: Arc::default(),
        };
        let ending = run.drive(future).await;
        let polls = run.polls;
        let when = match &ending {
            Ending::Dropped(point) => format!("dropped {point}"),
            Ending::Completed(_) => format!("completed by poll {polls} ({plan})"),
        };
        let completed = !ending.is_dropped();
        if completed {
            self.report.completions += 1;
        } else {
            self.report.drops += 1;
        }
        if !matches!(plan, Plan::PollTwice) {
            self.report.polls = self.report.polls.max(polls);
        }
        self.check(&when, state, ending).await;
        completed.then_some(polls)
    }

    async fn make<S, F>(&mut self, plan: Plan) -> (S, F)
    where
        M: AsyncFnMut() -> (S, F),
    {
        let make = &mut self.make;
        match self
            .alarm
            .within(self.harness.limit, catch_async(async { make().await }))
            .await
        {
            Ok(Ok(made)) => made,
            Ok(Err(Said(said))) => self.fail(plan, format_args!("`make` panicked: {said}")),
            Err(_) => self.fail(
                plan,
                format_args!("`make` did not finish within {:?}", self.harness.limit),
            ),
        }
    }

    async fn check<S, T>(&mut self, when: &str, state: S, ending: Ending<T>)
    where
        C: AsyncFnMut(S, Ending<T>),
    {
        let check = &mut self.check;
        match self
            .alarm
            .within(
                self.harness.limit,
                catch_async(async { check(state, ending).await }),
            )
            .await
        {
            Ok(Ok(())) => {}
            Ok(Err(Said(said))) => self.fail(when, format_args!("`check` panicked: {said}")),
            Err(_) => self.fail(
                when,
                format_args!(
                    "the next user hangs: `check` did not finish within {:?}",
                    self.harness.limit
                ),
            ),
        }
    }

    fn fail(&self, when: impl Display, what: impl Display) -> ! {
        let Harness { name, location, .. } = &self.harness;
        panic!("`{name}`, {when}: {what}\n(the harness was called at {location})")
    }
}

/// One life of the future under test.
struct Run<'a, M, C> {
    runner: &'a Runner<M, C>,
    plan: Plan,
    polls: usize,
    wakes: Arc<Wakes>,
}

impl<M, C> Run<'_, M, C> {
    /// Polls as planned, then drops the future.
    async fn drive<F: Future>(&mut self, future: F) -> Ending<F::Output> {
        let mut future = Box::pin(future);
        let ending = self.poll_to_end(&mut future).await;
        if let Err(Said(said)) = catch(move || drop(future)) {
            let when = match &ending {
                Ending::Dropped(point) => format!("dropped {point}"),
                Ending::Completed(_) => {
                    format!("dropped after it completed by poll {}", self.polls)
                }
            };
            self.runner
                .fail(when, format_args!("its destructor panicked: {said}"));
        }
        ending
    }

    async fn poll_to_end<F: Future>(&mut self, future: &mut Pin<Box<F>>) -> Ending<F::Output> {
        if let Plan::Drop(point @ DropPoint::BeforeFirstPoll) = self.plan {
            return Ending::Dropped(point);
        }
        loop {
            let mut poll = self.poll(future);
            if let (Poll::Pending, Plan::PollTwice) = (&poll, self.plan) {
                poll = self.poll(future);
            }
            if let Poll::Ready(output) = poll {
                return Ending::Completed(output);
            }
            match self.plan {
                Plan::Drop(point) if point == DropPoint::AfterPoll(self.polls) => {
                    return Ending::Dropped(point);
                }
                _ => self.wait_for_wake().await,
            }
            match self.plan {
                Plan::Drop(point) if point == DropPoint::AfterWake(self.polls) => {
                    return Ending::Dropped(point);
                }
                _ => {}
            }
        }
    }

    fn poll<F: Future>(&mut self, future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        self.polls += 1;
        let waker = self.wakes.next_waker();
        let mut cx = Context::from_waker(&waker);
        catch(|| future.as_mut().poll(&mut cx)).unwrap_or_else(|Said(said)| {
            self.fail(format_args!("poll {} panicked: {said}", self.polls))
        })
    }

    async fn wait_for_wake(&self) {
        let Harness {
            limit, max_polls, ..
        } = self.runner.harness;
        let most = match self.plan {
            Plan::Drop(_) => max_polls,
            Plan::PollTwice => max_polls.saturating_mul(2),
        };
        if self.polls >= most {
            self.fail(format_args!("still pending after {} polls", self.polls));
        }
        if self
            .runner
            .alarm
            .within(limit, self.wakes.woken())
            .await
            .is_ok()
        {
            return;
        }
        let hint = match self.wakes.stale() {
            0 => String::new(),
            stale => format!(
                " ({stale} went to the waker of an earlier poll; only the newest poll's waker counts)"
            ),
        };
        self.fail(format_args!(
            "a lost wake-up: poll {} returned Pending and no wake followed within {limit:?}{hint}",
            self.polls
        ));
    }

    fn fail(&self, what: impl Display) -> ! {
        self.runner.fail(self.plan, what)
    }
}
