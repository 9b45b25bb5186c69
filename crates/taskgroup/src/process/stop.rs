use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use shibuya_cancel::{UntilCancelled, cancelled};
use tokio::time::{Sleep, sleep};

/// When a process must stop: first it is told, and after the grace its time is over.
pub(super) struct Stop {
    cancelled: UntilCancelled,
    was_told: bool,
    grace: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stop {
    /// Follows the scope in force here.
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            cancelled: cancelled(),
            was_told: false,
            grace,
            timer: None,
        }
    }

    /// Waits until the scope is cancelled.
    pub(super) async fn told(&mut self) {
        if !self.was_told {
            (&mut self.cancelled).await;
            self.was_told = true;
        }
    }

    /// Waits until it is, and then for the end of the grace, which begins when this is seen.
    pub(super) async fn over(&mut self) {
        self.told().await;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.grace)));
        if !timer.is_elapsed() {
            timer.await;
        }
    }
}

/// What `fut` gives, unless `stop` is ready before it.
pub(super) async fn unless<T>(fut: impl Future<Output = T>, stop: impl Future) -> Option<T> {
    let (mut fut, mut stop) = (pin!(fut), pin!(stop));
    poll_fn(|cx| match fut.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => stop.as_mut().poll(cx).map(|_| None),
    })
    .await
}
