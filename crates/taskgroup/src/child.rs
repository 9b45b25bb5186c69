use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Node, Timestamp, enter};

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
                let _ = drop_inside(this.fut, this.node);
                report(this.node, Some(Cause::Panic(Panic::new(payload))));
                Poll::Ready(None)
            }
        }
    }
}

/// Ends a child that has no value to give.
fn cut<F>(fut: Pin<&mut Option<F>>, node: &mut Option<Arc<Node>>) {
    if node.is_some() {
        let panic = drop_inside(fut, node).err();
        report(node, panic.map(|payload| Cause::Panic(Panic::new(payload))));
    }
}

/// Destructors see the scope that they run in.
fn drop_inside<F>(
    mut fut: Pin<&mut Option<F>>,
    node: &mut Option<Arc<Node>>,
) -> Result<(), Box<dyn Any + Send>> {
    let bound = node
        .as_ref()
        .map_or(shibuya_cancel::raw::Bound::NONE, |node| node.bound());
    let _inside = enter(node, bound);
    catch_unwind(AssertUnwindSafe(|| fut.set(None)))
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
