//! A rate and a limit on concurrency, behind one permit.

mod acquire;
mod keyed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::acquire::AcquireThrottled;
pub use self::keyed::KeyedThrottle;
use crate::concurrency::Permit;
use crate::{ConcurrencyLimiter, Denied, RateLimiter};

/// Lets calls begin at a rate, and so many be under way at once: one permit for both.
///
/// The slot comes first, then a token of the rate, which is waited for with the slot in hand. The other way round, a token would be
/// spent on a call that can't begin yet, and the rate would not be reached. First come, first served. A clone is the same limit.
///
/// The permit is that of the slot, and its clock starts with the token: the time in line for the rate says nothing of the other side.
/// What did not get its token gives back the slot as [ignored](Permit::ignore).
///
/// A slot whose holder waits for a token is in use: to an algorithm that adapts, the limit is used up as well when the rate is what
/// holds the calls up.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::{ConcurrencyLimiter, Denied, RateLimiter, Throttle};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Denied> {
/// let api = Throttle::new(
///     RateLimiter::per_second(100).burst(2),
///     ConcurrencyLimiter::fixed(8),
/// );
/// let first = api.acquire().await?;
/// let second = api.acquire().await?;
/// let denied = api.try_acquire().unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(10))); // it is the rate
///
/// first.success();
/// second.success();
/// let third = api.acquire().await?; // after these 10 ms
/// assert_eq!(api.concurrency().snapshot().in_flight, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Throttle {
    rate: RateLimiter,
    concurrency: Arc<ConcurrencyLimiter>,
}

impl Throttle {
    /// Both of them. An `Arc` of a limiter does as well as a limiter, where others go by it, too.
    pub fn new(rate: RateLimiter, concurrency: impl Into<Arc<ConcurrencyLimiter>>) -> Self {
        Self {
            rate,
            concurrency: concurrency.into(),
        }
    }

    /// The rate.
    pub fn rate(&self) -> &RateLimiter {
        &self.rate
    }

    /// How many may be under way.
    pub fn concurrency(&self) -> &Arc<ConcurrencyLimiter> {
        &self.concurrency
    }

    /// A slot and a token at once, or neither.
    ///
    /// # Errors
    ///
    /// As [`ConcurrencyLimiter::try_acquire`], and then as [`RateLimiter::try_acquire`].
    pub fn try_acquire(&self) -> Result<Permit<Arc<ConcurrencyLimiter>>, Denied> {
        let mut permit = self.concurrency.try_acquire_owned()?;
        self.rate.try_acquire()?;
        permit.begin();
        Ok(permit)
    }

    /// Waits for a slot and then for a token, in line with the others, and until the deadline in force at the longest.
    ///
    /// The future borrows nothing. Dropping it leaves the line.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the slot goes to the next in line, and all who wait for a token behind it move up.
    ///
    /// # Errors
    ///
    /// As [`ConcurrencyLimiter::acquire`], and then as [`RateLimiter::acquire`].
    ///
    /// # Panics
    ///
    /// When it has to wait for a token outside of a Tokio runtime with timers.
    pub fn acquire(&self) -> AcquireThrottled {
        self.acquire_within(Duration::MAX)
    }

    /// As [`acquire`](Self::acquire), and waits `max` at the longest for both together, counted from the first poll. When the token is
    /// known to come later it fails as soon as it has the slot.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::TimedOut`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_ratelimit::{ConcurrencyLimiter, Denied, RateLimiter, Throttle};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let api = Throttle::new(RateLimiter::per_minute(1), ConcurrencyLimiter::fixed(8));
    /// api.acquire().await.unwrap().success();
    /// let denied = api.acquire_within(Duration::from_secs(1)).await.unwrap_err();
    /// assert!(matches!(denied, Denied::Hopeless { .. })); // without a second's wait
    /// # }
    /// ```
    pub fn acquire_within(&self, max: Duration) -> AcquireThrottled {
        let slot = self.concurrency.acquire_owned_within(max);
        AcquireThrottled::new(slot, self.rate.clone(), max)
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("rate", &self.rate)
            .field("concurrency", &self.concurrency)
            .finish()
    }
}
