use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::bound::Bound;
use crate::clock::Timestamp;
use crate::node::Node;
use crate::role::Role;
use crate::scope::linked_token;
use crate::timer::Timer;
use crate::{Cancelled, Reason, ambient};

pin_project! {
    /// The future of [`CancelScope::run`](crate::CancelScope::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F> {
        #[pin]
        fut: Option<F>,
        // First waits for the scope's deadline, then for the end of its grace.
        #[pin]
        timer: Timer,
        scope: Arc<Node>,
        node: Option<Arc<Node>>,
        grace_ends: Option<Timestamp>,
        token: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    }

    impl<F> PinnedDrop for Run<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            drop_inside(this.node, this.fut.as_mut(), this.scope.bound());
        }
    }
}

impl<F: Future> Run<F> {
    pub(crate) fn new(scope: Arc<Node>, fut: F) -> Self {
        let token = linked_token(&scope).cloned();
        let token = token.map(|token| Box::pin(token.cancelled_owned()));
        Self {
            fut: Some(fut),
            timer: Timer::new(),
            scope,
            node: None,
            grace_ends: None,
            token,
        }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(this.fut.is_some(), "`Run` polled after it was done");
        let at = this.scope.bound().at();
        let ours = !ambient::covers(at, cx);
        if this.node.is_none() {
            let scope = this.scope.clone();
            let bound = scope.bound();
            *this.node = Some(Node::child(scope, bound, Duration::MAX, Role::Run));
            if ours && at <= Timestamp::now() {
                this.scope.cancel(Reason::Deadline);
            }
        }
        if let Some(token) = this.token {
            if token.as_mut().poll(cx).is_ready() {
                *this.token = None;
                this.scope.cancel(Reason::Requested);
            }
        }
        let node = this.node.as_mut().expect("made above");
        node.drive(cx.waker());
        if !node.is_aborted() {
            let fut = this.fut.as_mut().as_pin_mut().expect("checked above");
            let enforced = ours && this.scope.grace().is_zero();
            let cut = enforced.then(|| ambient::enter_deadline(at, cx));
            let bound = this.scope.bound().min(ambient::bound());
            let inside = ambient::enter(node, bound);
            let value = fut.poll(cx);
            drop(inside);
            drop(cut);
            if let Poll::Ready(value) = value {
                return Poll::Ready(Ok(value));
            }
        }
        loop {
            if node.is_aborted() {
                break;
            }
            if this.scope.is_origin() {
                let ends = *this.grace_ends.get_or_insert_with(|| {
                    this.timer.as_mut().disarm();
                    Timestamp::now().after(this.scope.grace())
                });
                std::task::ready!(this.timer.as_mut().poll(ends, cx));
                this.scope.abort(Reason::Requested);
            } else if ours {
                std::task::ready!(this.timer.as_mut().poll(at, cx));
                this.scope.cancel(Reason::Deadline);
            } else {
                return Poll::Pending;
            }
        }
        drop_inside(this.node, this.fut, this.scope.bound());
        let reason = this.scope.reason().unwrap_or(Reason::Requested);
        Poll::Ready(Err(Cancelled::new(reason)))
    }
}

/// Destructors see the scope that they run in, too.
fn drop_inside<F>(node: &mut Option<Arc<Node>>, mut fut: Pin<&mut Option<F>>, bound: Bound) {
    let Some(node) = node else { return };
    node.end();
    let _inside = ambient::enter(node, bound.unenforced());
    fut.set(None);
}
