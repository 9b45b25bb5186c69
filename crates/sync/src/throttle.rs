use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::pace::{Pace, Paced, after};

/// Thins out a stream: gives at most one item per `period`, and drops the others.
///
/// The first item comes at once and begins a period. When that is over, the latest of those that came meanwhile is
/// given, which begins the next; if none came, the next item comes at once. When the stream ends, the one
/// that waits comes at once: nobody needs it later. [`edge`](Throttle::edge) chooses only the one or the other:
///
/// ```text
/// period 4 ms
/// items            a b c . . . . . . . d . e |
/// ms               0 1 2   4   6   8  10  12   14
/// Edge::Both       a       c           d     e
/// Edge::Leading    a                   d
/// Edge::Trailing           c                 e
/// ```
///
/// For what is only worth its latest value: a progress bar, a position, a price. To let every item through, only
/// slower, take `throttle` of tokio-stream (0.1.19): it drops nothing, and polls its source that much less often.
///
/// The time counts from the poll that takes an item from the source, or gives the one that waited. The source is
/// polled only while this is polled, so a slow consumer slows it down.
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
/// If `period` is 0. When polled, outside a Tokio runtime with its timers enabled.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::throttle;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let percent = stream::iter(1..=100);
/// let shown = throttle(percent, Duration::from_millis(10));
/// assert_eq!(shown.collect::<Vec<_>>().await, [1, 100]);
/// # }
/// ```
///
/// What another task tells, as a stream:
///
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::throttle;
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (copied, percent) = mpsc::channel(10);
/// tokio::spawn(async move {
///     for percent in 1..=100 {
///         copied.send(percent).await.unwrap();
///     }
/// });
///
/// let percent = stream::unfold(percent, async |mut percent| {
///     let next = percent.recv().await?;
///     Some((next, percent))
/// });
/// let mut shown = pin!(throttle(percent, Duration::from_millis(500)));
/// let mut last = 0;
/// while let Some(percent) = shown.next().await {
///     last = percent;
/// }
/// assert_eq!(last, 100);
/// # }
/// ```
#[track_caller]
pub fn throttle<S: Stream>(stream: S, period: Duration) -> Throttle<S> {
    assert!(
        !period.is_zero(),
        "a throttle with a period of 0 drops nothing; the least is 1 ns"
    );
    let sampling = Sampling {
        period,
        edge: Edge::Both,
        until: None,
        latest: None,
    };
    Throttle {
        paced: Paced::new(stream, sampling),
    }
}

/// Which item of a period [`throttle`] gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// The first at once, and the latest of the others at the end of the period.
    #[default]
    Both,

    /// The first, at once.
    Leading,

    /// The latest, at the end of the period.
    Trailing,
}

/// Keeps the latest item until its period is over.
struct Sampling<T> {
    period: Duration,
    edge: Edge,
    /// When the period ends that is under way, or was the last.
    until: Option<Instant>,
    /// Waits for that.
    latest: Option<T>,
}

impl<T> Pace for Sampling<T> {
    type Item = T;
    type Out = T;

    fn push(&mut self, item: T, now: Instant) -> Option<T> {
        let is_over = self.until.is_none_or(|end| end <= now);
        if is_over && self.latest.is_none() {
            self.until = Some(after(now, self.period));
            if self.edge != Edge::Trailing {
                return Some(item);
            }
        }
        if self.edge != Edge::Leading {
            self.latest = Some(item);
        }
        None
    }

    fn due(&self) -> Option<Instant> {
        self.latest.as_ref().and(self.until)
    }

    fn pull(&mut self, now: Instant) -> Option<T> {
        self.until = match self.edge {
            Edge::Both => Some(after(now, self.period)),
            // A period begins with an item that comes.
            Edge::Leading | Edge::Trailing => None,
        };
        self.latest.take()
    }

    fn end(&mut self) -> Option<T> {
        self.latest.take()
    }
}

pin_project! {
    /// The stream of [`throttle`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Throttle<S: Stream> {
        #[pin]
        paced: Paced<S, Sampling<S::Item>>,
    }
}

impl<S: Stream> Throttle<S> {
    /// Chooses which item of a period is given; both the first and the latest, unless told.
    pub fn edge(mut self, edge: Edge) -> Self {
        self.paced.pace.edge = edge;
        self
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().paced.poll_next(cx)
    }
}

impl<S: Stream> fmt::Debug for Throttle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("period", &self.paced.pace.period)
            .field("edge", &self.paced.pace.edge)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sampling(edge: Edge) -> Sampling<char> {
        Sampling {
            period: 4 * MS,
            edge,
            until: None,
            latest: None,
        }
    }

    #[test]
    fn both_edges() {
        let start = Instant::now();
        let mut pace = sampling(Edge::Both);
        assert_eq!(pace.push('a', start), Some('a'));
        assert_eq!(pace.due(), None);
        assert_eq!(pace.push('b', start + MS), None);
        assert_eq!(pace.push('c', start + 2 * MS), None);
        assert_eq!(pace.due(), Some(start + 4 * MS));
        assert_eq!(pace.pull(start + 5 * MS), Some('c'), "a little late");
        assert_eq!(pace.push('d', start + 8 * MS), None, "a period after 'c'");
        assert_eq!(pace.due(), Some(start + 9 * MS));
        assert_eq!(
            pace.push('e', start + 20 * MS),
            None,
            "takes the place of 'd'"
        );
        assert_eq!(pace.pull(start + 20 * MS), Some('e'));
        assert_eq!(pace.push('f', start + 24 * MS), Some('f'));
    }

    #[test]
    fn the_leading_edge() {
        let start = Instant::now();
        let mut pace = sampling(Edge::Leading);
        assert_eq!(pace.push('a', start), Some('a'));
        assert_eq!(pace.push('b', start + 3 * MS), None);
        assert_eq!(pace.due(), None, "it waits for nothing");
        assert_eq!(pace.push('c', start + 4 * MS), Some('c'));
    }

    #[test]
    fn the_trailing_edge() {
        let start = Instant::now();
        let mut pace = sampling(Edge::Trailing);
        assert_eq!(pace.push('a', start), None);
        assert_eq!(pace.push('b', start + 3 * MS), None);
        assert_eq!(pace.due(), Some(start + 4 * MS));
        assert_eq!(pace.pull(start + 4 * MS), Some('b'));
        assert_eq!(pace.push('c', start + 5 * MS), None);
        assert_eq!(pace.due(), Some(start + 9 * MS));
    }

    #[test]
    fn the_end_takes_what_waits() {
        for edge in [Edge::Both, Edge::Leading, Edge::Trailing] {
            let start = Instant::now();
            let mut pace = sampling(edge);
            pace.push('a', start);
            pace.push('b', start + MS);
            let waits = (edge != Edge::Leading).then_some('b');
            assert_eq!((pace.end(), pace.due()), (waits, None), "{edge:?}");
        }
    }
}
