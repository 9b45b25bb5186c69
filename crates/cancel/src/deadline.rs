use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::Elapsed;
use crate::ambient;
use crate::clock::Timestamp;
use crate::timer::Timer;

/// Runs `fut` until the instant `at`, then drops it.
///
/// Everything inside can see the deadline as [`remaining`] time, and so can the tasks of a task group
/// that is opened inside. A task spawned from here into a group further out is in the scope of that
/// group, and sees the deadline only with [`in_scope`](crate::InScope::in_scope). A value that is ready when the deadline is noticed wins. Where an outer
/// deadline comes no later, this one arms no timer and never answers: the outer drops it. (What polls
/// its futures one by one, as `FuturesUnordered` does, may outlive the outer deadline; there each has
/// a timer of its own.)
///
/// Dropping the future drops `fut`.
///
/// # Cancel safety
///
/// As safe as `fut`: it holds nothing of its own that could be lost.
///
/// # Errors
///
/// [`Elapsed`] when the time is over; `fut` was dropped then. With an instant in the past `fut` is
/// never polled.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{deadline, remaining};
/// use tokio::time::{Duration, Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let at = Instant::now() + Duration::from_millis(50);
/// let slow = deadline(at, async {
///     assert!(remaining().unwrap() <= Duration::from_millis(50));
///     sleep(Duration::from_secs(3600)).await;
/// });
/// assert!(slow.await.is_err());
/// # }
/// ```
pub fn deadline<F: IntoFuture>(at: Instant, fut: F) -> Deadline<F::IntoFuture> {
    Deadline::new(Timestamp::from(at), true, fut.into_future())
}

/// Runs `fut` for at most `limit`, counted from this call, then drops it. In all else like
/// [`deadline`].
///
/// # Cancel safety
///
/// As safe as `fut`: it holds nothing of its own that could be lost.
///
/// # Errors
///
/// [`Elapsed`] when the time is over; `fut` was dropped then. With a limit of zero `fut` is never
/// polled.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// An inner and an outer limit are told apart without looking at messages:
///
/// ```
/// use shibuya_cancel::timeout;
/// use tokio::time::{Duration, sleep};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = timeout(Duration::from_millis(500), async {
///     match timeout(Duration::from_millis(10), sleep(Duration::from_secs(3600))).await {
///         Ok(()) => "done",
///         Err(_) => "the inner one was too slow, and we still have time",
///     }
/// });
/// assert_eq!(answer.await, Ok("the inner one was too slow, and we still have time"));
/// # }
/// ```
pub fn timeout<F: IntoFuture>(limit: Duration, fut: F) -> Deadline<F::IntoFuture> {
    // The clock was read just now, so only a limit of zero can be over before the first poll.
    Deadline::new(
        Timestamp::now().after(limit),
        limit.is_zero(),
        fut.into_future(),
    )
}

/// Runs `fut` for at most `limit`, and gives `default` when the time is over.
///
/// # Cancel safety
///
/// As safe as `fut`. The default is dropped with the future.
///
/// # Panics
///
/// When it must wait outside of a Tokio runtime, or in one without timers.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::timeout_or;
/// use tokio::time::{Duration, sleep};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let price = timeout_or(
///     Duration::from_millis(10),
///     async {
///         sleep(Duration::from_secs(3600)).await;
///         42
///     },
///     7, // yesterday's
/// );
/// assert_eq!(price.await, 7);
/// # }
/// ```
pub fn timeout_or<F: IntoFuture>(
    limit: Duration,
    fut: F,
    default: F::Output,
) -> TimeoutOr<F::IntoFuture> {
    TimeoutOr {
        inner: timeout(limit, fut),
        default: Some(default),
    }
}

/// How long is left until the deadline in force here; `None` without one, zero when it is past.
///
/// It reads the clock only if there is a deadline.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{remaining, timeout};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(remaining(), None);
/// timeout(Duration::from_millis(800), async {
///     assert!(remaining() <= Some(Duration::from_millis(800)));
/// })
/// .await
/// .unwrap();
/// # }
/// ```
pub fn remaining() -> Option<Duration> {
    match ambient::bound().at() {
        Timestamp::NEVER => None,
        at => Some(at.since(Timestamp::now())),
    }
}

/// The instant of the deadline in force here, if there is one.
pub fn current_deadline() -> Option<Instant> {
    ambient::bound().at().to_instant()
}

pin_project! {
    /// The future of [`deadline`] and [`timeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Deadline<F> {
        // Gone once the time is over, so that nothing of it lives on in a future that is kept.
        #[pin]
        fut: Option<F>,
        #[pin]
        timer: Timer,
        at: Timestamp,
        // Whether the time may be over before the first poll.
        stale: bool,
    }
}

impl<F: Future> Deadline<F> {
    fn new(at: Timestamp, stale: bool, fut: F) -> Self {
        Self {
            fut: Some(fut),
            timer: Timer::new(),
            at,
            stale,
        }
    }
}

impl<F: Future> Future for Deadline<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let at = *this.at;
        if *this.stale {
            *this.stale = false;
            if at != Timestamp::NEVER && at <= Timestamp::now() {
                this.fut.set(None);
                return Poll::Ready(Err(Elapsed));
            }
        }
        let fut = this
            .fut
            .as_mut()
            .as_pin_mut()
            .expect("`Deadline` polled after it was done");
        if ambient::covers(at, cx) {
            return fut.poll(cx).map(Ok);
        }
        let inside = ambient::enter_deadline(at, cx);
        let value = fut.poll(cx);
        drop(inside);
        if let Poll::Ready(value) = value {
            return Poll::Ready(Ok(value));
        }
        std::task::ready!(this.timer.poll(at, cx));
        this.fut.set(None);
        Poll::Ready(Err(Elapsed))
    }
}

pin_project! {
    /// The future of [`timeout_or`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutOr<F: Future> {
        #[pin]
        inner: Deadline<F>,
        default: Option<F::Output>,
    }
}

impl<F: Future> Future for TimeoutOr<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.inner.poll(cx).map(|answer| match answer {
            Ok(value) => value,
            Err(Elapsed) => this
                .default
                .take()
                .expect("`TimeoutOr` polled after it was done"),
        })
    }
}
