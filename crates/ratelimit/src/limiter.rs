use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use tokio::time::Instant;

use crate::acquire::{Acquire, AcquireOwned, AcquireWithin};
use crate::meter::Ask;
use crate::queue::{Queue, retry_after};
use crate::snapshot::RateSnapshot;
use crate::stamp;
use crate::tally::{RATE, Tally};
use crate::{Denied, Quota, Reservation};

/// A rate limit, exact to the nanosecond, for one process.
///
/// Who asks for more than there is at the moment is refused, or waits in line: first come, first served, with one timer for all who wait. A constant
/// that a `static` holds; a clone is the same limit.
///
/// In each time of length `w` at most `burst + w / interval` pass; of those who wait, [`slack`](Self::slack) `/ interval` more.
///
/// Dropping all clones of it drops nothing that waits: who waits holds it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::{Denied, RateLimiter};
///
/// static API: RateLimiter = RateLimiter::per_second(100).burst(10);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Denied> {
/// for _ in 0..10 {
///     API.try_acquire()?;
/// }
/// let denied = API.try_acquire().unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(10)));
///
/// API.acquire().await?; // waits for these 10 ms
/// # Ok(())
/// # }
/// ```
pub struct RateLimiter {
    settings: Settings,
    /// Made at the first use, since a constant can hold no clock and no line.
    queue: OnceLock<Arc<Queue>>,
}

#[derive(Clone, Copy)]
struct Settings {
    quota: Quota,
    starts_empty: bool,
    max_waiters: usize,
    slack: Duration,
    /// Whose limit has begun, so that nothing is to be set any more.
    is_clone: bool,
}

impl Settings {
    #[track_caller]
    const fn check(&self) {
        assert!(!self.is_clone, "a limiter is set up before it is cloned");
    }
}

/// Tokio's timers ring up to a millisecond late, and whoever they wake takes a while.
pub(crate) const SLACK: Duration = Duration::from_millis(3);

impl RateLimiter {
    /// A limit of `quota`.
    pub const fn new(quota: Quota) -> Self {
        Self {
            settings: Settings {
                quota,
                starts_empty: false,
                max_waiters: usize::MAX,
                slack: SLACK,
                is_clone: false,
            },
            queue: OnceLock::new(),
        }
    }

    /// `n` each second, one at a time unless [`burst`](Self::burst) says otherwise.
    ///
    /// # Panics
    ///
    /// When `n` is 0. For what comes from a configuration see [`Quota::try_per`].
    #[track_caller]
    pub const fn per_second(n: u32) -> Self {
        Self::new(Quota::per_second(n))
    }

    /// `n` each minute, one at a time.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub const fn per_minute(n: u32) -> Self {
        Self::new(Quota::per_minute(n))
    }

    /// One each `interval`.
    ///
    /// # Panics
    ///
    /// When the interval is zero or longer than nine years.
    #[track_caller]
    pub const fn every(interval: Duration) -> Self {
        Self::new(Quota::every(interval))
    }

    /// Lets `n` pass at once after a rest. For a limiter that nobody has used yet, as all of these; later, see [`set_burst`](Self::set_burst).
    ///
    /// # Panics
    ///
    /// When `n` is 0; and when this is a clone, as all of these.
    #[track_caller]
    pub const fn burst(mut self, n: u32) -> Self {
        self.settings.check();
        self.settings.quota = self.settings.quota.burst(n);
        self
    }

    /// Lets who asks for more than the burst pass when the burst is there: see [`Quota::debt`].
    #[track_caller]
    pub const fn debt(mut self) -> Self {
        self.settings.check();
        self.settings.quota = self.settings.quota.debt();
        self
    }

    /// Lets the burst be earned first, from the first use on, as after a restart of a program that had used it up.
    #[track_caller]
    pub const fn starts_empty(mut self) -> Self {
        self.settings.check();
        self.settings.starts_empty = true;
        self
    }

    /// How many may wait; who comes then is told [`Denied::QueueFull`]. With 0 nobody waits.
    #[track_caller]
    pub const fn max_waiters(mut self, n: usize) -> Self {
        self.settings.check();
        self.settings.max_waiters = n;
        self
    }

    /// By how much those who wait may be served late without losing what was earned meanwhile; 3 ms unless told.
    ///
    /// Timers ring late, so who acquires again and again would get less than the rate. In any time, `slack / interval` may
    /// pass above what the quota says. It concerns [`acquire`](Self::acquire) alone: `try_acquire` is exact.
    #[track_caller]
    pub const fn slack(mut self, slack: Duration) -> Self {
        self.settings.check();
        self.settings.slack = slack;
        self
    }

    #[inline]
    fn queue(&self) -> &Arc<Queue> {
        match self.queue.get() {
            Some(queue) => queue,
            None => self.begin(),
        }
    }

    #[cold]
    fn begin(&self) -> &Arc<Queue> {
        self.queue.get_or_init(|| {
            let Settings {
                quota,
                starts_empty,
                max_waiters,
                slack,
                ..
            } = self.settings;
            let tat = match starts_empty {
                true => stamp::units(Timestamp::now()) + quota.tolerance(),
                false => 0,
            };
            Queue::new(quota, tat, stamp::length(slack), max_waiters)
        })
    }

    /// Takes one now or not at all. As long as somebody waits, there is none.
    ///
    /// # Errors
    ///
    /// [`Denied::RetryAfter`] with the time after which one can be had, if nobody else takes it; [`Denied::Closed`].
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.try_acquire_n(1)
    }

    /// Takes `n` now or nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and [`Denied::ExceedsBurst`] when there can never be as many.
    #[inline]
    pub fn try_acquire_n(&self, n: u32) -> Result<(), Denied> {
        self.try_at(n, Timestamp::now())
    }

    /// As [`try_acquire_n`](Self::try_acquire_n), at a time that the caller has read from Tokio's clock already: reading it is
    /// most of what a check costs. A time that lies before that of others counts as its own.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_n`](Self::try_acquire_n).
    #[inline]
    pub fn try_acquire_at(&self, n: u32, now: Instant) -> Result<(), Denied> {
        self.try_at(n, Timestamp::from(now))
    }

    #[inline]
    fn try_at(&self, n: u32, now: Timestamp) -> Result<(), Denied> {
        let near = match n {
            1 => self.queue().meter.take_one_near(stamp::near(now)),
            _ => None,
        };
        let answer = match near {
            Some(taken) => taken.map_err(|due| retry_after(due.into(), now)),
            None => self.try_any(n, now),
        };
        answer.tally(RATE)
    }

    fn try_any(&self, n: u32, now: Timestamp) -> Result<(), Denied> {
        let ask = Ask::at_once(n, stamp::units(now));
        self.queue()
            .take_in_turn(n, now, |meter| meter.take(ask))
            .map(drop)
    }

    /// Takes up to `n`, and at least one if `n` is not 0. Gives how many.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_up_to(&self, n: u32) -> Result<u32, Denied> {
        if n == 0 {
            return Ok(0);
        }
        let now = Timestamp::now();
        let units = stamp::units(now);
        self.queue()
            .take_in_turn(n, now, |meter| meter.take_up_to(n, units))
            .map(|taken| taken.n)
            .tally(RATE)
    }

    /// Takes one now or not at all, past those who wait in line.
    ///
    /// # Errors
    ///
    /// [`Denied::RetryAfter`] or [`Denied::Closed`].
    pub fn try_acquire_barging(&self) -> Result<(), Denied> {
        let now = Timestamp::now();
        if self.queue().is_closed() {
            return Err(Denied::Closed).tally(RATE);
        }
        let ask = Ask::at_once(1, stamp::units(now));
        self.queue()
            .take_in_turn(1, now, |meter| meter.take_barging(ask))
            .map(drop)
            .tally(RATE)
    }

    /// Waits for one. First come, first served.
    ///
    /// A deadline of the scope in force is looked at when it begins to wait: a turn that comes too late is not waited for.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait takes nothing, and all behind it move up.
    ///
    /// # Errors
    ///
    /// [`Denied::QueueFull`], [`Denied::Hopeless`] or [`Denied::Closed`].
    ///
    /// # Panics
    ///
    /// When it has to wait outside of a Tokio runtime with timers.
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_n(1)
    }

    /// Waits for `n` at once. Who comes later waits behind it, even for less.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::ExceedsBurst`] when there can never be as many at once.
    pub fn acquire_n(&self, n: u32) -> Acquire<'_> {
        Acquire::new(self.queue(), n)
    }

    /// As [`acquire_n`](Self::acquire_n), with a future that is `'static`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_n`](Self::acquire_n).
    pub fn acquire_owned(&self, n: u32) -> AcquireOwned {
        self.acquire_owned_within(n, Duration::MAX)
    }

    /// As [`acquire_within`](Self::acquire_within), with a future that is `'static`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_owned_within(&self, n: u32, max: Duration) -> AcquireOwned {
        AcquireOwned::new(self.queue().clone(), n, max)
    }

    /// As [`acquire_n`](Self::acquire_n), for no longer than `max`. When the turn is known to come later it fails at once.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_n`](Self::acquire_n), and [`Denied::TimedOut`] when the limit became slower meanwhile, and `max` is over.
    pub fn acquire_within(&self, n: u32, max: Duration) -> AcquireWithin<'_> {
        AcquireWithin::new(self.queue(), n, max)
    }

    /// Takes `n` in advance, for a time that it tells. For what can't wait here, but somewhere else.
    ///
    /// Dropped without [`commit`](Reservation::commit) it gives them back.
    ///
    /// # Errors
    ///
    /// [`Denied::ExceedsBurst`]; [`Denied::RetryAfter`] while others wait in line, whom it would pass; [`Denied::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_ratelimit::{Denied, RateLimiter};
    /// use tokio::time::{Instant, sleep_until};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Denied> {
    /// let limiter = RateLimiter::every(Duration::from_millis(20));
    /// limiter.try_acquire()?;
    /// let next = limiter.reserve(1)?;
    /// assert!(next.ready_at() > Instant::now());
    /// sleep_until(next.ready_at()).await;
    /// next.commit();
    /// # Ok(())
    /// # }
    /// ```
    pub fn reserve(&self, n: u32) -> Result<Reservation, Denied> {
        let now = Timestamp::now();
        let reserved = self.queue().reserve(n, now).tally(RATE);
        let (loan, ready_at) = reserved?;
        Ok(Reservation::new(
            self.queue().clone(),
            loan,
            ready_at.max(now),
        ))
    }

    /// What may pass from now on.
    pub fn quota(&self) -> Quota {
        self.queue().meter.quota()
    }

    /// Changes rate and burst at once. What was taken stays taken: who owed three intervals owes three new ones. Those who wait are timed anew.
    pub fn set_quota(&self, quota: Quota) {
        self.queue().set_quota(|_| quota);
    }

    /// Changes the rate to `n` each `period`, as [`set_quota`](Self::set_quota).
    ///
    /// # Panics
    ///
    /// As [`Quota::try_per`] fails.
    #[track_caller]
    pub fn set_rate(&self, n: u32, period: Duration) {
        let rate = Quota::per(n, period);
        self.queue().set_quota(|quota| quota.with_rate_of(rate));
    }

    /// Changes the burst, as [`set_quota`](Self::set_quota).
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    #[track_caller]
    pub fn set_burst(&self, n: u32) {
        // Before the lock, so that it points at the caller.
        let _ = Quota::per_second(1).burst(n);
        self.queue().set_quota(|quota| quota.burst(n));
    }

    /// Lets nothing pass before `at`, as when a server said `Retry-After`. Of several such times the latest counts.
    ///
    /// What is earned meanwhile is there then, up to the burst.
    pub fn pause_until(&self, at: Instant) {
        let at = Timestamp::from(at);
        self.queue().meter.pause_until(at.as_nanos());
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.queue().meter.resume();
        self.queue().tend();
    }

    /// Refuses all who wait and all who come from now on, with [`Denied::Closed`].
    pub fn close(&self) {
        self.queue().close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.queue().is_closed()
    }

    /// How it stands at the moment.
    pub fn snapshot(&self) -> RateSnapshot {
        self.queue().snapshot(Timestamp::now())
    }
}

/// The same limit.
impl Clone for RateLimiter {
    fn clone(&self) -> Self {
        Self {
            settings: Settings {
                is_clone: true,
                ..self.settings
            },
            queue: self.queue().clone().into(),
        }
    }
}

impl From<Quota> for RateLimiter {
    fn from(quota: Quota) -> Self {
        Self::new(quota)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("quota", &self.quota())
            .finish_non_exhaustive()
    }
}
