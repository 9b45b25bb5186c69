use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;
use shibuya_cancel::Reason;
use shibuya_cancel::raw::{Label, Node, scope};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::cleanup::{BUDGET, check_budget, within};
use crate::error::Cause;
use crate::task::shelter::{self, Hears, nearest_group};
use crate::{Name, Task};

/// How the future ended that a clean-up comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// With a value.
    Finished,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
    /// Not at all: it was dropped in a scope that was cancelled.
    Cancelled(Reason),
    /// Not at all: whoever held it dropped it, as a timeout or a `select!` does.
    Dropped,
}

impl Ending {
    /// Whether it ended with a value.
    pub fn is_finished(&self) -> bool {
        *self == Self::Finished
    }
}

/// Runs `fut`, and then `cleanup`, exactly once, however `fut` ended: with a value, an error, a panic, by a
/// cancellation, or because this was dropped. `fut` is dropped before the clean-up begins.
///
/// The clean-up is a task of the nearest group, which waits for it. No cancellation, abort or deadline from
/// outside reaches it, and nothing inside it is told of one: it has a [budget](RunWithCleanup::budget)
/// instead, by default 5 seconds. One that panics or is cut is a failure of that group, named `cleanup`.
/// Outside of any group it is a task of the runtime: then a panic goes on here, and a cut is logged.
///
/// Awaited, this waits for the clean-up, too. **Dropping it** runs the clean-up without waiting for it: one that
/// has not begun begins (also if this was never polled), one that has begun goes on.
///
/// # Cancel safety
///
/// Dropping it drops `fut`, and never the clean-up. Only a runtime that shuts down does; and where this was
/// made, and is dropped, outside of any runtime, there is nobody to run it.
///
/// # Panics
///
/// With the panic of `fut`, after the clean-up. When it must run the clean-up outside of a Tokio runtime.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{Ending, TaskGroup, run_with_cleanup, timeout};
/// use tokio::sync::oneshot;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (rolled_back, done) = oneshot::channel();
/// let group = TaskGroup::<()>::run(async |_| {
///     let transaction = std::future::pending::<Result<(), ()>>(); // too slow
///     let guarded = run_with_cleanup(transaction, |ending| async move {
///         if ending != Ending::Finished {
///             rolled_back.send(ending).unwrap();
///         }
///     });
///     assert!(timeout(Duration::from_millis(5), guarded).await.is_err());
///     Ok(())
/// });
/// group.await.unwrap(); // it has waited for the roll-back
/// assert_eq!(done.await, Ok(Ending::Dropped));
/// # }
/// ```
#[track_caller]
pub fn run_with_cleanup<T, E, F, C, G>(fut: F, cleanup: C) -> RunWithCleanup<F>
where
    F: Future<Output = Result<T, E>>,
    C: FnOnce(Ending) -> G + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    RunWithCleanup {
        fut: Some(fut),
        output: None,
        scope: None,
        cleaning: None,
        cleanup: Some(Cleanup {
            work: Box::new(|ending| Box::pin(async { cleanup(ending).await })),
            budget: BUDGET,
            location: Location::caller(),
            runtime: Handle::try_current().ok(),
        }),
    }
}

pin_project! {
    /// The future of [`run_with_cleanup`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RunWithCleanup<F: Future> {
        #[pin]
        fut: Option<F>,
        // Kept until the clean-up is over.
        output: Option<std::thread::Result<F::Output>>,
        // Where it was polled first: a destructor may run anywhere.
        scope: Option<Arc<Node>>,
        cleanup: Option<Cleanup>,
        cleaning: Option<Cleaning>,
    }

    impl<F: Future> PinnedDrop for RunWithCleanup<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(cleanup) = this.cleanup.take() else { return };
            let dropped = catch_unwind(AssertUnwindSafe(|| this.fut.set(None)));
            let scope = this.scope.take().or_else(scope);
            let reason = scope.as_ref().and_then(|scope| scope.reason());
            let ending = reason.map_or(Ending::Dropped, Ending::Cancelled);
            if let Some(orphan) = cleanup.start(scope.as_ref(), ending).err() {
                tracing::error!(of = %orphan.location, "a clean-up is lost: there is no runtime to run it");
            }
            if let Err(payload) = dropped {
                if !std::thread::panicking() {
                    resume_unwind(payload);
                }
            }
        }
    }
}

impl<F: Future> RunWithCleanup<F> {
    /// How long the clean-up may take before it is cut. Default: 5 seconds.
    ///
    /// A clean-up that never yields can't be cut by anyone.
    ///
    /// # Panics
    ///
    /// With a budget of zero: it would never run.
    #[track_caller]
    pub fn budget(mut self, budget: Duration) -> Self {
        if let Some(cleanup) = &mut self.cleanup {
            cleanup.budget = check_budget(budget);
        }
        self
    }
}

impl<T, E, F> Future for RunWithCleanup<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        if let Some(cleanup) = this.cleanup {
            if this.scope.is_none() {
                *this.scope = scope();
            }
            if cleanup.runtime.is_none() {
                cleanup.runtime = Handle::try_current().ok();
            }
        }
        if let Some(fut) = this.fut.as_mut().as_pin_mut() {
            let polled = catch_unwind(AssertUnwindSafe(|| fut.poll(cx)));
            let output = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(result)) => Ok(result),
                Err(payload) => Err(payload),
            };
            let dropped = catch_unwind(AssertUnwindSafe(|| this.fut.set(None)));
            let output = output.and_then(|result| dropped.map(|()| result));
            let ending = match &output {
                Ok(Ok(_)) => Ending::Finished,
                Ok(Err(_)) => Ending::Failed,
                Err(_) => Ending::Panicked,
            };
            *this.output = Some(output);
            let cleanup = this.cleanup.take().expect("it has not begun");
            match cleanup.start(this.scope.as_ref(), ending) {
                Ok(cleaning) => *this.cleaning = Some(cleaning),
                Err(cleanup) => {
                    panic!("the clean-up of {} needs a Tokio runtime", cleanup.location)
                }
            }
        }
        let cleaning = this.cleaning.as_mut();
        let cleaning = cleaning.expect("`RunWithCleanup` polled after it was done");
        let cleaned = ready!(cleaning.poll(cx));
        *this.cleaning = None;
        match this.output.take().expect("it ended before the clean-up") {
            Err(payload) => resume_unwind(payload),
            Ok(result) => match cleaned {
                Ok(()) => Poll::Ready(result),
                Err(payload) => resume_unwind(payload),
            },
        }
    }
}

/// A clean-up that has not begun.
struct Cleanup {
    work: Box<dyn FnOnce(Ending) -> BoxFuture<'static, ()> + Send>,
    budget: Duration,
    location: &'static Location<'static>,
    runtime: Option<Handle>,
}

impl Cleanup {
    /// Spawns it; gives it back where there is neither group nor runtime.
    fn start(self, scope: Option<&Arc<Node>>, ending: Ending) -> Result<Cleaning, Self> {
        let (location, budget) = (self.location, self.budget);
        if let Some(group) = nearest_group(scope) {
            let label = Label::new(Name::from("cleanup"), location);
            let work = cut(budget, self.work, ending);
            let task = shelter::spawn(group, label, Hears::Nothing, work);
            return Ok(Cleaning::InGroup(task));
        }
        let Some(runtime) = self.runtime.clone().or_else(|| Handle::try_current().ok()) else {
            return Err(self);
        };
        let work = cut(budget, self.work, ending);
        Ok(Cleaning::OnRuntime(runtime.spawn(async move {
            if work.await.is_err() {
                tracing::error!(of = %location, "a clean-up was cut: its budget of {budget:?} was used up");
            }
        })))
    }
}

/// The work within its budget; it is called for inside, where panics are caught.
async fn cut(
    budget: Duration,
    work: impl FnOnce(Ending) -> BoxFuture<'static, ()>,
    ending: Ending,
) -> Result<(), Cause<Infallible>> {
    within(budget, async { Ok(work(ending).await) }).await
}

/// A clean-up that runs, with or without who awaits it.
enum Cleaning {
    InGroup(Task<(), Infallible>),
    OnRuntime(JoinHandle<()>),
}

impl Cleaning {
    /// Its panic, where there is no group to report it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<std::thread::Result<()>> {
        match self {
            Self::InGroup(task) => task.poll_end(cx).map(|_| Ok(())),
            Self::OnRuntime(handle) => {
                let ended = ready!(Pin::new(handle).poll(cx));
                let panic = ended.err().and_then(|error| error.try_into_panic().ok());
                Poll::Ready(panic.map_or(Ok(()), Err))
            }
        }
    }
}

impl<F: Future> fmt::Debug for RunWithCleanup<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunWithCleanup")
            .field("cleaning", &self.cleanup.is_none())
            .finish_non_exhaustive()
    }
}
