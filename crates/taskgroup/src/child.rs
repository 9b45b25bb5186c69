use std::any::Any;
use std::future::Future;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Node, Timestamp, enter};

use crate::Panic;
use crate::core::{AnyError, Core};
use crate::error::{Cause, Failure};
use crate::task::fate;

pin_project! {
    /// What Tokio runs for a task of a group: the future, in its scope, and the report of how it
    /// ended. The report is made once, whichever way it ends: value, error, panic, abort, or a
    /// runtime that drops it.
    pub(crate) struct Child<F> {
        #[pin]
        state: State<F>,
    }

    impl<F> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            cut(this.project().state);
        }
    }
}

pin_project! {
    // An enum, and the scope in it never absent: so the two words that say "running" cost nothing,
    // and Tokio's memory for a small task stays in its smallest size.
    #[project = StateProj]
    enum State<F> {
        Running {
            #[pin]
            fut: F,
            // Moves into the thread-local during a poll.
            node: Arc<Node>,
        },
        Reported,
    }
}

impl<F> Child<F> {
    pub(crate) fn new(node: Arc<Node>, fut: F) -> Self {
        Self {
            state: State::Running { fut, node },
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
        let mut state = self.project().state;
        let StateProj::Running { fut, node } = state.as_mut().project() else {
            unreachable!("a child is polled until it reports");
        };
        if node.is_aborted() {
            cut(state);
            return Poll::Ready(None);
        }
        let bound = node.bound();
        let inside = enter(node, bound);
        let polled = catch_unwind(AssertUnwindSafe(|| fut.poll(cx)));
        drop(inside);
        let (value, cause) = match polled {
            Ok(Poll::Pending) => {
                node.drive_once(cx.waker());
                if !node.is_aborted() {
                    return Poll::Pending;
                }
                (None, None)
            }
            Ok(Poll::Ready(Ok(value))) => (Some(value), None),
            Ok(Poll::Ready(Err(cause))) => (None, Some(cause.boxed())),
            Err(payload) => (None, Some(Cause::panic(payload))),
        };
        // Tokio would drop a value that nobody takes after the report, when the group may be over.
        let nobody_takes_it = needs_drop::<T>() && is_unwatched(node);
        let (value, spare) = if nobody_takes_it {
            (None, value)
        } else {
            (value, None)
        };
        let clean = finish(state, spare, cause);
        Poll::Ready(value.filter(|_| clean))
    }
}

/// Ends a child that has no value to give.
fn cut<F>(state: Pin<&mut State<F>>) {
    finish(state, (), None);
}

/// Drops the future, and a value to spare, in their scope, as destructors may look at it, and then
/// tells the group: nothing of the task outlives it. Gives whether no destructor panicked.
fn finish<F, V>(mut state: Pin<&mut State<F>>, spare: V, cause: Option<Cause<AnyError>>) -> bool {
    let StateProj::Running { node, .. } = state.as_mut().project() else {
        return true;
    };
    let mut node = node.clone();
    let bound = node.bound();
    let inside = enter(&mut node, bound);
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        state.set(State::Reported);
        drop(spare);
    }));
    drop(inside);
    let clean = dropped.is_ok();
    // One panic is told, the first.
    report(&node, cause.or_else(|| dropped.err().map(Cause::panic)));
    clean
}

/// Whether the task's handle is gone.
fn is_unwatched(node: &Node) -> bool {
    node.role().task().is_some_and(fate::is_unwatched)
}

fn report(node: &Node, cause: Option<Cause<AnyError>>) {
    let group = node.parent().expect("a task's node has its group's above");
    let core = Core::of(group).expect("a task's group has a core");
    if let Some(cause) = cause {
        let task = node.role().task().expect("a child's node is a task's");
        let failure = Failure {
            id: task.id,
            name: task.name.clone(),
            location: task.location,
            elapsed: Timestamp::now().since(task.created),
            cause,
        };
        let watched = fate::fail(task);
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
