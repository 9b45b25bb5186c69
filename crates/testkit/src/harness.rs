use std::panic::Location;
use std::time::Duration;

use crate::Ending;
use crate::runner::Runner;

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
/// under test (`"Queue::get"`): it stands in every message, and the registry of public futures (feature `tidy`) finds it in
/// the sources. [`Harness`] is the same with other limits.
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
    pub(crate) name: String,
    /// Who called the harness: in an `async fn` a panic's own location is no help.
    pub(crate) location: &'static Location<'static>,
    pub(crate) limit: Duration,
    pub(crate) max_polls: usize,
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
        Runner::new(self, make, check).every_point().await
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
