//! What one writes without a crate.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep};

use super::op::{Answer, ask};
use super::{BASE, MAX, RETRIES};

/// A loop in an `async fn`. Its future has room for the `Sleep`.
pub(super) async fn in_async(request: u64) -> Answer {
    let mut delay = BASE;
    let mut retries = RETRIES;
    loop {
        match ask(request).await {
            Err(_) if retries > 0 => {}
            answer => return answer,
        }
        sleep(delay).await;
        retries -= 1;
        delay = (delay * 2).min(MAX);
    }
}

/// For what need not wait: a turn for others in place of the delay.
pub(super) async fn yielding(request: u64) -> Answer {
    let mut retries = RETRIES;
    loop {
        match ask(request).await {
            Err(_) if retries > 0 => {}
            answer => return answer,
        }
        yield_now().await;
        retries -= 1;
    }
}

pin_project! {
    /// The least that a generic one can do: a future of its own, and a `Sleep` that is made when it is needed.
    pub(super) struct Loop<M, F> {
        make: M,
        #[pin]
        attempt: Option<F>,
        sleep: Option<Pin<Box<Sleep>>>,
        delay: Duration,
        retries: u32,
    }
}

pub(super) fn boxing<M: FnMut() -> F, F>(delay: Duration, mut make: M) -> Loop<M, F> {
    Loop {
        attempt: Some(make()),
        make,
        sleep: None,
        delay,
        retries: RETRIES,
    }
}

impl<M, F, T, E> Future for Loop<M, F>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(attempt) = this.attempt.as_mut().as_pin_mut() {
                match ready!(attempt.poll(cx)) {
                    Err(_) if *this.retries > 0 => {}
                    answer => return Poll::Ready(answer),
                }
                this.attempt.set(None);
                *this.retries -= 1;
                match this.sleep {
                    Some(sleep) => sleep.as_mut().reset(Instant::now() + *this.delay),
                    None => *this.sleep = Some(Box::pin(sleep(*this.delay))),
                }
                *this.delay = (*this.delay * 2).min(MAX);
            }
            let sleep = this.sleep.as_mut().expect("it is made after a failure");
            ready!(sleep.as_mut().poll(cx));
            this.attempt.set(Some((this.make)()));
        }
    }
}
