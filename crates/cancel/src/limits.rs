use std::task::Context;

use crate::bound::Bound;
use crate::clock::Timestamp;

/// The deadlines in force around a poll: the one to be seen, and the one that is enforced.
///
/// A deadline inside one that comes no later arms no timer, since it would be dropped first: that is
/// how eight nested deadlines arm one. That holds where the outer one polls it *directly*. What polls
/// its futures one by one, each with a waker of its own (`FuturesUnordered`, `Shared`, a `LocalSet`),
/// may be borrowed by the outer deadline and outlive it, and would then never poll the inner one
/// again. So the poll's waker is compared, too.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    bound: Bound,
    /// When what is polled here is dropped, by who polls it with the waker of `cutter`.
    cut: Timestamp,
    cutter: Poller,
}

/// A waker's data pointer, which is never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Poller(usize);

impl Poller {
    /// Whoever it is: for those who own what they poll.
    const ANYONE: Self = Self(usize::MAX);

    fn of(cx: &Context<'_>) -> Self {
        Self(cx.waker().data().addr())
    }
}

impl Limits {
    /// No deadline at all.
    pub const NONE: Self = Self {
        bound: Bound::NONE,
        cut: Timestamp::NEVER,
        cutter: Poller::ANYONE,
    };

    /// The deadline to be seen.
    pub fn bound(self) -> Bound {
        self.bound
    }

    /// Whether a deadline `at` of what is polled with `cx` would come too late to matter.
    pub fn cover(self, at: Timestamp, cx: &Context<'_>) -> bool {
        at == Timestamp::NEVER
            || (self.cut <= at && (self.cutter == Poller::of(cx) || self.cutter == Poller::ANYONE))
    }

    /// Within these: what is polled with `cx` is dropped at `at`, by the caller.
    #[must_use]
    pub fn cut_at(self, at: Timestamp, cx: &Context<'_>) -> Self {
        Self {
            bound: Bound::new(at, true).min(self.bound),
            cut: at,
            cutter: Poller::of(cx),
        }
    }

    /// Within these: a deadline that can be seen, and that nobody enforces here.
    #[must_use]
    pub fn seen(self, bound: Bound) -> Self {
        Self {
            bound: bound.unenforced().min(self.bound),
            ..self
        }
    }
}

/// For what owns all that it polls, so that a bound that cuts does so for anyone inside.
impl From<Bound> for Limits {
    fn from(bound: Bound) -> Self {
        Self {
            bound,
            cut: if bound.cuts() {
                bound.at()
            } else {
                Timestamp::NEVER
            },
            cutter: Poller::ANYONE,
        }
    }
}
