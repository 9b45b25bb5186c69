//! A task: how it is spawned and run, and its handle.

pub(crate) mod child;
pub(crate) mod fate;
mod home;
mod local;
pub(crate) mod shelter;
mod shield;
pub(crate) mod spawn;

use std::fmt;
use std::future::Future;
use std::iter::successors;
use std::marker::PhantomData;
use std::mem::replace;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use shibuya_cancel::raw::{Label, Node, with_scope};
use shibuya_cancel::{Reason, TaskId};
use tokio::task::coop::unconstrained;
use tokio::task::{JoinError, JoinHandle};

pub use self::shield::{Shield, shield};
pub use self::spawn::{SpawnReady, TaskBuilder};
use crate::error::Cause;
use crate::group::core::{AnyError, Core};
use crate::{Name, OnError, Outcome};

/// A task of a [`TaskGroup`](crate::TaskGroup), and the future of its value.
///
/// Dropping it changes nothing: the task goes on, and the group waits for it.
///
/// A task that fails cancels its group, and whoever awaits it inside the group is dropped with the
/// rest; so there is a value or nobody to miss it. Where failures are
/// [collected](OnError::Collect), or the task may be aborted, ask for the
/// [`outcome`](Self::outcome).
///
/// # Cancel safety
///
/// Awaiting `&mut task` can be given up and taken up again; the value stays.
///
/// # Panics
///
/// When there will never be a value and the one who awaits it goes on: the task failed and it is
/// awaited outside of its group, or in one that collects failures; or the task alone was aborted.
/// The message names the task.
pub struct Task<T, E> {
    end: Ending<T>,
    node: Arc<Node>,
    error: PhantomData<fn() -> E>,
}

/// Where the value is.
enum Ending<T> {
    Awaited(JoinHandle<Option<T>>),
    /// It came when somebody only asked whether the task has ended. In a mutex, so that a task is
    /// `Sync` whatever it gives.
    Here(Box<Mutex<T>>),
    /// It was taken, or there is none.
    Gone,
}

impl<T> Ending<T> {
    fn of(result: Result<Option<T>, JoinError>) -> Option<T> {
        // An error means that the runtime dropped the task: no value either.
        result.ok().flatten()
    }
}

impl<T, E> Task<T, E> {
    pub(crate) fn new(node: Arc<Node>, handle: Option<JoinHandle<Option<T>>>) -> Self {
        Self {
            end: handle.map_or(Ending::Gone, Ending::Awaited),
            node,
            error: PhantomData,
        }
    }

    /// The task's number, unique in the process.
    pub fn id(&self) -> TaskId {
        self.label().id
    }

    /// The task's name.
    pub fn name(&self) -> &Name {
        &self.label().name
    }

    /// Whether the task has ended, one way or another.
    pub fn is_finished(&self) -> bool {
        match &self.end {
            Ending::Awaited(handle) => handle.is_finished(),
            Ending::Here(_) | Ending::Gone => true,
        }
    }

    /// Asks this one task to stop: [`cancelled`](shibuya_cancel::cancelled) and
    /// [`check`](shibuya_cancel::check) answer inside. Its group goes on.
    pub fn cancel(&self, why: Reason) {
        self.node.request(why);
    }

    /// Has this one task dropped at its next poll. That is no failure: its group goes on.
    ///
    /// A blocking task can't be dropped: it is only asked, as by [`cancel`](Self::cancel).
    pub fn abort(&self) {
        self.node.abort(Reason::Requested);
    }

    /// Waits for the end of the task, however it ends, and takes its value or failure.
    ///
    /// In a group that [collects](OnError::Collect) failures, one that is taken here is yours, and
    /// the group no longer reports it. In all others a failure cancels the group, and with it who
    /// waits here.
    ///
    /// # Cancel safety
    ///
    /// `(&mut task).outcome()` can be given up and taken up again: the outcome is taken only when
    /// it is given.
    ///
    /// # Panics
    ///
    /// When the task failed, its group does not collect failures, and this is awaited outside of
    /// the group.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_taskgroup::{OnError, Outcome, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sum = TaskGroup::builder().on_error(OnError::Collect).run(async |g| {
    ///     let mut tasks: Vec<_> = ["1", "two", "3"]
    ///         .into_iter()
    ///         .map(|text| g.spawn(async move { text.parse::<i32>() }))
    ///         .collect();
    ///     let mut sum = 0;
    ///     for task in &mut tasks {
    ///         match task.outcome().await {
    ///             Outcome::Ok(number) => sum += number,
    ///             other => assert!(other.is_err()),
    ///         }
    ///     }
    ///     Ok(sum)
    /// });
    /// assert_eq!(sum.await.unwrap(), 4);
    /// # }
    /// ```
    pub fn outcome(&mut self) -> TaskOutcome<'_, T, E> {
        TaskOutcome { task: self }
    }

    /// The failure, if the group still has it: then it is no longer the group's.
    pub(crate) fn take_failure(&mut self) -> Option<Cause<AnyError>> {
        let cause = self.core().take_failure(self.id())?;
        fate::take(&self.node);
        Some(cause)
    }

    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End<T>> {
        let came = match &mut self.end {
            Ending::Awaited(handle) => Ending::of(ready!(Pin::new(handle).poll(cx))),
            Ending::Here(_) | Ending::Gone => None,
        };
        let value = match replace(&mut self.end, Ending::Gone) {
            Ending::Here(value) => value.into_inner().ok(),
            Ending::Awaited(_) | Ending::Gone => came,
        };
        Poll::Ready(match value {
            Some(value) => {
                fate::take(&self.node);
                End::Value(value)
            }
            None if self.has_failed() => End::Failed,
            None if fate::was_taken(&self.node) => {
                panic!("task `{}` was polled after it gave its value", self.name())
            }
            None => End::Cancelled(self.node.reason().unwrap_or(Reason::Dropped)),
        })
    }

    /// Ready when the task has ended; what it gives stays here. Else its end calls the waker, and nothing
    /// else does: a look costs nothing of the budget of who looks.
    pub(crate) fn poll_finished(&mut self, waker: &Waker) -> Poll<()> {
        let mut cx = Context::from_waker(waker);
        if let Ending::Awaited(handle) = &mut self.end {
            let value = Ending::of(ready!(pin!(unconstrained(handle)).poll(&mut cx)));
            self.end = match value {
                Some(value) => Ending::Here(Box::new(Mutex::new(value))),
                None => Ending::Gone,
            };
        }
        Poll::Ready(())
    }

    /// The outcome of a task that has ended.
    pub(crate) fn poll_outcome_now(&mut self) -> Poll<Outcome<T, E>>
    where
        E: Send + 'static,
    {
        let mut cx = Context::from_waker(Waker::noop());
        pin!(unconstrained(self.outcome())).poll(&mut cx)
    }

    /// Whether it failed, by an error, a panic or its timeout.
    pub(crate) fn has_failed(&self) -> bool {
        fate::has_failed(&self.node)
    }

    /// Whether it failed, and its group does not leave that to who asks.
    pub(crate) fn is_lost(&self) -> bool {
        self.has_failed() && self.core().on_error == OnError::CancelSiblings
    }

    fn label(&self) -> &Label {
        self.node.role().task().expect("a task's node is labelled")
    }

    fn group(&self) -> &Arc<Node> {
        self.node
            .parent()
            .expect("a task's node has its group's above")
    }

    fn core(&self) -> &Core {
        Core::of(self.group()).expect("a task's group has a core")
    }

    /// There is no value. Within a group that is going down, so is who asks; elsewhere, and on a
    /// blocking thread that nobody can drop, it is a bug to wait for it.
    #[cold]
    pub(crate) fn missing<R>(&self, why: &str) -> Poll<R> {
        if self.group().is_doomed() && is_dropped_with(self.group()) {
            return Poll::Pending;
        }
        let task = self.label();
        panic!(
            "task `{}`, spawned at {}, has no value: it {why}; await its `outcome()` instead",
            task.name, task.location
        );
    }
}

pub(crate) enum End<T> {
    Value(T),
    Failed,
    Cancelled(Reason),
}

/// Whether the code that runs here belongs to that group, and can be dropped.
fn is_dropped_with(group: &Arc<Node>) -> bool {
    with_scope(|scope| {
        // A step is dropped by whoever polls it.
        let mut line = successors(scope, |node| node.parent());
        let owner = line.find(|node| node.role().step().is_none());
        let mut scope = owner.filter(|owner| !owner.is_shielded());
        while let Some(node) = scope {
            if Arc::ptr_eq(node, group) {
                return true;
            }
            if node.is_shelter() {
                return false;
            }
            scope = node.parent();
        }
        false
    })
}

impl<T, E> Future for Task<T, E> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(self.poll_end(cx)) {
            End::Value(value) => Poll::Ready(value),
            End::Failed => self.missing("failed"),
            End::Cancelled(reason) => self.missing(&format!("was cancelled ({reason})")),
        }
    }
}

impl<T, E> Unpin for Task<T, E> {}

impl<T, E> Drop for Task<T, E> {
    fn drop(&mut self) {
        if fate::unwatch(&self.node) {
            self.core().unwatch(self.group(), self.id());
        }
    }
}

impl<T, E> fmt::Debug for Task<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id())
            .field("name", self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// The future of [`Task::outcome`].
#[must_use = "futures do nothing unless polled"]
pub struct TaskOutcome<'a, T, E> {
    task: &'a mut Task<T, E>,
}

impl<T, E: Send + 'static> Future for TaskOutcome<'_, T, E> {
    type Output = Outcome<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T, E>> {
        let task = &mut *self.task;
        match ready!(task.poll_end(cx)) {
            End::Value(value) => Poll::Ready(Outcome::Ok(value)),
            End::Cancelled(reason) => Poll::Ready(Outcome::Cancelled(reason)),
            End::Failed if task.is_lost() => task.missing("failed"),
            End::Failed => match task.core().take_failure(task.id()).map(Cause::typed) {
                Some(Cause::Error(error)) => Poll::Ready(Outcome::Err(error)),
                Some(Cause::Panic(panic)) => Poll::Ready(Outcome::Panicked(panic)),
                Some(Cause::Deadline) => Poll::Ready(Outcome::Cancelled(Reason::Deadline)),
                // Taken before, or reported by a group that is over.
                Some(Cause::Cancelled(_) | Cause::Budget(_)) | None => {
                    task.missing("failed, and the group has reported it")
                }
            },
        }
    }
}

impl<T, E> fmt::Debug for TaskOutcome<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskOutcome").field(self.task).finish()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use tokio::task::yield_now;

    use super::*;
    use crate::TaskGroup;

    /// It may have ended between the question and the look.
    #[tokio::test]
    async fn a_value_that_comes_while_one_looks_stays_with_its_task() {
        let run = TaskGroup::<()>::run(async |g| {
            for dropped in [false, true] {
                let value = Arc::new(());
                let given = value.clone();
                let mut task = g.spawn(async move { Ok(given) });
                while !task.is_finished() {
                    yield_now().await;
                }
                for _ in 0..2 {
                    assert!(task.poll_finished(Waker::noop()).is_ready());
                    assert!(task.is_finished() && Arc::strong_count(&value) == 2);
                }
                if dropped {
                    drop(task);
                } else {
                    assert!(Arc::ptr_eq(&task.await, &value));
                }
                assert_eq!(Arc::strong_count(&value), 1);
            }
            Ok(())
        });
        run.await.unwrap();
    }
}
