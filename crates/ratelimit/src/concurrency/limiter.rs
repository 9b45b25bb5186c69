use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_waitlist::primitives::AtomicU64;
use shibuya_waitlist::{TryError, WaitList, count};
use tokio::time::Instant;

use super::permit::Call;
use super::slots::{Ask, End, Slots, Turn};
use super::{AcquirePermit, Algorithm, InvalidLimit, Permit, Sample};
use crate::Denied;
use crate::tally::{self, CONCURRENCY};

/// Lets so many calls be under way at once: a fixed number, or one that it finds by itself. The others wait in line.
///
/// A permit is told how its call ended; dropping it says nothing and frees the slot all the same. Whoever asks first is
/// let through first, and nobody passes those who wait. Waiting ends at the deadline in force
/// ([`shibuya_cancel`]), too.
///
/// One with a fixed limit is a constant, so a `static` can hold it. Others are shared in an `Arc`.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Denied};
///
/// static DATABASE: ConcurrencyLimiter = ConcurrencyLimiter::fixed(2).max_waiters(100);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let first = DATABASE.acquire().await.unwrap();
/// let second = DATABASE.acquire().await.unwrap();
/// assert_eq!(DATABASE.try_acquire().unwrap_err(), Denied::AtLimit { limit: 2 });
///
/// let third = tokio::spawn(DATABASE.acquire());
/// first.success(); // the slot is free again
/// third.await.unwrap().unwrap().success();
/// drop(second);
/// assert_eq!(DATABASE.snapshot().in_flight, 0);
/// # }
/// ```
///
/// One that adapts, shared by tasks:
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_ratelimit::{ConcurrencyLimiter, Gradient2};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # async fn ask(n: u32) -> Result<u32, u16> { if n == 13 { Err(503) } else { Ok(n) } }
/// let limiter = Arc::new(ConcurrencyLimiter::adaptive(Gradient2::default()));
/// let calls = (0..20).map(|n| {
///     let limiter = limiter.clone();
///     tokio::spawn(async move {
///         let permit = limiter.acquire().await.unwrap();
///         match ask(n).await {
///             Ok(_) => permit.success(),
///             Err(503) => permit.overloaded(),
///             Err(_) => permit.ignore(), // our own mistake says nothing about the server
///         }
///     })
/// });
/// for call in calls.collect::<Vec<_>>() {
///     call.await.unwrap();
/// }
/// let seen = limiter.snapshot();
/// assert_eq!((seen.succeeded, seen.overloaded), (19, 1));
/// # }
/// ```
pub struct ConcurrencyLimiter {
    list: WaitList<Slots>,
    adapts: bool,
    max_waiters: usize,
    denied: AtomicU64,
}

/// Loom's locks and atomics can't be made in a constant.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(shibuya_loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(shibuya_loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}

impl ConcurrencyLimiter {
    const_fn! {
        /// Lets `limit` calls be under way at once.
        ///
        /// # Panics
        ///
        /// When `limit` is 0. For one that comes from a configuration see [`try_fixed`](Self::try_fixed).
        #[track_caller]
        pub fn fixed(limit: usize) -> Self {
            assert!(limit > 0, "a limit must be at least 1, or nothing is ever let through");
            Self::with(Slots::fixed(limit), false)
        }
    }

    /// Like [`fixed`](Self::fixed), for a number that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit::Zero`].
    pub fn try_fixed(limit: usize) -> Result<Self, InvalidLimit> {
        match limit {
            0 => Err(InvalidLimit::Zero),
            _ => Ok(Self::fixed(limit)),
        }
    }

    /// Lets as many calls be under way at once as `algorithm` finds to be good: [`Gradient2`](crate::Gradient2),
    /// [`Vegas`](crate::Vegas), [`Aimd`](crate::Aimd), or one of your own.
    pub fn adaptive(algorithm: impl Algorithm) -> Self {
        Self::with(Slots::adaptive(Box::new(algorithm)), true)
    }

    const_fn! {
        fn with(slots: Slots, adapts: bool) -> Self {
            Self {
                list: WaitList::new(slots),
                adapts,
                max_waiters: usize::MAX,
                denied: AtomicU64::new(0),
            }
        }
    }

    const_fn! {
        /// How many may wait; whoever comes then is denied at once. As many as come, if nothing else is said. With 0 nobody
        /// waits.
        pub fn max_waiters(mut self, waiters: usize) -> Self {
            self.max_waiters = waiters;
            self
        }
    }

    /// A slot, if one is free and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`Denied::AtLimit`] if as many are under way as may be, or others wait, and [`Denied::Closed`].
    pub fn try_acquire(&self) -> Result<Permit<&Self>, Denied> {
        Permit::try_new(self)
    }

    /// As [`try_acquire`](Self::try_acquire), with a permit that shares the limiter.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<Permit<Arc<Self>>, Denied> {
        Permit::try_new(self.clone())
    }

    /// Waits for a slot, in line with the others, and until the deadline in force at the longest.
    ///
    /// The line is joined at the first poll. Dropping the future leaves it.
    ///
    /// # Cancel safety
    ///
    /// A slot that was handed over and not looked at goes to the next in line.
    ///
    /// # Errors
    ///
    /// [`Denied::QueueFull`] if [as many as may](Self::max_waiters) wait already, [`Denied::TimedOut`] once the deadline has
    /// passed, and [`Denied::Closed`]. A slot that is free is given whatever the time is.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_ratelimit::ConcurrencyLimiter;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = ConcurrencyLimiter::fixed(10);
    /// let permit = limiter.acquire().await.unwrap();
    /// // … call …
    /// permit.success();
    /// # }
    /// ```
    pub fn acquire(&self) -> AcquirePermit<&Self> {
        AcquirePermit::new(self, Duration::MAX)
    }

    /// As [`acquire`](Self::acquire), and waits `max` at the longest, counted from the first poll. With zero it doesn't wait.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::TimedOut`] once `max` has passed, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_ratelimit::{ConcurrencyLimiter, Denied};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = ConcurrencyLimiter::fixed(1);
    /// let _held = limiter.acquire().await.unwrap();
    /// let max = Duration::from_millis(5);
    /// let denied = limiter.acquire_within(max).await.unwrap_err();
    /// assert_eq!(denied, Denied::TimedOut { after: max });
    /// # }
    /// ```
    pub fn acquire_within(&self, max: Duration) -> AcquirePermit<&Self> {
        AcquirePermit::new(self, max)
    }

    /// As [`acquire`](Self::acquire), with a future and a permit that borrow nothing: they share the limiter.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use shibuya_ratelimit::ConcurrencyLimiter;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = Arc::new(ConcurrencyLimiter::fixed(1));
    /// let permit = limiter.acquire_owned().await.unwrap();
    /// let call = tokio::spawn(async move {
    ///     tokio::task::yield_now().await;
    ///     permit.success();
    /// });
    /// limiter.acquire().await.unwrap().ignore(); // after that
    /// assert!(call.is_finished());
    /// # }
    /// ```
    pub fn acquire_owned(self: &Arc<Self>) -> AcquirePermit<Arc<Self>> {
        AcquirePermit::new(self.clone(), Duration::MAX)
    }

    /// As [`acquire_within`](Self::acquire_within), with a future and a permit that share the limiter.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_owned_within(self: &Arc<Self>, max: Duration) -> AcquirePermit<Arc<Self>> {
        AcquirePermit::new(self.clone(), max)
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.list.lock().limit()
    }

    /// Changes a fixed limit. A higher one lets those through who wait; under a lower one those who are under way go on,
    /// and nobody is let through until there are few enough.
    ///
    /// # Panics
    ///
    /// When `limit` is 0, and when the limit [adapts](Self::adaptive) by itself. See
    /// [`try_set_limit`](Self::try_set_limit).
    #[track_caller]
    pub fn set_limit(&self, limit: usize) {
        if let Err(wrong) = self.try_set_limit(limit) {
            panic!("{wrong}");
        }
    }

    /// Like [`set_limit`](Self::set_limit), for a number that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit::Zero`], and [`InvalidLimit::Adaptive`] when the limit is not a fixed one.
    pub fn try_set_limit(&self, limit: usize) -> Result<(), InvalidLimit> {
        if limit == 0 {
            return Err(InvalidLimit::Zero);
        }
        if self.adapts {
            return Err(InvalidLimit::Adaptive);
        }
        self.list.lock().set_limit(limit);
        count!(LIMIT = limit as f64);
        Ok(())
    }

    /// Whether the limit changes by itself.
    pub fn is_adaptive(&self) -> bool {
        self.adapts
    }

    /// Denies all who wait and all who come later. Those who are under way go on.
    pub fn close(&self) {
        self.list.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.list.is_closed()
    }

    /// What it knows.
    pub fn snapshot(&self) -> ConcurrencySnapshot {
        let slots = self.list.lock();
        let counts = slots.counts();
        ConcurrencySnapshot {
            limit: slots.limit(),
            in_flight: slots.in_flight(),
            waiters: shibuya_waitlist::Guard::waiting(&slots, 0),
            granted: counts.granted,
            succeeded: counts.succeeded,
            overloaded: counts.overloaded,
            ignored: counts.ignored,
            denied: self.denied.load(Relaxed),
        }
    }

    /// A request for a slot.
    pub(super) fn ask(&self) -> Ask {
        Ask {
            max_waiters: self.max_waiters,
        }
    }

    /// A slot at once.
    #[inline]
    pub(super) fn try_call(&self) -> Result<Call, Refused> {
        match self.list.try_acquire(self.ask()) {
            Ok(turn) => self.call(turn).map_err(|_| Refused::Busy),
            Err(TryError::Busy(_)) => Err(Refused::Busy),
            Err(TryError::Closed(_)) => Err(Refused::Closed),
        }
    }

    /// What the line said to whoever stood in it.
    #[inline]
    pub(super) fn call(&self, turn: Turn) -> Result<Call, Denied> {
        match turn {
            Turn::Slot { in_flight } => Ok(Call {
                // Nobody asks for the time unless it tells something.
                began: self.adapts.then(Instant::now),
                in_flight,
            }),
            Turn::Full => Err(Denied::QueueFull {
                max_waiters: self.max_waiters,
            }),
        }
    }

    /// Counts it.
    #[cold]
    pub(super) fn deny(&self, denied: Denied) -> Denied {
        self.denied.fetch_add(1, Relaxed);
        tally::denied(CONCURRENCY, &denied);
        denied
    }

    /// A call has ended.
    #[inline]
    pub(super) fn release(&self, call: Call, end: End) {
        match (call.began, end) {
            (Some(began), End::Told(outcome)) => {
                let now = Instant::now();
                let sample = Sample {
                    rtt: now.saturating_duration_since(began),
                    in_flight: call.in_flight,
                    outcome,
                };
                self.learn(sample, now);
            }
            _ => self.list.lock().leave(end),
        }
        count!(ENDED, "outcome" = end.label());
    }

    fn learn(&self, sample: Sample, now: Instant) {
        let mut slots = self.list.lock();
        let in_flight = slots.in_flight();
        slots.leave(End::Told(sample.outcome));
        let sample = Sample {
            in_flight: sample.in_flight.max(in_flight),
            ..sample
        };
        let changed = slots.learn(sample, now);
        drop(slots);
        if let Some(limit) = changed {
            count!(LIMIT = limit as f64);
            tracing::debug!(limit, "concurrency limit changed");
        }
    }
}

/// Why there is no slot at once.
pub(super) enum Refused {
    Busy,
    Closed,
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What a [`ConcurrencyLimiter`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConcurrencySnapshot {
    /// How many may be under way.
    pub limit: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many wait.
    pub waiters: usize,
    /// How many were let through, ever: those that are under way, and all that have ended.
    pub granted: u64,
    /// Of those, how many succeeded.
    pub succeeded: u64,
    /// How many met an overload.
    pub overloaded: u64,
    /// How many said nothing, or were gone before they had their slot.
    pub ignored: u64,
    /// How many were not let through.
    pub denied: u64,
}

/// A pointer to the line of a limiter, by one to the limiter.
pub(super) struct Line<L>(pub(super) L);

impl<L: Deref<Target = ConcurrencyLimiter>> Deref for Line<L> {
    type Target = WaitList<Slots>;

    fn deref(&self) -> &WaitList<Slots> {
        &self.0.list
    }
}
