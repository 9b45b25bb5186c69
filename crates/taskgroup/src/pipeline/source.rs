use std::future::poll_fn;
use std::panic::Location;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Pipeline;
use super::line::{Line, Numbered, Outlet, Place};

/// A line of stages through which the items of an iterator pass, each stage at its own pace: fetch, parse,
/// store.
///
/// The iterator is asked for an item when there is room for one in front of the first stage, in a task of
/// its own. Without a stage that needs workers or a buffer of its own, take
/// [`map_concurrent`](crate::map_concurrent): it costs less.
///
/// Nothing happens before the [`Pipeline`] is run or consumed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::pipeline;
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sizes = pipeline(["index", "about", "news"])
///     .stage("fetch", 8, 16, async |page| {
///         sleep(Duration::from_millis(5)).await;
///         Ok::<_, std::io::Error>(format!("<h1>{page}</h1>"))
///     })
///     .stage("measure", 1, 4, async |html: String| Ok(html.len()))
///     .run();
/// assert_eq!(sizes.await.unwrap(), [14, 14, 13]);
/// # }
/// ```
#[track_caller]
pub fn pipeline<I, E>(items: I) -> Pipeline<I::Item, E>
where
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
    E: Send + 'static,
{
    let mut items = items.into_iter();
    from_source(Location::caller(), move |_| Poll::Ready(items.next()))
}

/// A [`pipeline()`] whose items come from a stream.
///
/// # Examples
///
/// ```
/// use futures_util::stream;
/// use shibuya_taskgroup::pipeline_stream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let doubled = pipeline_stream(stream::iter([1, 2, 3]))
///     .stage("double", 1, 1, async |n| Ok::<_, std::io::Error>(n * 2));
/// assert_eq!(doubled.run().await.unwrap(), [2, 4, 6]);
/// # }
/// ```
#[track_caller]
pub fn pipeline_stream<S, E>(items: S) -> Pipeline<S::Item, E>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
    E: Send + 'static,
{
    let mut items = Box::pin(items);
    from_source(Location::caller(), move |cx| items.as_mut().poll_next(cx))
}

fn from_source<T, E>(
    location: &'static Location<'static>,
    next: impl FnMut(&mut Context<'_>) -> Poll<Option<T>> + Send + 'static,
) -> Pipeline<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    Pipeline {
        start: Box::new(move |line: &mut Line<'_, E>, outlet| {
            line.spawn("source".into(), location, async move |at| {
                pour(next, at, outlet).await;
                Ok(())
            });
        }),
        meters: Vec::new(),
        buffer: 1,
    }
}

/// Takes an item only when there is room for it.
async fn pour<T>(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<T>>,
    at: Place,
    outlet: Outlet<T>,
) {
    for place in 0.. {
        let Some(slot) = outlet.reserve().await else {
            return;
        };
        at.set(place);
        let Some(value) = poll_fn(&mut next).await else {
            return;
        };
        if slot.put(Numbered { place, value }).is_err() {
            return;
        }
    }
}
