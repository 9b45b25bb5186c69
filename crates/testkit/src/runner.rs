use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::alarm::Alarm;
use crate::panics::{Said, catch, catch_async};
use crate::wakes::{Wakes, yield_now};
use crate::{DropPoint, Ending, Harness, Report};

/// How often a drop point is tried again when the future completes before it although it went further in an earlier run.
const ATTEMPTS: usize = 3;

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

/// Runs the harness, one run of the future after the other.
pub(crate) struct Runner<M, C> {
    harness: Harness,
    make: M,
    check: C,
    alarm: Alarm,
    report: Report,
}

impl<M, C> Runner<M, C> {
    pub(crate) fn new(harness: Harness, make: M, check: C) -> Self {
        Runner {
            harness,
            make,
            check,
            alarm: Alarm::default(),
            report: Report::default(),
        }
    }

    pub(crate) async fn every_point<S, F>(mut self) -> Report
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
        self.report
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
        yield_now().await; // no budget spent by an earlier run; the tasks that it left behind may end
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
