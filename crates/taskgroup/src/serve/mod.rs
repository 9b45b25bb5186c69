//! The outermost group of a service: what ends it, and how long that may take.

mod report;
mod requested;
#[cfg(feature = "signal")]
mod signals;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;
use shibuya_cancel::Reason;
use shibuya_cancel::raw::{Timer, Timestamp};

pub use report::{Served, ShutdownReport};
pub use requested::ShutdownRequested;
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use signals::Signal;

use crate::error::Straggler;
use crate::group::run::{Run, core};
use crate::{Name, TaskGroup};

/// As long as a clean-up may take.
const ABANDON_AFTER: Duration = Duration::from_secs(5);

/// A group for a whole service: the first trigger cancels it, and after `grace` what is left is aborted.
///
/// It is the group of [`TaskGroup::run`] in all else: it ends with its tasks, its clean-ups run, and it ends by
/// itself when body and tasks have ended, or when one of them fails.
///
/// | when | what |
/// |---|---|
/// | the first signal or other trigger | the group is cancelled with [`Reason::Shutdown`]: [`cancelled`](crate::cancelled) and [`shutdown_requested`](TaskGroup::shutdown_requested) answer, [`check`](crate::check) fails, and nothing is dropped yet |
/// | `grace` after that, or the second signal | what is left is aborted: dropped at its next poll |
/// | [`abandon_after`](Serve::abandon_after) later | what is still there is *stuck*: it blocks its thread, never yields, or is shielded. It is named in the report, and left behind |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{OrCancelled, cancelled, serve};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let served = serve(Duration::from_millis(50))
///     .name("shop")
///     .on(sleep(Duration::from_millis(5))) // `.on_signals([Signal::Term, Signal::Int])`, say
///     .run(async |g| {
///         g.task("polite").spawn(async {
///             cancelled().await;
///             Ok::<_, std::io::Error>(())
///         });
///         g.task("deaf").spawn(std::future::pending::<Result<(), _>>());
///         std::future::pending::<Result<(), _>>().await // an accept loop
///     })
///     .await;
/// served.result.or_cancelled(()).unwrap();
/// assert_eq!(served.report.finished(), 1);
/// assert_eq!(*served.report.aborted()[0].name(), "deaf");
/// # }
/// ```
pub fn serve(grace: Duration) -> Serve {
    Serve {
        grace,
        name: Name::UNNAMED,
        abandon_after: ABANDON_AFTER,
        triggers: Triggers::default(),
    }
}

/// Settings of a service, from [`serve`].
#[must_use = "a builder does nothing until `run`"]
pub struct Serve {
    grace: Duration,
    name: Name,
    abandon_after: Duration,
    triggers: Triggers,
}

impl Serve {
    /// What the group is called in errors and logs.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// Shuts down when one of these signals comes; a second one aborts at once.
    ///
    /// They are caught from this call on, so one that comes while the service still starts counts, too: the
    /// group is cancelled before its body is polled. As Tokio's signals always do, they stay caught in this
    /// process after that.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with IO enabled, or if the system refuses.
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    #[track_caller]
    pub fn on_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        let caught = &mut self.triggers.signals;
        for signal in signals {
            // One that is named twice would be its own second.
            if caught.iter().all(|other| other.signal != signal) {
                caught.push(signals::Caught::new(signal));
            }
        }
        self
    }

    /// Shuts down when `trigger` is done: a message, a lost leadership, an admin's request. It can be called
    /// more than once. A trigger is never a second signal: once the group is cancelled, it changes nothing.
    pub fn on<F>(mut self, trigger: F) -> Self
    where
        F: Future + Send + 'static,
    {
        self.triggers.others.push(Box::pin(async {
            trigger.await;
        }));
        self
    }

    /// How long after the abort what can't be dropped is waited for. Default: 5 seconds.
    ///
    /// What outlives the service then: threads of blocking tasks, tasks that never yield, and what is
    /// [shielded](TaskGroup::shield); the group's clean-ups, which wait for all of these. They go on while
    /// the runtime does, and a runtime that is dropped waits for its blocking threads: end the process, or
    /// use [`Runtime::shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout). Inside a group further
    /// out, that one waits for them. The time is not counted while clean-ups run, which have their budgets.
    pub fn abandon_after(mut self, limit: Duration) -> Self {
        self.abandon_after = limit;
        self
    }

    /// Runs `body` with the service's group, as [`TaskGroup::run`] does.
    ///
    /// **Dropping the returned future** cancels the group and has its tasks dropped, without waiting.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: a dropped run is cancelled work. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// None by itself: the [`Served`] has the group's result, and how it went down. A body that was cancelled
    /// has no value; see [`OrCancelled`](crate::OrCancelled).
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime, and with the panic of a trigger.
    #[track_caller]
    pub fn run<T, E, F, Fut>(self, body: F) -> ServeRun<T, E, F, Fut>
    where
        E: Send + 'static,
        F: FnOnce(TaskGroup<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let builder = TaskGroup::builder().name(self.name).grace(self.grace);
        ServeRun {
            run: Run::new(builder, body, Location::caller()),
            triggers: self.triggers,
            was_signalled: false,
            present: None,
            abandon_after: self.abandon_after,
            abandon_at: None,
            timer: Timer::new(),
        }
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("name", &self.name)
            .field("grace", &self.grace)
            .field("abandon_after", &self.abandon_after)
            .finish_non_exhaustive()
    }
}

/// What may ask for the shutdown.
#[derive(Default)]
struct Triggers {
    #[cfg(feature = "signal")]
    signals: Vec<signals::Caught>,
    others: Vec<BoxFuture<'static, ()>>,
}

impl Triggers {
    /// How many signals have come since the last time.
    #[cfg(feature = "signal")]
    fn poll_signals(&mut self, cx: &mut Context<'_>) -> usize {
        let mut came = 0;
        for caught in &mut self.signals {
            while caught.poll(cx).is_ready() {
                came += 1;
            }
        }
        came
    }

    #[cfg(not(feature = "signal"))]
    fn poll_signals(&mut self, _: &mut Context<'_>) -> usize {
        0
    }

    /// Whether another trigger is done. Each is polled to its end once.
    fn poll_others(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.others.len();
        self.others
            .retain_mut(|trigger| trigger.as_mut().poll(cx).is_pending());
        self.others.len() < before
    }
}

pin_project! {
    /// The future of [`Serve::run`].
    ///
    /// **Dropping it** cancels the group and has its tasks dropped at their next poll, without waiting for that.
    #[must_use = "futures do nothing unless polled"]
    pub struct ServeRun<T, E, F, Fut> {
        #[pin]
        run: Run<T, E, F, Fut>,
        triggers: Triggers,
        was_signalled: bool,
        // The tasks that lived when the group was cancelled.
        present: Option<Vec<Straggler>>,
        abandon_after: Duration,
        abandon_at: Option<Timestamp>,
        #[pin]
        timer: Timer,
    }
}

impl<T, E, F, Fut> Future for ServeRun<T, E, F, Fut>
where
    E: Send + 'static,
    F: FnOnce(TaskGroup<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Served<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Served<T, E>> {
        // What asked for the shutdown before the first poll is heard before the body is polled.
        self.as_mut().project().run.ensure_started();
        self.as_mut().poll_triggers(cx);
        self.as_mut().note_the_present();
        if let Poll::Ready(result) = self.as_mut().project().run.poll(cx) {
            return Poll::Ready(self.served(result, Vec::new()));
        }
        self.as_mut().note_the_present();
        self.poll_abandon(cx)
    }
}

impl<T, E, F, Fut> ServeRun<T, E, F, Fut>
where
    E: Send + 'static,
    F: FnOnce(TaskGroup<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn poll_triggers(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let mut signals = this.triggers.poll_signals(cx);
        let triggered = this.triggers.poll_others(cx);
        if signals > 0 && !*this.was_signalled {
            *this.was_signalled = true;
            signals -= 1;
        } else if signals == 0 && !triggered {
            return;
        }
        let node = this.run.node().clone();
        if !node.is_cancelled() {
            tracing::info!("shutting down");
            *this.present = Some(core(&node).stragglers());
            match node.grace().is_zero() {
                true => this.run.as_mut().abort(Reason::Shutdown),
                false => drop(node.cancel(Reason::Shutdown)),
            }
        }
        if signals > 0 && !node.is_aborted() {
            tracing::warn!("a second signal: aborting");
            this.run.abort(Reason::Shutdown);
        }
    }

    fn note_the_present(self: Pin<&mut Self>) {
        let this = self.project();
        if this.present.is_none() && this.run.node().is_cancelled() {
            *this.present = Some(core(this.run.node()).stragglers());
        }
    }

    /// Once the group is aborted, all of it should be gone soon.
    fn poll_abandon(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Served<T, E>> {
        let mut this = self.as_mut().project();
        if !this.run.node().is_aborted() || this.run.is_cleaning() {
            return Poll::Pending;
        }
        let limit = *this.abandon_after;
        let at = *this
            .abandon_at
            .get_or_insert_with(|| Timestamp::now().after(limit));
        std::task::ready!(this.timer.as_mut().poll(at, cx));
        let stuck = core(this.run.node()).living(|_| true);
        for task in &stuck {
            tracing::error!(%task, "stuck: left behind");
        }
        let result = this.run.as_mut().abandon();
        Poll::Ready(self.served(result, stuck))
    }

    fn served(
        self: Pin<&mut Self>,
        result: Result<T, crate::GroupError<E>>,
        stuck: Vec<Straggler>,
    ) -> Served<T, E> {
        let this = self.project();
        let (reason, aborted) = (this.run.node().reason(), this.run.aborted().to_vec());
        let present = this.present.take().unwrap_or_default();
        let report = ShutdownReport::new(reason, &present, aborted, stuck);
        Served { result, report }
    }
}

impl<T, E, F, Fut> fmt::Debug for ServeRun<T, E, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServeRun").field(&self.run).finish()
    }
}
