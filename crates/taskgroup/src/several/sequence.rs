use std::fmt;
use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::several::input::InputKind;

/// Runs one step after the other, in the task that awaits it, and stops at the first that fails: with
/// the values so far in the error. With [`collect`](Sequence::collect) it goes on.
///
/// A step is a future, or a closure that makes one when its turn comes. The iterator, too, is asked for
/// a step only when the one before is done and dropped. Nothing is spawned, so steps may borrow.
///
/// A plain loop does where what was done is not needed after a failure:
/// `for step in steps { values.push(step.await?) }`.
///
/// Dropping the returned future drops the step at work and the values so far.
///
/// # Cancel safety
///
/// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
///
/// # Errors
///
/// [`SequenceError`] with the failed step's place and error, and the values of the steps before it.
///
/// # Panics
///
/// A panic of a step goes on in whoever awaits it.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::sequence;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let parse = |text: &'static str| async move { text.parse::<u8>() };
/// let error = sequence(["1", "2", "three", "4"].map(parse)).await.unwrap_err();
/// assert_eq!((error.index, error.done), (2, vec![1, 2]));
///
/// let results = sequence(["1", "two", "3"].map(|text| move || parse(text))).collect().await;
/// assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
/// # }
/// ```
pub fn sequence<I, K>(steps: I) -> Sequence<I::IntoIter, K>
where
    I: IntoIterator<Item: Step<K>>,
    K: InputKind,
{
    Sequence {
        steps: Steps::new(steps.into_iter()),
        done: Vec::new(),
    }
}

/// A future.
#[derive(Debug)]
pub struct Lazy;
/// A closure that makes one.
#[derive(Debug)]
pub struct Made;

impl InputKind for Lazy {}
impl InputKind for Made {}

/// A step of a [`sequence`]: a future of a `Result`, or a closure that makes one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step of a sequence",
    label = "neither a future of a `Result` nor a closure that makes one"
)]
pub trait Step<K: InputKind> {
    /// What it gives.
    type Value;
    /// What it may fail with.
    type Error;
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Value, Self::Error>>;

    #[doc(hidden)]
    fn begin(self) -> Self::Future;
}

impl<T, E, F: Future<Output = Result<T, E>>> Step<Lazy> for F {
    type Value = T;
    type Error = E;
    type Future = F;

    fn begin(self) -> F {
        self
    }
}

impl<T, E, F, M> Step<Made> for M
where
    F: Future<Output = Result<T, E>>,
    M: FnOnce() -> F,
{
    type Value = T;
    type Error = E;
    type Future = F;

    fn begin(self) -> F {
        self()
    }
}

pin_project! {
    /// The future of [`sequence`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Sequence<I, K>
    where
        I: Iterator,
        I::Item: Step<K>,
        K: InputKind,
    {
        #[pin]
        steps: Steps<I, K>,
        done: Vec<<I::Item as Step<K>>::Value>,
    }
}

pin_project! {
    /// The future of [`Sequence::collect`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CollectSequence<I, K>
    where
        I: Iterator,
        I::Item: Step<K>,
        K: InputKind,
    {
        #[pin]
        steps: Steps<I, K>,
        ended: Vec<Result<<I::Item as Step<K>>::Value, <I::Item as Step<K>>::Error>>,
    }
}

impl<I, K> Sequence<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    /// Goes on after a failure, and gives the results of all steps.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
    pub fn collect(self) -> CollectSequence<I, K> {
        CollectSequence {
            steps: self.steps,
            ended: Vec::new(),
        }
    }
}

impl<I, K> Future for Sequence<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    type Output = Result<
        Vec<<I::Item as Step<K>>::Value>,
        SequenceError<<I::Item as Step<K>>::Value, <I::Item as Step<K>>::Error>,
    >;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        while let Some(result) = ready!(this.steps.as_mut().poll_next(cx)) {
            match result {
                Ok(value) => this.done.push(value),
                Err(error) => {
                    let done = take(this.done);
                    return Poll::Ready(Err(SequenceError {
                        index: done.len(),
                        done,
                        error,
                    }));
                }
            }
        }
        Poll::Ready(Ok(take(this.done)))
    }
}

impl<I, K> Future for CollectSequence<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    type Output = Vec<Result<<I::Item as Step<K>>::Value, <I::Item as Step<K>>::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        while let Some(result) = ready!(this.steps.as_mut().poll_next(cx)) {
            this.ended.push(result);
        }
        Poll::Ready(take(this.ended))
    }
}

impl<I, K> fmt::Debug for Sequence<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence")
            .field("done", &self.done.len())
            .finish_non_exhaustive()
    }
}

impl<I, K> fmt::Debug for CollectSequence<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectSequence")
            .field("ended", &self.ended.len())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The steps that are left, and the one at work.
    struct Steps<I, K>
    where
        I: Iterator,
        I::Item: Step<K>,
        K: InputKind,
    {
        left: I,
        #[pin]
        current: Option<<I::Item as Step<K>>::Future>,
    }
}

impl<I, K> Steps<I, K>
where
    I: Iterator<Item: Step<K>>,
    K: InputKind,
{
    fn new(left: I) -> Self {
        Self {
            left,
            current: None,
        }
    }

    /// The result of the next step, when that is done and dropped; `None` after the last.
    #[expect(clippy::type_complexity, reason = "a step's own types")]
    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<<I::Item as Step<K>>::Value, <I::Item as Step<K>>::Error>>> {
        let mut this = self.project();
        if this.current.is_none() {
            let Some(step) = this.left.next() else {
                return Poll::Ready(None);
            };
            this.current.set(Some(step.begin()));
        }
        let step = this.current.as_mut().as_pin_mut().expect("begun above");
        let result = ready!(step.poll(cx));
        this.current.set(None);
        Poll::Ready(Some(result))
    }
}

/// A step of a [`sequence`] failed; those after it were not begun.
#[derive(Debug, thiserror::Error)]
#[error("step {index} of the sequence failed: {error}")]
#[non_exhaustive]
pub struct SequenceError<T, E> {
    /// The place of the step that failed, counted from 0.
    pub index: usize,
    /// The values of the steps before it.
    pub done: Vec<T>,
    /// What it failed with. It is in the text already, so it is no `source` to print twice.
    pub error: E,
}
