use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use shibuya_waitlist::{Latch, Wait, WaitList};

use crate::node::Node;
use crate::{Cancelled, Reason, ambient};

/// Waits until the current scope is cancelled, and gives the reason. Outside of any scope it waits
/// for ever.
///
/// The scope is the one in force where `cancelled()` is called, wherever the future is polled: write
/// `scope.run(async { cancelled().await })`, since in `scope.run(cancelled())` it is called outside.
/// Waiting on a deadline alone is not waiting for a cancellation: what runs inside
/// [`deadline`](crate::deadline()) is dropped when the time is over, so there is nobody to tell.
///
/// Dropping the future leaves the line; nothing else happens.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped: a cancelled scope stays cancelled.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{CancelScope, Reason, cancelled};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let scope = CancelScope::builder().grace(std::time::Duration::from_millis(500)).build();
/// let stop = scope.clone();
/// let said = scope
///     .run(async {
///         stop.cancel(Reason::Shutdown);
///         let why = cancelled().await; // within the grace, so there is time to say goodbye
///         format!("bye: {why}")
///     })
///     .await;
/// assert_eq!(said.unwrap(), "bye: shutting down");
/// # }
/// ```
pub fn cancelled() -> UntilCancelled {
    UntilCancelled::new(ambient::scope())
}

/// The future of [`cancelled`] and [`CancelScope::cancelled`](crate::CancelScope::cancelled).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct UntilCancelled {
    scope: Option<Arc<Node>>,
    wait: Option<Wait<Arc<WaitList<Latch<()>>>>>,
}

impl UntilCancelled {
    pub(crate) fn new(scope: Option<Arc<Node>>) -> Self {
        Self { scope, wait: None }
    }
}

impl Future for UntilCancelled {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let this = &mut *self;
        let Some(scope) = &this.scope else {
            return Poll::Pending;
        };
        if let Some(reason) = scope.reason() {
            return Poll::Ready(reason);
        }
        let wait = this
            .wait
            .get_or_insert_with(|| Wait::new(scope.waiters(), ()));
        // The list is never closed, so an answer means that the scope was cancelled.
        let _ = ready!(Pin::new(wait).poll(cx));
        Poll::Ready(scope.reason().unwrap_or(Reason::Requested))
    }
}

/// Fails once the current scope is cancelled: for loops that compute and never wait.
///
/// It reads one thread-local and one atomic word, and no clock, so a [`deadline`](crate::deadline())
/// around it does not show here; [`remaining`](crate::remaining) tells that.
///
/// # Errors
///
/// [`Cancelled`] with the reason.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{Cancelled, check};
///
/// fn checksum(bytes: &[u8]) -> Result<u64, Cancelled> {
///     let mut sum = 0u64;
///     for block in bytes.chunks(4096) {
///         check()?;
///         sum = block.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
///     }
///     Ok(sum)
/// }
/// assert!(checksum(b"outside of any scope nothing is ever cancelled").is_ok());
/// ```
#[inline]
pub fn check() -> Result<(), Cancelled> {
    ambient::with_scope(|scope| match scope {
        Some(scope) if scope.is_cancelled() => Err(refuse(scope)),
        _ => Ok(()),
    })
}

#[cold]
fn refuse(scope: &Node) -> Cancelled {
    Cancelled::new(scope.reason().unwrap_or(Reason::Requested))
}
