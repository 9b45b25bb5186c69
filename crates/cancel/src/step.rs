use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::clock::Timestamp;
use crate::node::Node;
use crate::role::{Role, StepLabel};
use crate::{Name, TaskId, ambient};

/// Gives what a task does here a name: whoever looks at the tree of tasks sees it there for as long as
/// it lasts, with how long that is and where it stands.
///
/// Steps nest, and several may run side by side in one task. A step changes nothing else: `fut` runs
/// in the scope and under the deadline in force. One that is ready at its first poll costs two
/// allocations as well; use steps for what waits, such as a request.
///
/// Dropping the returned future drops `fut`.
///
/// # Cancel safety
///
/// As safe as `fut`.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::step;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = step("ask the oracle", async {
///     tokio::task::yield_now().await;
///     42
/// });
/// assert_eq!(answer.await, 42);
/// # }
/// ```
#[track_caller]
pub fn step<F: Future>(name: impl Into<Name>, fut: F) -> Step<F> {
    Step {
        fut: Some(fut),
        frame: Frame::New(name.into(), Location::caller()),
    }
}

pin_project! {
    /// The future of [`step`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Step<F> {
        #[pin]
        fut: Option<F>,
        frame: Frame,
    }

    impl<F> PinnedDrop for Step<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Frame::Open(node) = this.frame {
                node.end();
                let _inside = ambient::enter(node, ambient::bound());
                this.fut.set(None);
            }
        }
    }
}

impl<F: Future> Future for Step<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let node = this.frame.open();
        let inside = ambient::enter(node, ambient::bound());
        let fut = this.fut.as_mut().as_pin_mut();
        let value = std::task::ready!(fut.expect("it is open").poll(cx));
        this.fut.set(None);
        drop(inside);
        node.end();
        *this.frame = Frame::Done;
        Poll::Ready(value)
    }
}

enum Frame {
    New(Name, &'static Location<'static>),
    Open(Arc<Node>),
    Done,
}

impl Frame {
    fn open(&mut self) -> &mut Arc<Node> {
        let label = match self {
            Self::New(name, location) => Some((name.clone(), *location)),
            Self::Open(node) if is_here(node) => None,
            // The future was moved to another task: nobody is to find itself in the scope of the first.
            Self::Open(node) => {
                node.end();
                node.role()
                    .step()
                    .map(|step| (step.name.clone(), step.location))
            }
            Self::Done => panic!("`Step` polled after it was done"),
        };
        if let Some((name, location)) = label {
            let role = Role::Step(Box::new(StepLabel {
                id: TaskId::next(),
                name,
                location,
                begun: Timestamp::now(),
            }));
            // A cancellation never begins here, so there is no grace to give.
            let bound = ambient::bound().unenforced();
            *self = Self::Open(match ambient::scope() {
                Some(outer) => Node::child(outer, bound, Duration::MAX, role),
                None => Node::root(bound, Duration::MAX, role),
            });
        }
        match self {
            Self::Open(node) => node,
            _ => unreachable!("it was opened above"),
        }
    }
}

/// Whether the step was opened in the scope in force.
fn is_here(step: &Arc<Node>) -> bool {
    ambient::with_scope(|scope| match (scope, step.parent()) {
        (Some(scope), Some(parent)) => Arc::ptr_eq(scope, parent),
        (None, None) => true,
        _ => false,
    })
}

impl<F> fmt::Debug for Step<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").finish_non_exhaustive()
    }
}
