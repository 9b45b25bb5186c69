use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use shibuya_cancel::InScope;
use shibuya_cancel::raw::{Label, Node, scope};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::Cause;
use crate::task::End;
use crate::task::shelter::{self, Hears, nearest_group};
use crate::{Name, Task, TaskGroup};

/// Moves `fut` into a task that no cancellation, abort or deadline from further out drops, for a step
/// that must not end half-way. The nearest group of the scope in force owns that task and waits for it.
///
/// It begins at once. Awaiting what this returns gives the value; **dropping** it leaves the task
/// running, and then the value is dropped when it is there. Also in a group that is cancelled or
/// aborted already it runs, as steps of a shutdown do. It takes no slot of the group's
/// [limit](crate::Builder::limit).
///
/// It is a shield from being dropped, not from knowing: inside, [`check`](crate::check),
/// [`cancelled`](crate::cancelled) and [`remaining`](crate::remaining) tell of the group's
/// cancellation and deadline, so that a long step can cut itself short. Groups that are opened inside
/// are told of it, too, and go on. A clean-up is what hears nothing; see
/// [`run_with_cleanup`](crate::run_with_cleanup).
///
/// **Outside of any group** it is a task of the runtime, which nobody waits for: on a runtime that shuts
/// down it is dropped, as all tasks are.
///
/// # Cancel safety
///
/// The step goes on when the returned future is dropped. Awaiting `&mut shield` can be given up and taken
/// up again.
///
/// # Panics
///
/// When called outside of a Tokio runtime and of any group.
///
/// A panic of `fut` goes on in who awaits. If nobody does any more, it is a failure of the group.
/// Awaited after the group has ended and reported the panic itself, or on another runtime than one that
/// shut down, it panics with the place of this call.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{OrCancelled, Reason, TaskGroup, shield};
/// use tokio::time::sleep;
///
/// static WRITTEN: AtomicU32 = AtomicU32::new(0);
///
/// async fn write_both_halves() {
///     WRITTEN.fetch_add(1, SeqCst);
///     sleep(Duration::from_millis(5)).await;
///     WRITTEN.fetch_add(1, SeqCst);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::<()>::run(async |g| {
///     let stop = g.clone();
///     g.spawn(async move {
///         stop.cancel(Reason::Requested);
///         Ok(())
///     });
///     shield(write_both_halves()).await;
///     unreachable!("this was dropped; what it awaited was not");
/// });
/// group.await.or_cancelled(()).unwrap();
/// assert_eq!(WRITTEN.load(SeqCst), 2); // the group has waited for it
/// # }
/// ```
#[track_caller]
pub fn shield<F>(fut: F) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    let scope = scope();
    match nearest_group(scope.as_ref()) {
        Some(group) => in_group(group, location, fut),
        None => match Handle::try_current() {
            Ok(runtime) => on_runtime(&runtime, location, fut),
            Err(_) => panic!("a shield needs a task group or a Tokio runtime"),
        },
    }
}

impl<E: Send + 'static> TaskGroup<E> {
    /// Moves `fut` into a task of this group that no cancellation, abort or deadline drops; see
    /// [`shield`](crate::shield()). It works on any thread, inside the runtime or not.
    ///
    /// In a group that is over, the next one further out owns the task, and in the end the runtime.
    ///
    /// # Cancel safety
    ///
    /// The step goes on when the returned future is dropped.
    #[track_caller]
    pub fn shield<F>(&self, fut: F) -> Shield<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        match nearest_group(Some(self.node())) {
            Some(group) => in_group(group, location, fut),
            None => on_runtime(&self.core().runtime, location, fut),
        }
    }
}

fn in_group<F>(group: Arc<Node>, location: &'static Location<'static>, fut: F) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let label = Label::new(Name::UNNAMED, location);
    let task = shelter::spawn(group, label, Hears::All, Sheltered { fut });
    Shield {
        place: Place::Group(task),
        location,
    }
}

fn on_runtime<F>(
    runtime: &Handle,
    location: &'static Location<'static>,
    fut: F,
) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Shield {
        place: Place::Runtime(runtime.spawn(fut.in_scope())),
        location,
    }
}

/// The future of [`shield`](shield()) and [`TaskGroup::shield`]: what was shielded runs without it, too.
pub struct Shield<T> {
    place: Place<T>,
    location: &'static Location<'static>,
}

enum Place<T> {
    Group(Task<T, Infallible>),
    Runtime(JoinHandle<T>),
}

impl<T> Shield<T> {
    /// Whether what was shielded has ended.
    pub fn is_finished(&self) -> bool {
        match &self.place {
            Place::Group(task) => task.is_finished(),
            Place::Runtime(handle) => handle.is_finished(),
        }
    }
}

impl<T> Future for Shield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let location = self.location;
        let panic = match &mut self.place {
            Place::Group(task) => match ready!(task.poll_end(cx)) {
                End::Value(value) => return Poll::Ready(value),
                End::Failed => match task.take_failure() {
                    Some(Cause::Panic(panic)) => panic.resume(),
                    _ => "panicked, and its group has reported that",
                },
                End::Cancelled(_) => "was dropped by a runtime that shut down",
            },
            Place::Runtime(handle) => match ready!(Pin::new(handle).poll(cx)) {
                Ok(value) => return Poll::Ready(value),
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => std::panic::resume_unwind(payload),
                    Err(_) => "was dropped by a runtime that shut down",
                },
            },
        };
        panic!("what was shielded at {location} has no value: it {panic}");
    }
}

impl<T> Unpin for Shield<T> {}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield")
            .field("location", &self.location)
            .field("finished", &self.is_finished())
            .finish()
    }
}

pin_project! {
    /// A future that can't fail, as a task of a group.
    struct Sheltered<F> {
        #[pin]
        fut: F,
    }
}

impl<F: Future> Future for Sheltered<F> {
    type Output = Result<F::Output, Cause<Infallible>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().fut.poll(cx).map(Ok)
    }
}
