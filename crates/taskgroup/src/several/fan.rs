use std::future::Future;

use crate::Unordered;
use crate::map::map_concurrent;

/// Hands the items out to `n` workers and merges what they give into one stream, in the order in which
/// it is ready: the fan-out and fan-in that Go builds from a channel, `n` goroutines and another
/// channel. The first failure cancels the rest.
///
/// It is [`map_concurrent`](crate::map_concurrent) under the name that some look for, and gives what
/// `map_concurrent(items, n, f).unordered()` gives. What differs is the order: awaited, a map gives all
/// values in the order of the input, and as an `ordered` stream it makes the quick ones wait for a slow
/// one. Here nothing waits for anything but the consumer.
///
/// Several steps, each with workers of its own, are a [`pipeline`](crate::pipeline()).
///
/// # Cancel safety
///
/// As safe as the stream, [`Unordered`].
///
/// # Errors
///
/// The stream gives [`GroupError`](crate::GroupError) once, in which a failed item is named after its
/// position, counted from 0: `item 17`.
///
/// # Panics
///
/// When `n` is 0: it would never end. When the stream is polled outside of a Tokio runtime. A panic in
/// `f`, in its futures or in the iterator is a failure of its item.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::fan_out_fan_in;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut merged = fan_out_fan_in([40, 1, 20], 3, |ms| async move {
///     tokio::time::sleep(Duration::from_millis(ms)).await;
///     Ok::<_, std::io::Error>(ms)
/// });
/// let mut seen = Vec::new();
/// while let Some(ms) = merged.next().await {
///     seen.push(ms.unwrap());
/// }
/// assert_eq!(seen, [1, 20, 40]);
/// # }
/// ```
#[track_caller]
pub fn fan_out_fan_in<I, F, Fut, U, E>(items: I, n: usize, f: F) -> Unordered<U, E>
where
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
    F: Fn(I::Item) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
{
    assert!(n > 0, "0 workers never take an item; the least is 1");
    map_concurrent(items, n, f)
        .named("fan_out_fan_in")
        .unordered()
}
