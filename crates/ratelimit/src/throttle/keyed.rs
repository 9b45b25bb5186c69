use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::AcquireThrottled;
use crate::concurrency::{KeyedLimiter, Permit};
use crate::{Denied, Keyed, KeyedConcurrency};

/// A [`Throttle`](crate::Throttle) for each key: so many calls begin in a second, and so many are under way at once, per host or tenant.
///
/// A clone is the same limit.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Keyed, KeyedConcurrency, KeyedThrottle, Quota};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), shibuya_ratelimit::Denied> {
/// let hosts = KeyedThrottle::new(
///     Keyed::new(Quota::per_second(10)),
///     KeyedConcurrency::new(|_: &&str| ConcurrencyLimiter::fixed(4)),
/// );
/// let first = hosts.acquire("example.org").await?;
/// let other = hosts.acquire("example.net").await?; // at once
/// let second = hosts.acquire("example.org").await?; // after 100 ms
/// # let _ = (first, other, second);
/// # Ok(())
/// # }
/// ```
pub struct KeyedThrottle<K> {
    rate: Keyed<K>,
    concurrency: Arc<KeyedConcurrency<K>>,
}

/// How a permit of a [`KeyedThrottle`] knows its limiter.
type Limiter<K> = KeyedLimiter<Arc<KeyedConcurrency<K>>, K>;

impl<K: Hash + Eq + Clone> KeyedThrottle<K> {
    /// Both of them. An `Arc` of the limiters does as well, where others go by them, too.
    pub fn new(rate: Keyed<K>, concurrency: impl Into<Arc<KeyedConcurrency<K>>>) -> Self {
        Self {
            rate,
            concurrency: concurrency.into(),
        }
    }

    /// The rates.
    pub fn rate(&self) -> &Keyed<K> {
        &self.rate
    }

    /// How many may be under way.
    pub fn concurrency(&self) -> &Arc<KeyedConcurrency<K>> {
        &self.concurrency
    }

    /// A slot and a token of the key at once, or neither.
    ///
    /// # Errors
    ///
    /// As [`KeyedConcurrency::try_acquire`], and then as [`Keyed::try_acquire`].
    pub fn try_acquire(&self, key: K) -> Result<Permit<Limiter<K>>, Denied> {
        let mut permit = self.concurrency.try_acquire_owned(key)?;
        self.rate.try_acquire(permit.key())?;
        permit.begin();
        Ok(permit)
    }

    /// Waits for a slot of the key and then for a token, as [`Throttle::acquire`](crate::Throttle::acquire).
    ///
    /// The key is in use from this call on.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the slot goes to the next in line, and all who wait for a token behind it move up.
    ///
    /// # Errors
    ///
    /// As [`KeyedConcurrency::acquire`], and then as [`Keyed::acquire`].
    ///
    /// # Panics
    ///
    /// When it has to wait for a token outside of a Tokio runtime with timers.
    pub fn acquire(&self, key: K) -> AcquireThrottled<(Keyed<K>, K), Limiter<K>> {
        self.acquire_within(key, Duration::MAX)
    }

    /// As [`acquire`](Self::acquire), and waits `max` at the longest for both together, counted from the first poll.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::TimedOut`].
    pub fn acquire_within(
        &self,
        key: K,
        max: Duration,
    ) -> AcquireThrottled<(Keyed<K>, K), Limiter<K>> {
        let slot = self.concurrency.acquire_owned_within(key.clone(), max);
        AcquireThrottled::new(slot, (self.rate.clone(), key), max)
    }
}

impl<K> Clone for KeyedThrottle<K> {
    fn clone(&self) -> Self {
        Self {
            rate: self.rate.clone(),
            concurrency: self.concurrency.clone(),
        }
    }
}

impl<K: Hash + Eq> fmt::Debug for KeyedThrottle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedThrottle")
            .field("rate", &self.rate)
            .field("concurrency", &self.concurrency)
            .finish()
    }
}
