use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::gathering::Gathering;
use crate::pace::{Pace, Paced};

/// Gathers the items of a stream into batches: of `max` items, or of those that came `within` that time after
/// the first of them. The rest comes when the stream ends. A batch is never empty.
///
/// ```text
/// max 3, within 10 ms
/// items     a b c . . . . d . . . . . . . . . e |
/// ms        0 1 2         7               16 17 18
/// batches       abc                          de
/// ```
///
/// The time counts from the poll that takes a batch's first item. An idle stream has no timer running. A
/// source that is always ready gets its batches in time, too, where `chunks_timeout` of tokio-stream 0.1.19
/// looks at the clock only when its source has nothing. Room for items is made as they come, however large `max` is.
///
/// For items that many tasks bring, without a stream, there is [`Batcher`](crate::Batcher).
///
/// It is `Unpin` if its source is. One whose source isn't, such as those of `unfold` and `then`, is pinned to be asked for
/// its next item: see the second example.
///
/// Dropping it drops the source and what was gathered; see [`into_rest`](Batches::into_rest).
///
/// # Cancel safety
///
/// What was gathered stays in the stream: dropping the future of a `next()` loses nothing.
///
/// # Panics
///
/// If `max` or `within` is 0. When polled, outside a Tokio runtime with its timers enabled.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::batches;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rows = stream::iter(1..=5);
/// let batches = batches(rows, 2, Duration::from_millis(10));
/// assert_eq!(batches.collect::<Vec<_>>().await, [vec![1, 2], vec![3, 4], vec![5]]);
/// # }
/// ```
///
/// Rows that come from a channel:
///
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
///
/// use futures_util::{StreamExt, stream};
/// use shibuya_sync::batches;
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (found, rows) = mpsc::channel(10);
/// tokio::spawn(async move {
///     for row in 0..250 {
///         found.send(row).await.unwrap();
///     }
/// });
///
/// let rows = stream::unfold(rows, async |mut rows| {
///     let row = rows.recv().await?;
///     Some((row, rows))
/// });
/// let mut batches = pin!(batches(rows, 100, Duration::from_millis(500)));
/// let mut inserts = Vec::new();
/// while let Some(batch) = batches.next().await {
///     inserts.push(batch.len()); // one INSERT for all of them
/// }
/// assert_eq!(inserts, [100, 100, 50]);
/// # }
/// ```
#[track_caller]
pub fn batches<S: Stream>(stream: S, max: usize, within: Duration) -> Batches<S> {
    Batches {
        paced: Paced::new(stream, Gathering::new(max, within)),
    }
}

pin_project! {
    /// The stream of [`batches`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Batches<S: Stream> {
        #[pin]
        paced: Paced<S, Gathering<S::Item>>,
    }
}

impl<S: Stream> Batches<S> {
    /// What was gathered for the next batch.
    pub fn into_rest(mut self) -> Vec<S::Item> {
        self.paced.pace.end().unwrap_or_default()
    }
}

impl<S: Stream> Stream for Batches<S> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().paced.poll_next(cx)
    }
}

impl<S: Stream> fmt::Debug for Batches<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("gathered", &self.paced.pace.len())
            .finish_non_exhaustive()
    }
}
