use std::time::Duration;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Try again, after the policy's delay.
    Retry,
    /// Try again, and not before this time is over: the other side said so. Up to a tenth is added by
    /// chance, and where the policy's delay is longer, that counts.
    RetryAfter(Duration),
    /// Don't: it would fail again.
    Abort,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// How long all has taken so far, the waiting included. It counts from when the first attempt had to wait
    /// or failed, whichever came first.
    pub elapsed: Duration,
}

/// Says what to do about an error: see [`Retry::when`](crate::Retry::when) and
/// [`Retry::classify`](crate::Retry::classify).
pub trait Classify<E> {
    /// What to do about it.
    fn classify(&mut self, error: &E, attempt: &Attempt) -> Verdict;
}

/// Tries again after each error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

impl<E> Classify<E> for Always {
    #[inline]
    fn classify(&mut self, _: &E, _: &Attempt) -> Verdict {
        Verdict::Retry
    }
}

/// Tries again after the errors for which a closure says so.
#[derive(Clone, Copy, Debug)]
pub struct When<F>(pub(crate) F);

impl<E, F: FnMut(&E) -> bool> Classify<E> for When<F> {
    #[inline]
    fn classify(&mut self, error: &E, _: &Attempt) -> Verdict {
        match (self.0)(error) {
            true => Verdict::Retry,
            false => Verdict::Abort,
        }
    }
}

/// Does as a closure says.
#[derive(Clone, Copy, Debug)]
pub struct By<F>(pub(crate) F);

impl<E, F: FnMut(&E, &Attempt) -> Verdict> Classify<E> for By<F> {
    #[inline]
    fn classify(&mut self, error: &E, attempt: &Attempt) -> Verdict {
        (self.0)(error, attempt)
    }
}
