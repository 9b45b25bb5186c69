use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// What becomes of the items of a stream, and when: decisions without a clock of their own.
pub(crate) trait Pace {
    type Item;
    type Out;

    /// Takes an item. Gives what goes on at once.
    fn push(&mut self, item: Self::Item, now: Instant) -> Option<Self::Out>;

    /// When [`pull`](Self::pull) is to be called; never, if nothing is kept.
    fn due(&self) -> Option<Instant>;

    /// Gives what is kept. It is due.
    fn pull(&mut self, now: Instant) -> Option<Self::Out>;

    /// The source has ended. Gives what is kept: it has nothing to wait for.
    fn end(&mut self) -> Option<Self::Out>;
}

pin_project! {
    /// A stream at a pace: polls its source only while it is polled itself, and has one timer.
    pub(crate) struct Paced<S, P> {
        // `None` once it has ended.
        #[pin]
        source: Option<S>,
        pub(crate) pace: P,
        alarm: Alarm,
    }
}

/// How many items it takes in one poll, so that a source that is always ready leaves others their turn.
const BURST: usize = 64;

impl<S, P> Paced<S, P> {
    pub(crate) fn new(source: S, pace: P) -> Self {
        Self {
            source: Some(source),
            pace,
            alarm: Alarm(None),
        }
    }
}

impl<S: Stream, P: Pace<Item = S::Item>> Stream for Paced<S, P> {
    type Item = P::Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P::Out>> {
        let mut this = self.project();
        let mut burst = BURST;
        while let Some(source) = this.source.as_mut().as_pin_mut() {
            let out = match source.poll_next(cx) {
                Poll::Ready(Some(item)) => this.pace.push(item, Instant::now()),
                Poll::Ready(None) => {
                    this.source.set(None);
                    this.pace.end()
                }
                Poll::Pending => break,
            };
            if out.is_some() {
                return Poll::Ready(out);
            }
            burst -= 1;
            if burst == 0 {
                cx.waker().wake_by_ref();
                break;
            }
        }
        match this.pace.due() {
            Some(due) => {
                ready!(this.alarm.poll_until(due, cx));
                Poll::Ready(this.pace.pull(Instant::now()))
            }
            None if this.source.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// A timer that is made when it is first needed. Boxed, so that streams with it can be moved.
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll_until(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

/// `now + wait`, or what is as good as never, where the clock doesn't reach that far.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(wait).unwrap_or_else(|| now + YEARS)
}
