use std::any::Any;
use std::future::Future;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Bound, Node, Timestamp, enter};

use crate::Panic;
use crate::core::{AnyError, Core};
use crate::error::{Cause, Failure};
use crate::task::TaskInfo;

pin_project! {
    /// What Tokio runs for a task of a group: the future, in its scope, and the report of how it
    /// ended. The report is made once, whichever way it ends: value, error, panic, abort, or a
    /// runtime that drops it.
    pub(crate) struct Child<F> {
        #[pin]
        fut: Option<F>,
        // Moves into the thread-local during a poll; gone after the report.
        node: Option<Arc<Node>>,
    }

    impl<F> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            cut(this.fut.as_mut(), this.node);
        }
    }
}

impl<F> Child<F> {
    pub(crate) fn new(node: Arc<Node>, fut: F) -> Self {
        Self {
            fut: Some(fut),
            node: Some(node),
        }
    }
}

impl<T, E, F> Future for Child<F>
where
    F: Future<Output = Result<T, Cause<E>>>,
    E: Send + 'static,
{
    /// `None` when there is no value, for whatever reason.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        let node = this
            .node
            .as_ref()
            .expect("a child is polled until it reports");
        if node.is_aborted() {
            cut(this.fut, this.node);
            return Poll::Ready(None);
        }
        let bound = node.bound();
        let inside = enter(this.node, bound);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = this
                .fut
                .as_mut()
                .as_pin_mut()
                .expect("dropped with the report")
                .poll(cx);
            if polled.is_ready() {
                this.fut.set(None);
            }
            polled
        }));
        drop(inside);
        match polled {
            Ok(Poll::Pending) => {
                let node = this.node.as_ref().expect("put back by the guard");
                node.drive_once(cx.waker());
                if !node.is_aborted() {
                    return Poll::Pending;
                }
                cut(this.fut, this.node);
                Poll::Ready(None)
            }
            Ok(Poll::Ready(Ok(value))) if needs_drop::<T>() && is_unwatched(this.node) => {
                // Tokio would drop it after the report, when the group may be over.
                let panic = in_scope(this.node, || drop(value)).err();
                report(this.node, panic.map(Cause::panic));
                Poll::Ready(None)
            }
            Ok(Poll::Ready(Ok(value))) => {
                report(this.node, None);
                Poll::Ready(Some(value))
            }
            Ok(Poll::Ready(Err(cause))) => {
                report(this.node, Some(cause.boxed()));
                Poll::Ready(None)
            }
            Err(payload) => {
                // What is left of the future goes in its scope, too; one panic is told.
                let _ = in_scope(this.node, || this.fut.set(None));
                report(this.node, Some(Cause::panic(payload)));
                Poll::Ready(None)
            }
        }
    }
}

/// Ends a child that has no value to give.
fn cut<F>(mut fut: Pin<&mut Option<F>>, node: &mut Option<Arc<Node>>) {
    if node.is_some() {
        let panic = in_scope(node, || fut.set(None)).err();
        report(node, panic.map(Cause::panic));
    }
}

/// Destructors see the scope that they run in.
fn in_scope(node: &mut Option<Arc<Node>>, f: impl FnOnce()) -> std::thread::Result<()> {
    let bound = node.as_ref().map_or(Bound::NONE, |node| node.bound());
    let _inside = enter(node, bound);
    catch_unwind(AssertUnwindSafe(f))
}

/// Whether the task's handle is gone.
fn is_unwatched(node: &Option<Arc<Node>>) -> bool {
    let task = node.as_ref().and_then(|node| node.owner().downcast_ref());
    task.is_some_and(TaskInfo::is_unwatched)
}

/// Tells the group, once. The future is gone by now, so nothing of the task outlives the group.
fn report(node: &mut Option<Arc<Node>>, cause: Option<Cause<AnyError>>) {
    let Some(node) = node.take() else { return };
    let group = node.parent().expect("a task's node has its group's above");
    let core = Core::of(group).expect("a task's group has a core");
    if let Some(cause) = cause {
        let task = node
            .owner()
            .downcast_ref::<TaskInfo>()
            .expect("a child's node is a task's");
        let failure = Failure {
            id: task.id,
            name: task.name.clone(),
            location: task.location,
            elapsed: Timestamp::now().since(task.created),
            cause,
        };
        let watched = task.fail();
        core.fail(group, failure, watched);
    }
    node.end();
    core.leave(group);
}

impl<E: Send + 'static> Cause<E> {
    /// Without its type, as the group keeps it.
    pub(crate) fn boxed(self) -> Cause<AnyError> {
        match self {
            Self::Error(error) => Cause::Error(Box::new(error)),
            Self::Panic(panic) => Cause::Panic(panic),
            Self::Deadline => Cause::Deadline,
            Self::Cancelled(reason) => Cause::Cancelled(reason),
        }
    }
}

impl Cause<AnyError> {
    fn panic(payload: Box<dyn Any + Send>) -> Self {
        Self::Panic(Panic::new(payload))
    }

    /// With its type again.
    pub(crate) fn typed<E: 'static>(self) -> Cause<E> {
        match self {
            Self::Error(error) => {
                Cause::Error(*error.downcast().expect("a group's errors are of one type"))
            }
            Self::Panic(panic) => Cause::Panic(panic),
            Self::Deadline => Cause::Deadline,
            Self::Cancelled(reason) => Cause::Cancelled(reason),
        }
    }
}
