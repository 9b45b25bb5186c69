use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Bound, Label, Node, Role, Timestamp, enter};
use shibuya_cancel::{CancelScope, Deadline, timeout};
use tracing::Span;
use tracing::level_filters::LevelFilter;

use crate::error::Cause;
use crate::group::limit::{Slot, Slots, Slotted, TakeSlot};
use crate::task::child::Child;
use crate::task::fate;
use crate::task::home::{Anywhere, Home, HomeOf};
use crate::{Name, Task, TaskGroup, TrySpawnError};

/// A task to be, from [`TaskGroup::task`].
#[must_use = "a builder does nothing until it spawns"]
pub struct TaskBuilder<'g, E> {
    group: &'g TaskGroup<E>,
    name: Name,
    location: &'static Location<'static>,
    limit: Duration,
    /// It waits for a thread, which nobody can drop.
    is_blocking: bool,
}

impl<E> fmt::Debug for TaskBuilder<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<'g, E: Send + 'static> TaskBuilder<'g, E> {
    pub(crate) fn new(
        group: &'g TaskGroup<E>,
        name: Name,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            group,
            name,
            location,
            limit: Duration::MAX,
            is_blocking: false,
        }
    }

    /// Fails the task when it has run for `limit`, counted from its first poll, with
    /// [`Cause::Deadline`].
    ///
    /// A blocking task can't be dropped: it sees its deadline as
    /// [`remaining`](shibuya_cancel::remaining) time, and goes on.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Spawns it; see [`TaskGroup::spawn`].
    #[track_caller]
    pub fn spawn<T, F>(self, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        let turn = self.turn();
        self.spawn_by(Anywhere, turn, fut)
    }

    /// Waits for a free slot and spawns it; see [`TaskGroup::spawn_ready`].
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before it completes, the task was not spawned and no slot is lost.
    pub fn spawn_ready<T, F>(self, fut: F) -> SpawnReady<'g, E, F>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        let slot = self.group.core().slots.clone().map(TakeSlot::new);
        SpawnReady {
            task: Some((self, fut)),
            slot,
        }
    }

    /// Spawns it if it can run now; see [`TaskGroup::try_spawn`].
    ///
    /// # Errors
    ///
    /// [`TrySpawnError`] with the future.
    #[track_caller]
    pub fn try_spawn<T, F>(self, fut: F) -> Result<Task<T, E>, TrySpawnError<F>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        if self.group.is_cancelled() {
            return Err(TrySpawnError::Closed(fut));
        }
        let core = self.group.core();
        let turn = match &core.slots {
            None => Turn::Now,
            Some(slots) => match Slot::try_take(slots) {
                Some(slot) => Turn::Taken(slot),
                None => return Err(TrySpawnError::Full(fut)),
            },
        };
        if !core.enter() {
            return Err(TrySpawnError::Closed(fut));
        }
        Ok(self.entered(Anywhere, turn, fut))
    }

    /// Spawns a closure that blocks; see [`TaskGroup::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<T, F>(mut self, f: F) -> Task<T, E>
    where
        F: FnOnce(&CancelScope) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
    {
        // For the closure alone: whoever waits for the thread must wait on.
        let limit = std::mem::replace(&mut self.limit, Duration::MAX);
        self.is_blocking = true;
        let runtime = self.group.core().runtime.clone();
        self.spawn(async move {
            // Polled as a child, so the scope is the task's.
            let node = shibuya_cancel::raw::scope().expect("a child runs in its scope");
            let own = Bound::new(Timestamp::now().after(limit), false);
            let bound = own.min(shibuya_cancel::raw::bound().unenforced());
            // From here on it can't be aborted, since the thread can't be.
            node.shield();
            fate::say(fate::BLOCKING, true);
            let closure = runtime.spawn_blocking(move || {
                let scope = CancelScope::from(node.clone());
                let mut node = node;
                let _inside = enter(&mut node, bound);
                f(&scope)
            });
            match closure.await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => std::panic::resume_unwind(payload),
                    // The runtime shut down before the closure began, and drops us next.
                    Err(_) => std::future::pending().await,
                },
            }
        })
    }

    /// For a task that takes its place in line.
    pub(crate) fn turn(&self) -> Turn {
        let slots = self.group.core().slots.clone();
        slots.map_or(Turn::Now, Turn::Wait)
    }

    #[track_caller]
    pub(crate) fn spawn_by<T, F, H>(self, home: H, turn: Turn, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>>,
        H: HomeOf<F>,
    {
        if !self.group.core().enter() {
            let node = self.into_node();
            node.request("the group is over".into());
            return Task::new(node, None);
        }
        self.entered(home, turn, fut)
    }

    /// For a task that [entered](crate::group::core::Core::enter) the group.
    #[track_caller]
    fn entered<T, F, H>(self, home: H, turn: Turn, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>>,
        H: HomeOf<F>,
    {
        if self.limit == Duration::MAX {
            self.in_turn(home, turn, Plain { fut })
        } else {
            let limit = self.limit;
            self.in_turn(
                home,
                turn,
                Timed {
                    limit,
                    fut: Some(fut),
                    running: None,
                },
            )
        }
    }

    #[track_caller]
    fn in_turn<T, F, H>(self, home: H, turn: Turn, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, Cause<E>>>,
        H: Home<Child<F>> + Home<Child<Slotted<F>>>,
    {
        match turn {
            Turn::Now => self.start(home, fut),
            Turn::Wait(slots) => self.start(home, Slotted::in_line(slots, fut)),
            Turn::Taken(slot) => self.start(home, Slotted::with(slot, fut)),
        }
    }

    /// Registers, then spawns. No lock is held: on a runtime that shuts down, Tokio drops the future
    /// within the call.
    #[track_caller]
    fn start<T, F, H>(self, home: H, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, Cause<E>>>,
        H: Home<Child<F>>,
    {
        let (group, is_blocking) = (self.group, self.is_blocking);
        let node = self.into_node();
        let name = &node.role().task().expect("it is a task's").name;
        let handle = home.spawn(&group.core().runtime, name, Child::new(node.clone(), fut));
        let abort = (!is_blocking).then(|| handle.abort_handle());
        group.core().roster.keep(&node, abort);
        Task::new(node, Some(handle))
    }

    fn into_node(self) -> Arc<Node> {
        let group = self.group.node().clone();
        let (bound, grace) = (group.bound(), group.grace());
        let label = Label::new(self.name, self.location);
        let span = span(&label);
        let role = Role::Task(label);
        let node = match self.is_blocking {
            true => Node::child(group, bound, grace, role),
            false => Node::leaf(group, bound, grace, role),
        };
        if let Some(span) = span {
            node.set_span(span);
        }
        node
    }
}

/// The span of a task, if somebody listens: `INFO` for one with a name.
#[inline]
fn span(task: &Label) -> Option<Span> {
    #[cold]
    fn make(task: &Label) -> Option<Span> {
        let (id, name, spawned) = (task.id, &task.name, task.location);
        let span = match name.is_unnamed() {
            true => tracing::debug_span!("task", %id, %spawned),
            false => tracing::info_span!("task", %name, %id, %spawned),
        };
        (!span.is_disabled()).then_some(span)
    }
    match LevelFilter::current() {
        LevelFilter::OFF | LevelFilter::ERROR | LevelFilter::WARN => None,
        _ => make(task),
    }
}

/// When a task may start.
pub(crate) enum Turn {
    Now,
    /// Once it has a slot.
    Wait(Arc<Slots>),
    /// It has one.
    Taken(Slot),
}

pin_project! {
    /// A task's future as it is, which adds nothing to its size.
    pub(crate) struct Plain<F> {
        #[pin]
        fut: F,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Plain<F> {
    type Output = Result<T, Cause<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().fut.poll(cx).map_err(Cause::Error)
    }
}

pin_project! {
    /// A task's future with a timeout that begins with its first poll, not in the line for a slot.
    pub(crate) struct Timed<F> {
        limit: Duration,
        fut: Option<F>,
        #[pin]
        running: Option<Deadline<F>>,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Timed<F> {
    type Output = Result<T, Cause<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(fut) = this.fut.take() {
            this.running.set(Some(timeout(*this.limit, fut)));
        }
        let running = this.running.as_pin_mut().expect("set by the first poll");
        Poll::Ready(match ready!(running.poll(cx)) {
            Ok(result) => result.map_err(Cause::Error),
            Err(_) => Err(Cause::Deadline),
        })
    }
}

/// The future of [`TaskGroup::spawn_ready`].
#[must_use = "futures do nothing unless polled"]
pub struct SpawnReady<'g, E, F> {
    task: Option<(TaskBuilder<'g, E>, F)>,
    slot: Option<TakeSlot>,
}

impl<T, E, F> Future for SpawnReady<'_, E, F>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    E: Send + 'static,
    T: Send + 'static,
{
    type Output = Task<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Task<T, E>> {
        let turn = match &mut self.slot {
            None => Turn::Now,
            Some(slot) => Turn::Taken(ready!(Pin::new(slot).poll(cx))),
        };
        let (task, fut) = self
            .task
            .take()
            .expect("`SpawnReady` polled after it was done");
        Poll::Ready(task.spawn_by(Anywhere, turn, fut))
    }
}

impl<E, F> fmt::Debug for SpawnReady<'_, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = self.task.as_ref().map(|(task, _)| task);
        f.debug_struct("SpawnReady")
            .field("task", &task)
            .finish_non_exhaustive()
    }
}

/// The future to be spawned is moved, never pinned here.
impl<E, F> Unpin for SpawnReady<'_, E, F> {}
