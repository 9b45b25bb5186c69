use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::pace::{Pace, Paced, after};

/// Waits until a stream is quiet: gives an item once none has followed it for `quiet`, and drops those that were
/// followed sooner. The last one comes at once when the stream ends.
///
/// For what is wanted when a burst is over: what was typed, a file that was saved, a window that was resized.
/// Under a stream that is never quiet nothing comes; [`throttle`](crate::throttle) gives something every so
/// often.
///
/// ```text
/// quiet 3 ms
/// items    a b . c . . . . . d e |
/// ms       0 1   3     6     9 10 11
/// given                c         e
/// ```
///
/// The time counts from the poll that takes the item from the source; of those that are ready together, only the
/// last counts. The source is polled only while this is polled, so a slow consumer slows it down.
///
/// It is `Unpin` if its source is. One whose source isn't, such as those of `unfold` and `then`, is pinned to be asked for
/// its next item: see the second example.
///
/// Dropping it drops the source, and the item that waits.
///
/// # Cancel safety
///
/// The item that waits stays in the stream: dropping the future of a `next()` loses nothing.
///
/// # Panics
///
/// If `quiet` is 0. When polled, outside a Tokio runtime with its timers enabled.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::debounce;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let typed = stream::iter(["s", "sh", "shi"]);
/// let searches = debounce(typed, Duration::from_millis(10));
/// assert_eq!(searches.collect::<Vec<_>>().await, ["shi"]);
/// # }
/// ```
///
/// One who types, and stops to think:
///
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::debounce;
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let typed = [(0, "s"), (1, "sh"), (200, "shi")];
/// let typed = stream::iter(typed).then(async |(pause, text)| {
///     sleep(Duration::from_millis(pause)).await;
///     text
/// });
/// let mut searches = pin!(debounce(typed, Duration::from_millis(50)));
/// assert_eq!(searches.next().await, Some("sh"));
/// assert_eq!(searches.next().await, Some("shi"));
/// assert_eq!(searches.next().await, None);
/// # }
/// ```
#[track_caller]
pub fn debounce<S: Stream>(stream: S, quiet: Duration) -> Debounce<S> {
    assert!(
        !quiet.is_zero(),
        "a debounce of no time drops nothing; the least is 1 ns"
    );
    let quiet = Quiet {
        quiet,
        latest: None,
    };
    Debounce {
        paced: Paced::new(stream, quiet),
    }
}

/// Keeps the latest item until it is quiet.
struct Quiet<T> {
    quiet: Duration,
    /// With the time at which it is due.
    latest: Option<(T, Instant)>,
}

impl<T> Pace for Quiet<T> {
    type Item = T;
    type Out = T;

    fn push(&mut self, item: T, now: Instant) -> Option<T> {
        self.latest = Some((item, after(now, self.quiet)));
        None
    }

    fn due(&self) -> Option<Instant> {
        self.latest.as_ref().map(|(_, due)| *due)
    }

    fn pull(&mut self, _: Instant) -> Option<T> {
        self.end()
    }

    fn end(&mut self) -> Option<T> {
        self.latest.take().map(|(item, _)| item)
    }
}

pin_project! {
    /// The stream of [`debounce`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Debounce<S: Stream> {
        #[pin]
        paced: Paced<S, Quiet<S::Item>>,
    }
}

impl<S: Stream> Stream for Debounce<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().paced.poll_next(cx)
    }
}

impl<S: Stream> fmt::Debug for Debounce<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debounce")
            .field("quiet", &self.paced.pace.quiet)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_latest_is_due_after_it_was_quiet() {
        let start = Instant::now();
        let mut pace = Quiet {
            quiet: 3 * MS,
            latest: None,
        };
        assert_eq!(pace.due(), None);
        assert_eq!(pace.push('a', start), None);
        assert_eq!(pace.due(), Some(start + 3 * MS));
        assert_eq!(pace.push('b', start + 2 * MS), None);
        assert_eq!(pace.due(), Some(start + 5 * MS));
        assert_eq!(pace.pull(start + 5 * MS), Some('b'));
        assert_eq!((pace.due(), pace.end()), (None, None));
    }
}
