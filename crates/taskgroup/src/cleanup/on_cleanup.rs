use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use shibuya_cancel::TaskId;
use shibuya_cancel::raw::{Label, Node};

use crate::cleanup::{BUDGET, Stack, check_budget, within};
use crate::group::core::Core;
use crate::task::shelter::{self, Hears};
use crate::{Name, TaskGroup};

impl<E: Send + 'static> TaskGroup<E> {
    /// Registers a clean-up: it runs when the body and all tasks have ended, however they ended, and
    /// before [`run`](Self::run) returns.
    ///
    /// The last registered runs first, one after the other. No cancellation, abort or deadline from
    /// outside reaches a clean-up: [`check`](crate::check) and [`remaining`](crate::remaining) inside
    /// know nothing of it, since that is what it comes after. It has a
    /// [budget](OnCleanup::budget) instead, by default 5 seconds. One that fails, panics or is cut is a
    /// failure of the group by the name `cleanup NAME`, and the others still run.
    ///
    /// A clean-up may open groups of its own, shield, and spawn into this group; the next one waits for
    /// that, without deadline or grace. One that is registered while clean-ups run, runs next. In a group
    /// that is over, or whose future was dropped without any clean-up, `fut` is dropped and
    /// [`is_armed`](OnCleanup::is_armed) says so.
    ///
    /// **If the future of `run` is dropped**, the clean-ups run on the runtime, once the aborted tasks have
    /// ended; a group further out waits for them, and what fails is logged. A runtime that shuts down takes
    /// them along: they run in `main` only if `run` is awaited.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use shibuya_taskgroup::TaskGroup;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let say = |text| {
    ///     let log = log.clone();
    ///     async move { Ok(log.lock().unwrap().push(text)) }
    /// };
    /// let failed = TaskGroup::run(async |g| {
    ///     g.on_cleanup("database", say("closed"));
    ///     g.on_cleanup("cache", say("flushed"));
    ///     g.spawn(async { Err::<(), _>("out of luck") });
    ///     Ok(())
    /// });
    /// assert_eq!(failed.await.unwrap_err().into_first_error().unwrap(), "out of luck");
    /// assert_eq!(*log.lock().unwrap(), ["flushed", "closed"]);
    /// # }
    /// ```
    #[track_caller]
    pub fn on_cleanup<F>(&self, name: impl Into<Name>, fut: F) -> OnCleanup
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (name, location) = (name.into(), Location::caller());
        let cleanup = Cleanup::new(&name, location, fut);
        let id = cleanup.id;
        if let Err(refused) = self.core().cleanups.push(cleanup) {
            tracing::warn!(%name, registered = %location, "a clean-up came after the end of its group");
            drop(refused);
        }
        OnCleanup {
            group: self.node().clone(),
            id,
        }
    }
}

/// One that has not begun.
pub(crate) struct Cleanup {
    id: TaskId,
    name: Name,
    location: &'static Location<'static>,
    budget: Duration,
    /// Spawns it; only this knows the type of the group's errors.
    start: Box<dyn FnOnce(Arc<Node>, Label, Duration) + Send>,
}

impl Cleanup {
    fn new<E, F>(name: &Name, location: &'static Location<'static>, fut: F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
    {
        Self {
            id: TaskId::next(),
            name: format!("cleanup {name}").into(),
            location,
            budget: BUDGET,
            start: Box::new(move |group, label, budget| {
                let work = within(budget, fut);
                drop(shelter::spawn(group, label, Hears::Nothing, work));
            }),
        }
    }

    /// Spawns it into its group, which is not over: it had this one to run.
    pub(crate) fn start(self, group: &Arc<Node>) {
        let core = Core::of(group).expect("a group's node has a core");
        let waits = core.adopt();
        debug_assert!(waits, "a group with clean-ups is not over");
        let label = Label::new(self.name, self.location);
        (self.start)(group.clone(), label, self.budget);
    }
}

/// A clean-up that was registered by [`TaskGroup::on_cleanup`]. Dropping this changes nothing.
pub struct OnCleanup {
    group: Arc<Node>,
    id: TaskId,
}

impl OnCleanup {
    /// How long the clean-up may take, counted from its begin, before it is cut. Default: 5 seconds. One
    /// that has begun keeps the budget that it began with.
    ///
    /// A clean-up that never yields can't be cut by anyone.
    ///
    /// # Panics
    ///
    /// With a budget of zero: it would never run.
    #[track_caller]
    pub fn budget(self, budget: Duration) -> Self {
        let budget = check_budget(budget);
        self.stack()
            .find(|it| it.id == self.id, |it| it.budget = budget);
        self
    }

    /// Takes the clean-up out, and drops it. Gives whether it was still there: one that has begun goes on.
    pub fn disarm(self) -> bool {
        self.stack().remove(|it| it.id == self.id).is_some()
    }

    /// Whether it is still to run.
    pub fn is_armed(&self) -> bool {
        self.stack().find(|it| it.id == self.id, |_| ()).is_some()
    }

    fn stack(&self) -> &Stack<Cleanup> {
        let core = Core::of(&self.group).expect("a group's node has a core");
        &core.cleanups
    }
}

impl fmt::Debug for OnCleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCleanup")
            .field("armed", &self.is_armed())
            .finish()
    }
}
