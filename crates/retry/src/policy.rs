use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use crate::backoff::{Backoff, Curve};
use crate::course::Course;
use crate::jitter::Jitter;
use crate::run::Run;
use crate::verdict::Verdict;

/// How often to try again, and how long to wait in between.
///
/// A policy is made of constants: one `static` serves all calls, each of which begins anew and draws its own
/// random delays. By default there are three retries with full [`Jitter`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Jitter, Policy};
///
/// static PATIENT: Policy = Policy::exponential(Duration::from_millis(100), Duration::from_secs(10))
///     .max_retries(5)
///     .jitter(Jitter::Equal);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a policy does nothing by itself"]
pub struct Policy<B = Curve> {
    pub(crate) backoff: B,
    pub(crate) jitter: Jitter,
    pub(crate) max_retries: u32,
    pub(crate) max_retry_after: Duration,
    pub(crate) reset_after: Option<Duration>,
    pub(crate) history: usize,
    pub(crate) seed: Option<u64>,
}

impl Policy {
    /// The same delay each time.
    pub const fn constant(delay: Duration) -> Self {
        Self::new(Curve::Constant(delay))
    }

    /// Delays of `step`, twice that, three times that, and so on; none is longer than `max`.
    pub const fn linear(step: Duration, max: Duration) -> Self {
        Self::new(Curve::Linear { step, max })
    }

    /// A delay of `base`, twice as long each time; none is longer than `max`.
    pub const fn exponential(base: Duration, max: Duration) -> Self {
        Self::new(Curve::Exponential { base, max })
    }

    /// Each delay is anything from `base` to three times the last; none is longer than `max`. It is random
    /// already, so there is no jitter on top.
    pub const fn decorrelated(base: Duration, max: Duration) -> Self {
        Self::new(Curve::Decorrelated { base, max }).jitter(Jitter::None)
    }

    /// No waiting at all: for what fails by chance, such as a compare-and-set.
    pub const fn immediate() -> Self {
        Self::constant(Duration::ZERO)
    }
}

impl<B> Policy<B> {
    /// With delays of your own.
    pub const fn new(backoff: B) -> Self {
        Self {
            backoff,
            jitter: Jitter::Full,
            max_retries: 3,
            max_retry_after: Duration::from_secs(300),
            reset_after: None,
            history: 8,
            seed: None,
        }
    }

    /// How often to try again after the first attempt: with 0, never; with `u32::MAX`, in effect for ever, so
    /// see that something else ends it, such as a deadline.
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How much of each delay is left to chance.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// How long a delay to accept from whoever failed, as in HTTP's `Retry-After`; five minutes if this is not
    /// called. Who asks for more gets no retry at all, since one that comes sooner would be unwelcome.
    pub const fn max_retry_after(mut self, most: Duration) -> Self {
        self.max_retry_after = most;
        self
    }

    /// Begins anew, with all retries and the first delay, when an attempt had run for this long before it
    /// failed: a connection that held for an hour owes nothing to the five attempts that it took to open it.
    pub const fn reset_after(mut self, healthy: Duration) -> Self {
        self.reset_after = Some(healthy);
        self
    }

    /// How many failures before the last one the [error](crate::RetryError::history) keeps; 8 if this is not
    /// called.
    pub const fn history(mut self, failures: usize) -> Self {
        self.history = failures;
        self
    }

    /// Draws the same delays in each call: for tests. Many clients with one seed come back together.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl<B: Backoff> Policy<B> {
    /// Begins a series of attempts that you drive yourself; see [`Run`].
    pub fn start<E>(&self) -> Run<'_, E, B> {
        Run::new(self)
    }

    /// The delays of one call in which each attempt fails at once: to look at, or for a loop of your own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_retry::{Jitter, Policy};
    ///
    /// let policy = Policy::exponential(Duration::from_secs(1), Duration::from_secs(5))
    ///     .max_retries(4)
    ///     .jitter(Jitter::None);
    /// let seconds: Vec<u64> = policy.delays().map(|delay| delay.as_secs()).collect();
    /// assert_eq!(seconds, [1, 2, 4, 5]);
    /// ```
    pub fn delays(&self) -> Delays<'_, B> {
        Delays {
            policy: self,
            course: Course::new(self.seed),
        }
    }
}

/// The delays of one call: see [`Policy::delays`].
#[derive(Debug)]
pub struct Delays<'p, B> {
    policy: &'p Policy<B>,
    course: Course,
}

impl<B: Backoff> Iterator for Delays<'_, B> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let (now, never) = (Timestamp::from_nanos(0), Timestamp::NEVER);
        self.course
            .after(self.policy, Verdict::Retry, Duration::ZERO, now, never)
            .ok()
    }
}
