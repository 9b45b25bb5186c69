//! The group: from its first task to the report of how all of them ended.

mod builder;
pub(crate) mod core;
mod failures;
pub(crate) mod limit;
mod live;
mod roster;
pub(crate) mod run;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use shibuya_cancel::raw::Node;
use shibuya_cancel::{CancelScope, Reason};

pub use self::builder::{Builder, OnError, OnPanic};
use self::core::Core;
pub use self::run::Run;
use crate::task::spawn::{SpawnReady, TaskBuilder};
use crate::{Name, Task, TrySpawnError};

/// A group of tasks that ends as one: the handle that its body, and any of its tasks, spawns with.
///
/// [`run`](Self::run) makes a group and ends when its body and *all* its tasks have ended. The first
/// failure cancels the others; no error and no panic is lost. Clones are handles of the same group.
///
/// Dropping a handle changes nothing.
pub struct TaskGroup<E> {
    node: Arc<Node>,
    error: PhantomData<fn(E)>,
}

impl<E: Send + 'static> TaskGroup<E> {
    /// Runs `body` with a new group, and waits until the body and all the tasks spawned in the
    /// group have ended.
    ///
    /// The body is polled in the caller's task, so it may borrow; the tasks are Tokio's and can't.
    ///
    /// **Dropping the returned future** cancels the group and has its tasks dropped at their next
    /// poll, *without waiting for that*. Where a group further out goes on, that one waits for them.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: a dropped run is cancelled work. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// [`GroupError`](crate::GroupError) when the body or a task failed, with all failures; or when the group was
    /// [cancelled](Self::cancel) before the body had a value
    /// (see [`OrCancelled`](crate::OrCancelled)).
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_taskgroup::TaskGroup;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let words = String::from("never gonna run around");
    /// let total = TaskGroup::run(async |g| {
    ///     let tasks: Vec<_> = words
    ///         .split(' ')
    ///         .map(|word| word.to_owned())
    ///         .map(|word| g.spawn(async move { Ok::<_, std::io::Error>(word.len()) }))
    ///         .collect();
    ///     let mut total = 0;
    ///     for task in tasks {
    ///         total += task.await; // a value, or the group fails and this is dropped
    ///     }
    ///     Ok(total)
    /// });
    /// assert_eq!(total.await.unwrap(), 19);
    /// # }
    /// ```
    #[track_caller]
    pub fn run<T, F, Fut>(body: F) -> Run<T, E, F, Fut>
    where
        F: FnOnce(TaskGroup<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Self::builder().run(body)
    }

    /// Sets name, limit, deadline, grace and what a failure means.
    pub fn builder() -> Builder<E> {
        Builder::new()
    }

    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            error: PhantomData,
        }
    }

    /// Spawns a task into the group.
    ///
    /// In a group with a [limit](Builder::limit) the task waits for its turn, first come first
    /// served. In a group that is over, or cancelled without grace, the future is dropped and the
    /// task's outcome is `Cancelled`; [`try_spawn`](Self::try_spawn) gives it back instead.
    ///
    /// The task is in the group's scope, wherever it is spawned from: it inherits the group's
    /// deadline, not that of a nearer [`timeout`](shibuya_cancel::timeout). It works on any thread,
    /// inside the runtime or not.
    ///
    /// # Examples
    ///
    /// Tasks spawn tasks with a clone of the handle. An `async fn` that spawns itself has to say
    /// what it returns, as the compiler can't find out that it is `Send` while it still looks:
    ///
    /// ```
    /// use shibuya_taskgroup::TaskGroup;
    ///
    /// fn countdown(
    ///     g: TaskGroup<String>,
    ///     n: u32,
    /// ) -> impl Future<Output = Result<(), String>> + Send {
    ///     async move {
    ///         if n > 0 {
    ///             g.spawn(countdown(g.clone(), n - 1));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let all = TaskGroup::run(async |g| countdown(g.clone(), 10).await);
    /// all.await.unwrap(); // after the last of them
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        self.unnamed(Location::caller()).spawn(fut)
    }

    /// Waits until the group's limit allows one task more, and spawns it: back-pressure for a loop
    /// that would otherwise queue its whole input.
    ///
    /// Dropping the returned future drops `fut`, if it was not spawned yet.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before it completes, the task was not spawned and no slot is lost.
    #[track_caller]
    pub fn spawn_ready<T, F>(&self, fut: F) -> SpawnReady<'_, E, F>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        self.unnamed(Location::caller()).spawn_ready(fut)
    }

    /// Spawns a task if it can run now.
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`] with the future, when the group runs as many tasks as its limit allows, or
    /// is over or cancelled.
    #[track_caller]
    pub fn try_spawn<T, F>(&self, fut: F) -> Result<Task<T, E>, TrySpawnError<F>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        self.unnamed(Location::caller()).try_spawn(fut)
    }

    /// Spawns a closure that blocks, on Tokio's threads for that.
    ///
    /// It is given its scope, to [`check`](CancelScope::check) now and then: a closure can't be
    /// aborted, so the group waits for it however long it takes.
    #[track_caller]
    pub fn spawn_blocking<T, F>(&self, f: F) -> Task<T, E>
    where
        F: FnOnce(&CancelScope) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
    {
        self.unnamed(Location::caller()).spawn_blocking(f)
    }

    /// A task with a name, and perhaps a timeout of its own.
    #[track_caller]
    pub fn task(&self, name: impl Into<Name>) -> TaskBuilder<'_, E> {
        TaskBuilder::new(self, name.into(), Location::caller())
    }

    pub(crate) fn unnamed(&self, location: &'static Location<'static>) -> TaskBuilder<'_, E> {
        TaskBuilder::new(self, Name::UNNAMED, location)
    }

    /// Ends the group early and cleanly: it is no failure. What is inside is told, and dropped at
    /// its next poll after the grace.
    ///
    /// If the body gives a value all the same, [`run`](Self::run) gives that value.
    pub fn cancel(&self, why: Reason) {
        self.node.cancel(why);
    }

    /// Whether the group was cancelled: on request, by a failure, by a deadline or from further out.
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled()
    }

    /// Why, once it is cancelled.
    pub fn reason(&self) -> Option<Reason> {
        self.node.reason()
    }

    /// The group's scope.
    pub fn scope(&self) -> CancelScope {
        CancelScope::from(self.node.clone())
    }

    /// The group's name.
    pub fn name(&self) -> &Name {
        &self.core().name
    }

    /// How many tasks have not ended, those that wait for a slot included.
    pub fn len(&self) -> usize {
        self.core().len()
    }

    /// Whether no task lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn core(&self) -> &Core {
        Core::of(&self.node).expect("a group's node has a core")
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            error: PhantomData,
        }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = Core::of(&self.node).expect("a group's node has a core");
        f.debug_struct("TaskGroup")
            .field("name", &core.name)
            .field("tasks", &core.len())
            .field("cancelled", &self.node.reason())
            .finish()
    }
}
