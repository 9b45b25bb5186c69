//! What it costs to ask the scope, and to set a deadline.

use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use shibuya_cancel::{CancelScope, cancelled, check, deadline, remaining};
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const TIMES: usize = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "scope/ask",
            Threads::One,
            "Ask whether to go on, and how long; per call.",
        )
        .contender("Instant::now", TIMES, instant_now)
        .contender("CancellationToken::is_cancelled", TIMES, token_is_cancelled)
        .contender("check", TIMES, ask_check)
        .contender("remaining", TIMES, ask_remaining),
        Case::new(
            "scope/deadline/ready",
            Threads::One,
            "An unexpired deadline around a future that is ready; per future.",
        )
        .contender("tokio timeout", TIMES, tokio_timeout)
        .contender("tokio timeout_at", TIMES, tokio_timeout_at)
        .contender("deadline", TIMES, deadline_ready)
        .contender("timeout", TIMES, timeout_ready),
        Case::new(
            "scope/deadline/nested",
            Threads::One,
            "Eight nested, unexpired deadlines around a future that is pending once; per innermost future.",
        )
        .contender("tokio timeout_at", TIMES / 10, tokio_nested)
        .contender("no deadline", TIMES / 10, no_deadline)
        .contender("deadline", TIMES / 10, nested),
        Case::new(
            "scope/cancelled",
            Threads::One,
            "Make the future that waits for the cancellation, poll it once, drop it.",
        )
        .contender("CancellationToken::cancelled", TIMES, token_cancelled)
        .contender("Notify::notified", TIMES, notified)
        .contender("cancelled", TIMES, until_cancelled),
    ]
}

async fn instant_now(n: usize) -> Lap {
    let clock = Clock::start();
    let mut last = Instant::now();
    let mut count = 0;
    for _ in 0..n {
        let now = Instant::now();
        count += usize::from(black_box(now) >= last);
        last = now;
    }
    clock.stop(count)
}

async fn token_is_cancelled(n: usize) -> Lap {
    let token = CancellationToken::new();
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        count += usize::from(!black_box(&token).is_cancelled());
    }
    clock.stop(count)
}

async fn tokio_timeout(n: usize) -> Lap {
    let clock = Clock::start();
    let mut count = 0;
    for i in 0..n {
        let value = timeout(HOUR, ready(black_box(i))).await;
        count += usize::from(value.is_ok());
    }
    clock.stop(count)
}

async fn tokio_timeout_at(n: usize) -> Lap {
    let at = tokio::time::Instant::now() + HOUR;
    let clock = Clock::start();
    let mut count = 0;
    for i in 0..n {
        let value = timeout_at(at, ready(black_box(i))).await;
        count += usize::from(value.is_ok());
    }
    clock.stop(count)
}

#[derive(Default)]
struct PendingOnce {
    polled: bool,
}

impl Future for PendingOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.polled {
            return Poll::Ready(());
        }
        self.polled = true;
        Poll::Pending
    }
}

/// Polls a future that is pending once, without a trip through the scheduler: only the deadlines are measured.
async fn twice(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let first = future.as_mut().poll(cx).is_pending();
        let second = future.as_mut().poll(cx).is_ready();
        Poll::Ready(first && second)
    })
    .await
}

async fn tokio_nested(n: usize) -> Lap {
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        // Outer ones are earlier, as where a callee asks for more time than its caller has.
        let at = tokio::time::Instant::now() + HOUR;
        let later = |step: u64| at + Duration::from_secs(step);
        let two = timeout_at(later(6), timeout_at(later(7), PendingOnce::default()));
        let four = timeout_at(later(4), timeout_at(later(5), two));
        let six = timeout_at(later(2), timeout_at(later(3), four));
        let eight = timeout_at(at, timeout_at(later(1), six));
        count += usize::from(twice(eight).await);
    }
    clock.stop(count)
}

async fn no_deadline(n: usize) -> Lap {
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        count += usize::from(twice(PendingOnce::default()).await);
    }
    clock.stop(count)
}

async fn token_cancelled(n: usize) -> Lap {
    let token = CancellationToken::new();
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        count += usize::from(pending(pin!(token.cancelled())).await);
    }
    clock.stop(count)
}

/// The primitive under the token: a list of waiters and nothing else.
async fn notified(n: usize) -> Lap {
    let notify = Notify::new();
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        count += usize::from(pending(pin!(notify.notified())).await);
    }
    clock.stop(count)
}

/// Whether a future is pending when it is polled once.
async fn pending(mut future: Pin<&mut impl Future>) -> bool {
    let once = |cx: &mut Context<'_>| Poll::Ready(future.as_mut().poll(cx).is_pending());
    poll_fn(once).await
}

/// Ours, inside a scope, as all that follow.
async fn ask_check(n: usize) -> Lap {
    let asked = CancelScope::new().run(async {
        let clock = Clock::start();
        let mut count = 0;
        for _ in 0..n {
            count += usize::from(black_box(check().is_ok()));
        }
        clock.stop(count)
    });
    asked.await.expect("nobody cancels the scope")
}

async fn ask_remaining(n: usize) -> Lap {
    let asked = shibuya_cancel::timeout(HOUR, async {
        let clock = Clock::start();
        let mut count = 0;
        for _ in 0..n {
            count += usize::from(black_box(remaining()).is_some());
        }
        clock.stop(count)
    });
    asked.await.expect("an hour is enough")
}

async fn deadline_ready(n: usize) -> Lap {
    let at = tokio::time::Instant::now() + HOUR;
    let clock = Clock::start();
    let mut count = 0;
    for i in 0..n {
        let value = deadline(at, ready(black_box(i))).await;
        count += usize::from(value.is_ok());
    }
    clock.stop(count)
}

async fn timeout_ready(n: usize) -> Lap {
    let clock = Clock::start();
    let mut count = 0;
    for i in 0..n {
        let value = shibuya_cancel::timeout(HOUR, ready(black_box(i))).await;
        count += usize::from(value.is_ok());
    }
    clock.stop(count)
}

async fn nested(n: usize) -> Lap {
    let clock = Clock::start();
    let mut count = 0;
    for _ in 0..n {
        let at = tokio::time::Instant::now() + HOUR;
        let later = |step: u64| at + Duration::from_secs(step);
        let two = deadline(later(6), deadline(later(7), PendingOnce::default()));
        let four = deadline(later(4), deadline(later(5), two));
        let six = deadline(later(2), deadline(later(3), four));
        let eight = deadline(at, deadline(later(1), six));
        count += usize::from(twice(eight).await);
    }
    clock.stop(count)
}

async fn until_cancelled(n: usize) -> Lap {
    let asked = CancelScope::new().run(async {
        let clock = Clock::start();
        let mut count = 0;
        for _ in 0..n {
            count += usize::from(pending(pin!(cancelled())).await);
        }
        clock.stop(count)
    });
    asked.await.expect("nobody cancels the scope")
}
