//! The queue at the server, by the least time that a call ever took. Without a clock.

use std::ops::RangeInclusive;

use tokio::time::Instant;

use super::bounds::{Bounds, whole};
use super::floor::Floor;
use super::probe::{Probe, Purpose};
use super::window::{Round, Rtt, Window};
use super::{Algorithm, InvalidLimit, Sample};

/// Keeps a few calls, and no more, waiting at the server: TCP Vegas.
///
/// The least time that a call ever took is what it takes when nothing waits. Calls that take twice that are half the
/// time in a queue, so half of those under way are: that many fewer would do. The limit grows while the queue is
/// shorter than [`queue`](VegasBuilder::queue) says, and shrinks when it is longer.
///
/// For a server whose calls take about the same time each. Where some take a hundred times as long as others
/// the least time says nothing; [`Gradient2`](super::Gradient2) is for those.
///
/// A least time that is wrong must not hold the limit down for ever: the server has become slower, or a call was answered
/// from a cache. So after each [`probe_every`](VegasBuilder::probe_every) windows the limit lies at a quarter for
/// two of them, one to let the queue drain, and one to see what a call takes without it. It need not wait for that where the
/// error is plain: when by the least time fewer calls are being served than the limit is at its least, for five windows,
/// then what calls take there becomes the least time.
///
/// It looks at as many calls together as are under way, ten at least, and takes the least time of them; so
/// some that are slow for another reason change nothing. An overload costs a tenth of the limit, once in such a window.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Vegas};
///
/// let algorithm = Vegas::builder().limits(2..=500).initial(50).queue(4..=8).build();
/// let limiter = ConcurrencyLimiter::adaptive(algorithm);
/// assert_eq!(limiter.limit(), 50);
/// ```
#[derive(Clone, Debug)]
pub struct Vegas {
    rules: VegasBuilder,
    limit: f64,
    /// The time of a call that meets no queue.
    base: f64,
    window: Window,
    floor: Floor,
    probe: Probe,
}

/// What a [`Vegas`] goes by.
#[derive(Clone, Copy, Debug)]
#[must_use = "call `build`"]
pub struct VegasBuilder {
    bounds: Bounds,
    low: usize,
    high: usize,
    backoff: f64,
    probe_every: u32,
}

impl Vegas {
    /// What it is to go by.
    pub fn builder() -> VegasBuilder {
        VegasBuilder {
            bounds: Bounds::default(),
            low: 3,
            high: 6,
            backoff: 0.9,
            probe_every: 200,
        }
    }

    fn end_window(&mut self, round: Round) {
        if round.overloaded {
            let less = self.rules.backoff * self.limit;
            self.limit = self.rules.bounds.clamp(less);
        }
        let is_used = round.used(self.limit);
        match (self.probe.end_window(is_used), round.rtt) {
            (Purpose::Follow, Some(rtt)) => self.follow(round, rtt, is_used),
            (Purpose::Measure, Some(rtt)) => self.base = rtt.least,
            (Purpose::Drain, _) | (_, None) => {}
        }
    }

    fn follow(&mut self, round: Round, rtt: Rtt, is_used: bool) {
        self.base = self.base.min(rtt.least);
        // Who is not in the queue: the rate of the calls, times what one takes without a queue.
        let in_flight = round.in_flight as f64;
        let served = in_flight * (self.base / rtt.least);
        let queue = in_flight - served;
        // A longer queue for a large limit, or it would drown in what times vary by.
        let scale = self.limit.log10().max(1.0);
        let [low, high] = [self.rules.low, self.rules.high].map(|calls| calls as f64 * scale);
        let limit = if queue > high {
            // Half-way, since those who are under way were let in under an earlier limit.
            let excess = self.limit - (served + high);
            self.limit - (excess / 2.0).max(0.0)
        } else if queue < low && is_used && !round.overloaded {
            // No queue at all: the end is far.
            self.limit + if queue < 1.0 { high } else { 1.0 }
        } else {
            self.limit
        };
        self.limit = self.rules.bounds.clamp(limit);
        // Some are always served: it is the least time that is wrong.
        let is_at_floor = served < self.rules.bounds.min();
        if let Some(rtt) = self.floor.add(is_at_floor, rtt) {
            self.base = rtt.least;
        }
    }
}

impl Default for Vegas {
    /// From 1 to 1000, beginning at 20.
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Algorithm for Vegas {
    fn limit(&self) -> usize {
        let limit = self.probe.part_of(self.limit);
        whole(self.rules.bounds.clamp(limit))
    }

    fn update(&mut self, sample: Sample, _now: Instant) -> usize {
        if let Some(round) = self.window.add(sample) {
            self.end_window(round);
        }
        self.limit()
    }
}

impl VegasBuilder {
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

    /// How many calls are to wait at the server; `3..=6` if nothing else is said. Above a limit of ten it is that, times
    /// the decimal logarithm of the limit.
    pub fn queue(mut self, calls: RangeInclusive<usize>) -> Self {
        (self.low, self.high) = calls.into_inner();
        self
    }

    /// What part of the limit stays after an overload, above 0 and below 1; 0.9 if nothing else is said.
    pub fn backoff(mut self, ratio: f64) -> Self {
        self.backoff = ratio;
        self
    }

    /// After how many windows it looks at what a call takes without a queue; 200 if nothing else is said, which costs less
    /// than a hundredth of the calls.
    pub fn probe_every(mut self, windows: u32) -> Self {
        self.probe_every = windows;
        self
    }

    /// The algorithm, which knows nothing yet.
    ///
    /// # Panics
    ///
    /// When one of the numbers is impossible. For those that come from a configuration see
    /// [`try_build`](Self::try_build).
    #[track_caller]
    pub fn build(self) -> Vegas {
        match self.try_build() {
            Ok(vegas) => vegas,
            Err(wrong) => panic!("{wrong}"),
        }
    }

    /// Like [`build`](Self::build), for numbers that come from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`], which says what is wrong and what would be right.
    pub fn try_build(self) -> Result<Vegas, InvalidLimit> {
        let bounds = self.bounds.check()?;
        let (low, high) = (self.low, self.high);
        if low == 0 || low > high {
            return Err(InvalidLimit::Queue { low, high });
        }
        if !(self.backoff > 0.0 && self.backoff < 1.0) {
            return Err(InvalidLimit::Backoff(self.backoff));
        }
        if self.probe_every == 0 {
            return Err(InvalidLimit::Windows);
        }
        Ok(Vegas {
            rules: self,
            limit: bounds.initial(),
            base: f64::INFINITY,
            window: Window::default(),
            floor: Floor::default(),
            probe: Probe::new(self.probe_every),
        })
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::concurrency::Outcome;
    use crate::concurrency::window::CALLS_MIN;

    /// A window in which so many are under way, and each takes that long.
    fn window(vegas: &mut Vegas, ms: f64, in_flight: usize) -> usize {
        let sample = Sample {
            rtt: Duration::from_secs_f64(ms / 1000.0),
            in_flight,
            outcome: Outcome::Success,
        };
        let now = Instant::now();
        for _ in 1..in_flight.max(CALLS_MIN) {
            vegas.update(sample, now);
        }
        vegas.update(sample, now)
    }

    #[test]
    fn it_grows_until_a_few_wait() {
        let mut vegas = Vegas::builder().initial(10).build();
        assert_eq!(window(&mut vegas, 10.0, 10), 16, "nobody waits");
        // Of sixteen, two wait.
        assert_eq!(window(&mut vegas, 10.0 * 16.0 / 14.0, 16), 17);
        // Five, of about six that may.
        assert_eq!(window(&mut vegas, 10.0 * 17.0 / 12.0, 17), 17);
    }

    #[test]
    fn it_goes_half_way_to_what_the_server_can_do() {
        let mut vegas = Vegas::builder().initial(10).build();
        window(&mut vegas, 10.0, 4);
        assert_eq!(vegas.limit(), 10);
        let mut vegas = Vegas {
            limit: 100.0,
            ..vegas
        };
        // Ten times as long: ten are served, ninety wait, of whom twelve may.
        assert_eq!(window(&mut vegas, 100.0, 100), 61);
    }

    #[test]
    fn a_server_that_became_much_slower_is_believed_after_five_windows() {
        let mut vegas = Vegas::builder().limits(4..=50).initial(40).build();
        window(&mut vegas, 10.0, 10);
        for _ in 0..5 {
            assert_eq!(vegas.base, 0.01);
            // Of forty no more than two would be served.
            window(&mut vegas, 200.0, 40);
        }
        assert_eq!(vegas.base, 0.2);
        let limit = vegas.limit();
        assert!(limit < 20 && window(&mut vegas, 200.0, limit) > limit);
    }

    #[test]
    fn a_server_that_became_a_little_slower_is_believed_after_a_look() {
        let mut vegas = Vegas::builder().initial(40).probe_every(10).build();
        window(&mut vegas, 10.0, 10);
        let mut looked = false;
        for _ in 0..12 {
            assert_eq!(vegas.base, 0.01);
            let in_flight = vegas.limit();
            window(&mut vegas, 20.0, in_flight);
            looked |= in_flight < 5;
        }
        assert!(looked && vegas.base == 0.02, "{vegas:?}");
    }

    #[test]
    fn it_does_not_grow_while_less_than_half_of_it_is_used() {
        let mut vegas = Vegas::default();
        for _ in 0..100 {
            assert_eq!(window(&mut vegas, 10.0, 9), 20);
        }
        assert!(window(&mut vegas, 10.0, 10) > 20);
    }

    #[test]
    fn an_overload_costs_a_tenth_once_in_a_window() {
        let mut vegas = Vegas::builder().initial(100).build();
        let sample = Sample {
            rtt: Duration::from_millis(1),
            in_flight: 100,
            outcome: Outcome::Overloaded,
        };
        let limits: Vec<_> = (0..200)
            .map(|_| vegas.update(sample, Instant::now()))
            .collect();
        assert_eq!((limits[98], limits[99], limits[199]), (100, 90, 81));
    }

    #[test]
    fn impossible_numbers_are_named() {
        let builder = Vegas::builder;
        let wrong = builder().queue(0..=3).try_build().unwrap_err();
        assert_eq!(wrong, InvalidLimit::Queue { low: 0, high: 3 });
        assert!(builder().probe_every(0).try_build().is_err());
        assert!(builder().backoff(f64::NAN).try_build().is_err());
        assert!(builder().limits(0..=1).try_build().is_err());
    }
}
