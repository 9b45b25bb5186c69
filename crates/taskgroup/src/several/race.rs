use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::error::Cause;
use crate::several::completions::{Completions, IntoFutures};
use crate::several::input::InputKind;
use crate::{Name, Outcome};

/// Runs all the futures as tasks and gives the first that ends, whichever way, with its place in the
/// input: `None` if there are none.
///
/// By then the others are dropped and gone. What they come to on their way out is ignored, panics of
/// their destructors included. Use it if an error is an answer as good as a value; where only a value
/// is, [`select_first`]. Within one task, and for borrowed futures, `tokio::select!` does.
///
/// Dropping the returned future has the tasks dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
///
/// # Panics
///
/// When polled outside of a Tokio runtime. Panics of the futures are outcomes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::race;
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let first = race((
///     async {
///         sleep(Duration::from_millis(500)).await;
///         Ok::<_, std::io::Error>("a tortoise")
///     },
///     async { Ok("a hare") },
/// ));
/// let (place, outcome) = first.await.unwrap();
/// assert_eq!((place, outcome.ok()), (1, Some("a hare")));
/// # }
/// ```
#[track_caller]
pub fn race<I, K>(futures: I) -> Race<I::Value, I::Error>
where
    I: IntoFutures<K>,
    K: InputKind,
{
    Race {
        all: Completions::new("race", Location::caller(), futures),
        first: None,
    }
}

/// Runs all the futures as tasks and gives the value of the first that succeeds, with its place in the
/// input.
///
/// By then the others are dropped and gone. What they come to on their way out is ignored, panics of
/// their destructors included.
///
/// Dropping the returned future has the tasks dropped at their next poll, without waiting for that.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
///
/// # Errors
///
/// [`NoneSucceeded`] with all the failures, when all failed; without any, when there are no futures.
///
/// # Panics
///
/// When polled outside of a Tokio runtime. A panic of a future is its failure.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::select_first;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let parse = |text: &'static str| async move { text.parse::<u8>() };
/// assert_eq!(select_first(["many", "7"].map(parse)).await.unwrap(), (1, 7));
///
/// let error = select_first(["many"].map(parse)).await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "none of 1 succeeded: future 0: invalid digit found in string"
/// );
/// # }
/// ```
#[track_caller]
pub fn select_first<I, K>(futures: I) -> SelectFirst<I::Value, I::Error>
where
    I: IntoFutures<K>,
    K: InputKind,
{
    SelectFirst {
        all: Completions::new("select_first", Location::caller(), futures),
        first: None,
        failures: Vec::new(),
    }
}

/// The future of [`race`].
#[must_use = "futures do nothing unless polled"]
pub struct Race<T, E> {
    all: Completions<T, E>,
    /// It waits until the others are gone.
    first: Option<(usize, Outcome<T, E>)>,
}

impl<T, E> Future for Race<T, E> {
    type Output = Option<(usize, Outcome<T, E>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.first.is_none() {
            this.first = ready!(this.all.poll_next(cx));
            this.all.stop();
        }
        ready!(this.all.poll_gone(cx));
        Poll::Ready(this.first.take())
    }
}

/// The future of [`select_first`].
#[must_use = "futures do nothing unless polled"]
pub struct SelectFirst<T, E> {
    all: Completions<T, E>,
    /// It waits until the others are gone.
    first: Option<(usize, T)>,
    failures: Vec<(usize, Cause<E>)>,
}

impl<T, E> Future for SelectFirst<T, E> {
    type Output = Result<(usize, T), NoneSucceeded<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while this.first.is_none() {
            let Some((place, outcome)) = ready!(this.all.poll_next(cx)) else {
                let failures = std::mem::take(&mut this.failures);
                return Poll::Ready(Err(NoneSucceeded { failures }));
            };
            let cause = match outcome {
                Outcome::Ok(value) => {
                    this.all.stop();
                    this.first = Some((place, value));
                    break;
                }
                Outcome::Err(error) => Cause::Error(error),
                Outcome::Panicked(panic) => Cause::Panic(panic),
                Outcome::Cancelled(reason) => Cause::Cancelled(reason),
            };
            this.failures.push((place, cause));
        }
        ready!(this.all.poll_gone(cx));
        Poll::Ready(Ok(this.first.take().expect("found above")))
    }
}

/// What they hold is moved, never pinned here.
impl<T, E> Unpin for Race<T, E> {}
impl<T, E> Unpin for SelectFirst<T, E> {}

impl<T, E> fmt::Debug for Race<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Race(..)")
    }
}

impl<T, E> fmt::Debug for SelectFirst<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelectFirst(..)")
    }
}

/// Why [`select_first`] has no value: all failed, or there was nothing to run.
#[derive(Debug)]
pub struct NoneSucceeded<E> {
    failures: Vec<(usize, Cause<E>)>,
}

impl<E> NoneSucceeded<E> {
    /// The failures in the order in which they came, each with its place in the input.
    pub fn failures(&self) -> &[(usize, Cause<E>)] {
        &self.failures
    }

    /// The failures by value.
    pub fn into_failures(self) -> Vec<(usize, Cause<E>)> {
        self.failures
    }

    /// Whether there were no futures.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }
}

impl<E: fmt::Display> fmt::Display for NoneSucceeded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none succeeded: there are no futures");
        }
        write!(f, "none of {} succeeded", self.failures.len())?;
        for (i, (place, cause)) in self.failures.iter().enumerate() {
            let mark = if i == 0 { ':' } else { ';' };
            write!(f, "{mark} {}: {cause}", Name::future(*place))?;
        }
        Ok(())
    }
}

/// The errors are in the text already, so there is no `source` to print them twice.
impl<E: fmt::Debug + fmt::Display> std::error::Error for NoneSucceeded<E> {}
