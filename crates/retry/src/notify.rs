use std::time::Duration;

use crate::error::{Failure, Reason};
use crate::verdict::Attempt;

/// A decision after a failure.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'a, E> {
    /// What went wrong.
    pub failure: &'a Failure<E>,
    /// Which attempt that was.
    pub attempt: Attempt,
    /// What comes next.
    pub next: Next,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Another attempt, after this delay.
    Retry(Duration),
    /// None.
    GiveUp(Reason),
}

/// Hears of each decision: see [`Retry::notify`](crate::Retry::notify).
pub trait Notify<E> {
    /// An attempt failed.
    fn notify(&mut self, event: Event<'_, E>);
}

/// Nobody hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl<E> Notify<E> for Silent {
    #[inline]
    fn notify(&mut self, _: Event<'_, E>) {}
}

impl<E, F: FnMut(Event<'_, E>)> Notify<E> for F {
    #[inline]
    fn notify(&mut self, event: Event<'_, E>) {
        self(event);
    }
}
