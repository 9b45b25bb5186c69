use std::future::Future;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Label, Node, Timestamp, enter};
use tracing::Span;

use crate::Panic;
use crate::error::{Cause, Failure};
use crate::group::core::{AnyError, Core};
use crate::see::{EndedAs, Polling, ended};
use crate::task::fate::{self, Heir};

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
        let span = node.span();
        let entered = span.as_deref().map(Span::enter);
        let polling = Polling::begin(node);
        node.note_poll(polling.stamp());
        let inside = enter(node, bound);
        let polled = catch_unwind(AssertUnwindSafe(|| fut.poll(cx)));
        drop(inside);
        drop((polling, entered));
        drop(span);
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
            Err(payload) => (None, Some(Cause::Panic(Panic::new(payload)))),
        };
        Poll::Ready(finish(state, value, cause))
    }
}

/// Ends a child that has no value to give.
fn cut<F>(state: Pin<&mut State<F>>) {
    finish(state, None::<()>, None);
}

/// Drops the future in its scope, as destructors may look at it, and then tells the group. Nothing
/// of the task outlives the group: a value that nobody will take is dropped here too, where Tokio
/// would do it after the report. Gives the value that counts.
fn finish<F, T>(
    mut state: Pin<&mut State<F>>,
    value: Option<T>,
    cause: Option<Cause<AnyError>>,
) -> Option<T> {
    let StateProj::Running { node, .. } = state.as_mut().project() else {
        return None;
    };
    let mut node = node.clone();
    node.hear_out();
    let unwanted = needs_drop::<T>() && fate::is_unwatched(&node);
    let has_value = value.is_some();
    let span = node.take_span();
    let entered = span.as_deref().map(Span::enter);
    let bound = node.bound();
    let inside = enter(&mut node, bound);
    let dropped = catch_unwind(AssertUnwindSafe(|| state.set(State::Reported)));
    let (value, spare) = match unwanted || dropped.is_err() {
        true => (None, value),
        false => (value, None),
    };
    let dropped = dropped.and(catch_unwind(AssertUnwindSafe(|| drop(spare))));
    drop(inside);
    drop(entered);
    drop(span);
    let cause = cause.filter(|cause| !Core::is_echo(&node, cause));
    // One panic is told, the first.
    let panic = |payload| Cause::Panic(Panic::new(payload));
    report(&node, has_value, cause.or_else(|| dropped.err().map(panic)));
    value
}

fn label(node: &Node) -> &Label {
    node.role().task().expect("a child's node is a task's")
}

fn report(node: &Arc<Node>, has_value: bool, cause: Option<Cause<AnyError>>) {
    let group = node.parent().expect("a task's node has its group's above");
    let core = Core::of(group).expect("a task's group has a core");
    let ending = match &cause {
        None if has_value => EndedAs::Done,
        None | Some(Cause::Cancelled(_)) => EndedAs::Cancelled,
        Some(Cause::Error(_)) => EndedAs::Failed,
        Some(Cause::Panic(_)) => EndedAs::Panicked,
        Some(Cause::Deadline | Cause::Budget(_)) => EndedAs::TimedOut,
    };
    ended(label(node), core.id, ending);
    if let Some(cause) = cause {
        let task = label(node);
        let failure = Failure {
            id: task.id,
            name: task.name.clone(),
            location: task.location,
            elapsed: Timestamp::now().since(task.created),
            cause,
        };
        match fate::fail(node) {
            Heir::Group => core.fail(group, failure, false),
            Heir::Both => core.fail(group, failure, true),
            Heir::Handle => core.note(failure, true),
        }
    }
    // With the last handle goes all that `end` looks after, and nobody is left to ask.
    if Arc::strong_count(node) > 1 {
        node.end();
    }
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
            Self::Budget(budget) => Cause::Budget(budget),
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
            Self::Budget(budget) => Cause::Budget(budget),
        }
    }
}
