use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::Timestamp;

use crate::concurrency::{AcquirePermit, Permit};
use crate::{AcquireKeyed, AcquireOwned, ConcurrencyLimiter, Denied, Keyed, RateLimiter};

/// Where a token comes from: a rate, or that of a key.
pub trait Tokens {
    type Token: Future<Output = Result<(), Denied>>;

    fn token(&self, max: Duration) -> Self::Token;
}

impl Tokens for RateLimiter {
    type Token = AcquireOwned;

    fn token(&self, max: Duration) -> AcquireOwned {
        self.acquire_owned_within(1, max)
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Tokens for (Keyed<K, S>, K) {
    type Token = AcquireKeyed<K, S>;

    fn token(&self, max: Duration) -> AcquireKeyed<K, S> {
        let (rate, key) = self;
        rate.acquire_within(key, 1, max)
    }
}

pin_project! {
    /// Waits for a slot, and then for a token, from [`Throttle::acquire`](crate::Throttle::acquire) and
    /// [`KeyedThrottle::acquire`](crate::KeyedThrottle::acquire).
    ///
    /// Dropping it leaves the line.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the slot goes to the next in line, and all who wait for a token behind it move up.
    ///
    /// # Panics
    ///
    /// When it has to wait for a token outside of a Tokio runtime with timers, or is polled after it completed.
    #[must_use = "futures do nothing unless polled"]
    pub struct AcquireThrottled<R = RateLimiter, L = Arc<ConcurrencyLimiter>>
    where
        R: Tokens,
        L: Deref<Target = ConcurrencyLimiter>,
    {
        rate: R,
        // Dropped before the slot: who has that next must not stand behind this one.
        #[pin]
        token: Option<R::Token>,
        slot: Slot<L>,
        max: Duration,
        deadline: Option<Timestamp>,
    }
}

enum Slot<L: Deref<Target = ConcurrencyLimiter>> {
    Waiting(AcquirePermit<L>),
    /// While the token is waited for.
    Held(Permit<L>),
    Done,
}

impl<R: Tokens, L: Deref<Target = ConcurrencyLimiter>> AcquireThrottled<R, L> {
    pub(super) fn new(slot: AcquirePermit<L>, rate: R, max: Duration) -> Self {
        Self {
            rate,
            token: None,
            slot: Slot::Waiting(slot),
            max,
            deadline: None,
        }
    }
}

impl<R, L> Future for AcquireThrottled<R, L>
where
    R: Tokens,
    L: Deref<Target = ConcurrencyLimiter> + Clone,
{
    type Output = Result<Permit<L>, Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Slot::Waiting(wait) = this.slot {
            let deadline = *this
                .deadline
                .get_or_insert_with(|| Timestamp::now().after(*this.max));
            let permit = ready!(Pin::new(wait).poll(cx))?;
            *this.slot = Slot::Held(permit);
            let left = match deadline {
                Timestamp::NEVER => Duration::MAX,
                deadline => deadline.since(Timestamp::now()),
            };
            this.token.set(Some(this.rate.token(left)));
        }
        let token = this.token.as_mut().as_pin_mut();
        let granted = ready!(
            token
                .expect("`AcquireThrottled` polled after it completed")
                .poll(cx)
        );
        this.token.set(None);
        let Slot::Held(mut permit) = std::mem::replace(this.slot, Slot::Done) else {
            unreachable!("a token is waited for with a slot in hand");
        };
        Poll::Ready(match granted {
            Ok(()) => {
                permit.begin();
                Ok(permit)
            }
            Err(Denied::TimedOut { .. }) => Err(Denied::TimedOut { after: *this.max }),
            Err(denied) => Err(denied),
        })
    }
}

impl<R: Tokens, L: Deref<Target = ConcurrencyLimiter>> fmt::Debug for AcquireThrottled<R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.slot {
            Slot::Waiting(_) => "slot",
            Slot::Held(_) => "token",
            Slot::Done => "done",
        };
        f.debug_struct("AcquireThrottled")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
