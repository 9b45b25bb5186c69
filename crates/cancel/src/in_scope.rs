use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::ambient;
use crate::bound::Bound;
use crate::node::Node;

/// Carries the current scope and deadline into a task that something else spawns.
pub trait InScope: Future + Sized {
    /// Polls this future in the scope and under the deadline that are in force at this call.
    ///
    /// A deadline around where it is polled shows inside as well, when it is earlier.
    ///
    /// It can *see* them ([`check`](crate::check), [`cancelled`](crate::cancelled),
    /// [`remaining`](crate::remaining), and all that looks at them), yet nobody drops it when they
    /// end: that needs an owner, as a task group is, or [`CancelScope::run`](crate::CancelScope::run).
    ///
    /// # Cancel safety
    ///
    /// As safe as the future itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_cancel::{InScope, remaining, timeout};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// timeout(Duration::from_millis(800), async {
    ///     let there = tokio::spawn(async { remaining() }.in_scope());
    ///     assert!(there.await.unwrap() <= Some(Duration::from_millis(800)));
    ///
    ///     let elsewhere = tokio::spawn(async { remaining() });
    ///     assert_eq!(elsewhere.await.unwrap(), None);
    /// })
    /// .await
    /// .unwrap();
    /// # }
    /// ```
    fn in_scope(self) -> Scoped<Self> {
        Scoped {
            fut: Some(self),
            scope: ambient::scope_or_outside(),
            bound: ambient::bound().unenforced(),
        }
    }
}

impl<F: Future> InScope for F {}

pin_project! {
    /// The future of [`InScope::in_scope`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        #[pin]
        fut: Option<F>,
        scope: Arc<Node>,
        bound: Bound,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = ambient::enter(this.scope, *this.bound);
            this.fut.set(None);
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = ambient::enter(this.scope, this.bound.min(ambient::bound()));
        this.fut.as_pin_mut().expect("only drop takes it").poll(cx)
    }
}
