//! Additive increase, multiplicative decrease. Without a clock.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::bounds::{Bounds, whole};
use super::{Algorithm, InvalidLimit, Outcome, Sample};

/// Grows by one in the time of a call, and loses a tenth when the other side is overloaded: what TCP did first.
///
/// For a server that says when it has too much to do, with a status such as 503 or 429, and to which the latency says
/// little. [`timeout`](AimdBuilder::timeout) takes a slow answer for such a word. The limit goes up and down for as long as it
/// is used: now and then a call *has* to meet an overload.
///
/// It grows only while at least half of it is used, and one overload counts once: of the calls that were
/// on their way already when it was noticed, none has a vote any more.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::{Aimd, ConcurrencyLimiter};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let algorithm = Aimd::builder()
///     .limits(2..=500)
///     .initial(50)
///     .timeout(Duration::from_secs(1))
///     .build();
/// let limiter = ConcurrencyLimiter::adaptive(algorithm);
/// let (a, b) = (limiter.acquire().await.unwrap(), limiter.acquire().await.unwrap());
/// a.overloaded();
/// b.overloaded(); // it was under way at that time: the same event
/// assert_eq!(limiter.limit(), 45);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Aimd {
    rules: AimdBuilder,
    limit: f64,
    /// When the last overload was noticed.
    cut: Option<Instant>,
}

/// What an [`Aimd`] goes by.
#[derive(Clone, Copy, Debug)]
#[must_use = "call `build`"]
pub struct AimdBuilder {
    bounds: Bounds,
    increase: f64,
    backoff: f64,
    timeout: Duration,
}

impl Aimd {
    /// What it is to go by.
    pub fn builder() -> AimdBuilder {
        AimdBuilder {
            bounds: Bounds::default(),
            increase: 1.0,
            backoff: 0.9,
            timeout: Duration::MAX,
        }
    }

    fn cut(&mut self, sample: Sample, now: Instant) {
        let began = now.checked_sub(sample.rtt);
        let is_known = self
            .cut
            .is_some_and(|cut| began.is_none_or(|began| began < cut));
        if !is_known {
            self.cut = Some(now);
            // One less at least, where a tenth would be less than a call.
            let less = (self.limit * self.rules.backoff).min(self.limit - 1.0);
            self.limit = self.rules.bounds.clamp(less.floor());
        }
    }
}

impl Default for Aimd {
    /// From 1 to 1000, beginning at 20.
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Algorithm for Aimd {
    fn limit(&self) -> usize {
        whole(self.limit)
    }

    fn update(&mut self, sample: Sample, now: Instant) -> usize {
        if sample.outcome == Outcome::Overloaded || sample.rtt > self.rules.timeout {
            self.cut(sample, now);
        } else if sample.in_flight as f64 * 2.0 >= self.limit {
            // As many calls as the limit, so that much in the time of one.
            let more = self.limit + self.rules.increase / self.limit;
            self.limit = self.rules.bounds.clamp(more);
        }
        self.limit()
    }
}

impl AimdBuilder {
    /// The limit stays within these; `1..=1000` if nothing else is said.
    pub fn limits(mut self, limits: RangeInclusive<usize>) -> Self {
        self.bounds.set(limits);
        self
    }

    /// The limit in the beginning; 20 if nothing else is said, or the nearest within [`limits`](Self::limits).
    pub fn initial(mut self, limit: usize) -> Self {
        self.bounds.set_initial(limit);
        self
    }

    /// How much the limit grows in the time of a call; 1 if nothing else is said.
    pub fn increase(mut self, calls: f64) -> Self {
        self.increase = calls;
        self
    }

    /// What part of the limit stays after an overload, above 0 and below 1; 0.9 if nothing else is said.
    pub fn backoff(mut self, ratio: f64) -> Self {
        self.backoff = ratio;
        self
    }

    /// A call that took longer met an overload, whatever it says; none if nothing else is said.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The algorithm, which knows nothing yet.
    ///
    /// # Panics
    ///
    /// When one of the numbers is impossible. For those that come from a configuration see
    /// [`try_build`](Self::try_build).
    #[track_caller]
    pub fn build(self) -> Aimd {
        match self.try_build() {
            Ok(aimd) => aimd,
            Err(wrong) => panic!("{wrong}"),
        }
    }

    /// Like [`build`](Self::build), for numbers that come from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`], which says what is wrong and what would be right.
    pub fn try_build(self) -> Result<Aimd, InvalidLimit> {
        let bounds = self.bounds.check()?;
        if !(self.increase > 0.0 && self.increase.is_finite()) {
            return Err(InvalidLimit::Increase(self.increase));
        }
        if !(self.backoff > 0.0 && self.backoff < 1.0) {
            return Err(InvalidLimit::Backoff(self.backoff));
        }
        if self.timeout.is_zero() {
            return Err(InvalidLimit::Timeout(self.timeout));
        }
        Ok(Aimd {
            rules: self,
            limit: bounds.initial(),
            cut: None,
        })
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn served(in_flight: usize) -> Sample {
        Sample {
            rtt: 10 * MS,
            in_flight,
            outcome: Outcome::Success,
        }
    }

    fn overloaded(rtt: Duration) -> Sample {
        Sample {
            rtt,
            in_flight: 1,
            outcome: Outcome::Overloaded,
        }
    }

    #[test]
    fn it_grows_by_one_in_as_many_calls_as_it_lets_through() {
        let now = Instant::now();
        let mut aimd = Aimd::default();
        for _ in 0..20 {
            assert_eq!(aimd.update(served(20), now), 20);
        }
        assert_eq!(aimd.update(served(20), now), 21);
    }

    #[test]
    fn it_does_not_grow_while_less_than_half_of_it_is_used() {
        let now = Instant::now();
        let mut aimd = Aimd::default();
        for _ in 0..1000 {
            assert_eq!(aimd.update(served(9), now), 20);
        }
        for _ in 0..21 {
            aimd.update(served(10), now);
        }
        assert_eq!(aimd.limit(), 21 - 1 + usize::from(aimd.limit > 21.0));
    }

    #[test]
    fn one_event_counts_once() {
        let noticed = Instant::now() + 100 * MS;
        let mut aimd = Aimd::builder().initial(100).build();
        assert_eq!(aimd.update(overloaded(50 * MS), noticed), 90);
        // All these were sent before anybody knew.
        for late in 1..50 {
            let now = noticed + late * MS;
            assert_eq!(aimd.update(overloaded(50 * MS), now), 90);
        }
        let now = noticed + 50 * MS;
        assert_eq!(aimd.update(overloaded(50 * MS), now), 81, "sent after that");
    }

    #[test]
    fn a_slow_answer_is_an_overload_if_it_is_told_so() {
        let now = Instant::now() + 100 * MS;
        let slow = Sample {
            rtt: 11 * MS,
            ..served(20)
        };
        let mut aimd = Aimd::builder().timeout(10 * MS).build();
        assert_eq!(aimd.update(served(1), now), 20);
        assert_eq!(aimd.update(slow, now), 18);
        assert_eq!(Aimd::default().update(slow, now), 20);
    }

    #[test]
    fn it_loses_one_at_least_and_stays_in_its_bounds() {
        let mut aimd = Aimd::builder().limits(2..=21).initial(5).build();
        let mut now = Instant::now();
        let mut limits = Vec::new();
        for _ in 0..5 {
            now += 10 * MS;
            limits.push(aimd.update(overloaded(MS), now));
        }
        assert_eq!(limits, [4, 3, 2, 2, 2]);
        for _ in 0..10_000 {
            assert!(aimd.update(served(99), now) <= 21);
        }
        assert_eq!(aimd.limit(), 21);
    }

    #[test]
    fn impossible_numbers_are_named() {
        let wrong = |builder: AimdBuilder| builder.try_build().unwrap_err();
        let builder = Aimd::builder;
        assert_eq!(wrong(builder().increase(0.0)), InvalidLimit::Increase(0.0));
        assert_eq!(wrong(builder().backoff(1.0)), InvalidLimit::Backoff(1.0));
        assert_eq!(
            wrong(builder().timeout(Duration::ZERO)),
            InvalidLimit::Timeout(Duration::ZERO)
        );
        assert!(builder().increase(f64::NAN).try_build().is_err());
        assert!(builder().limits(0..=1).try_build().is_err());
    }
}
