use std::task::Context;

use crate::clock::Timestamp;

/// When what is polled here is dropped, and by whom.
///
/// A deadline inside one that comes no later arms no timer, since it would be dropped first: that is
/// how eight nested deadlines arm one. That holds where the outer one polls it *directly*. What polls
/// its futures one by one, each with a waker of its own (`FuturesUnordered`, `Shared`, a `LocalSet`),
/// may be borrowed by the outer deadline and outlive it, and would then never poll the inner one
/// again. So the poll's waker is compared, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    at: Timestamp,
    /// The data pointer of the waker that the outer one was polled with; it is never followed.
    waker: usize,
}

impl Cut {
    /// Nobody drops what is polled here.
    pub(crate) const NONE: Self = Self {
        at: Timestamp::NEVER,
        waker: 0,
    };

    /// Who polls with `cx` drops at `at` what it polls.
    pub(crate) fn new(at: Timestamp, cx: &Context<'_>) -> Self {
        let waker = cx.waker().data().addr();
        Self { at, waker }
    }

    /// Whether what is polled with `cx` is surely dropped at `at` or before.
    pub(crate) fn covers(self, at: Timestamp, cx: &Context<'_>) -> bool {
        self.at <= at && self.waker == cx.waker().data().addr()
    }
}
