//! How long calls take now, against how long they usually take. Without a clock.

use std::ops::RangeInclusive;

use tokio::time::Instant;

use super::bounds::{Bounds, whole};
use super::floor::Floor;
use super::probe::{Probe, Purpose};
use super::window::{Round, Rtt, Window};
use super::{Algorithm, InvalidLimit, Sample};

/// Shrinks when calls take longer than they usually do, and grows by a few otherwise: a good choice if nothing is known of the
/// server.
///
/// It compares the mean time of the calls of one window (as many as are under way, ten at least) with
/// the average of the last [`long_window`](Gradient2Builder::long_window) ones. Up to
/// [`tolerance`](Gradient2Builder::tolerance) times that is well, and the limit grows by
/// [`queue`](Gradient2Builder::queue); above, it shrinks in proportion, by half at most, and does not grow at the same time.
/// Of either a part counts, the [`smoothing`](Gradient2Builder::smoothing). That is the algorithm of
/// [Netflix](https://github.com/Netflix/concurrency-limits), and what was proposed there: not to grow and shrink at once.
///
/// Three things are added. An overload costs a tenth of the limit, once in a window. Under a load that never ebbs, a long
/// average comes to follow the queue that the limit itself lets grow, and the limit runs away; so after each
/// [`probe_every`](Gradient2Builder::probe_every) windows it lies at a quarter for two of them: one to let the queue drain, and
/// one to see what a call takes without it. And a limit that lies at its least for five windows takes what calls take
/// then for usual, in place of waiting until the average says so.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Gradient2};
///
/// let algorithm = Gradient2::builder().limits(2..=500).initial(50).tolerance(2.0).build();
/// let limiter = ConcurrencyLimiter::adaptive(algorithm);
/// assert_eq!(limiter.limit(), 50);
/// ```
#[derive(Clone, Debug)]
pub struct Gradient2 {
    rules: Gradient2Builder,
    limit: f64,
    usual: Average,
    window: Window,
    floor: Floor,
    probe: Probe,
}

/// What a [`Gradient2`] goes by.
#[derive(Clone, Copy, Debug)]
#[must_use = "call `build`"]
pub struct Gradient2Builder {
    bounds: Bounds,
    tolerance: f64,
    smoothing: f64,
    queue: usize,
    long_window: u32,
    probe_every: u32,
}

/// What stays of the limit after an overload.
const BACKOFF: f64 = 0.9;

/// An average of times that gives those of long ago less weight.
#[derive(Clone, Copy, Debug)]
struct Average {
    value: f64,
    count: u32,
    weight: f64,
}

/// The first few are averaged evenly.
const WARM_UP: u32 = 10;

impl Average {
    fn over(windows: u32) -> Self {
        Self {
            value: 0.0,
            count: 0,
            weight: 2.0 / (f64::from(windows) + 1.0),
        }
    }

    fn add(&mut self, time: f64) {
        let weight = match self.count < WARM_UP {
            true => {
                self.count += 1;
                1.0 / f64::from(self.count)
            }
            false => self.weight,
        };
        self.value += (time - self.value) * weight.max(self.weight);
    }

    fn lower(&mut self, time: f64) {
        self.value = self.value.min(time);
    }
}

impl Gradient2 {
    /// What it is to go by.
    pub fn builder() -> Gradient2Builder {
        Gradient2Builder {
            bounds: Bounds::default(),
            tolerance: 1.5,
            smoothing: 0.2,
            queue: 4,
            long_window: 600,
            probe_every: 200,
        }
    }

    fn end_window(&mut self, round: Round) {
        if round.overloaded {
            self.limit = self.rules.bounds.clamp(self.limit * BACKOFF);
        }
        let is_used = round.used(self.limit);
        match (self.probe.end_window(is_used), round.rtt) {
            (Purpose::Follow, Some(rtt)) => {
                self.learn(rtt);
                if is_used {
                    self.follow(round, rtt);
                }
            }
            (Purpose::Measure, Some(rtt)) => self.usual.lower(rtt.mean),
            (Purpose::Drain, _) | (_, None) => {}
        }
    }

    fn follow(&mut self, round: Round, rtt: Rtt) {
        let gradient = (self.rules.tolerance * self.usual.value / rtt.mean).clamp(0.5, 1.0);
        let aim = match gradient < 1.0 {
            true => self.limit * gradient,
            false if round.overloaded => self.limit,
            false => self.limit + self.rules.queue as f64,
        };
        let limit = self.limit + (aim - self.limit) * self.rules.smoothing;
        self.limit = self.rules.bounds.clamp(limit);
    }

    fn learn(&mut self, rtt: Rtt) {
        self.usual.add(rtt.mean);
        if self.usual.value > 2.0 * rtt.mean {
            // The load has gone, or the server is faster now.
            self.usual.value *= 0.95;
        }
        let is_at_floor = self.limit < self.rules.bounds.min() + 1.0;
        if let Some(rtt) = self.floor.add(is_at_floor, rtt) {
            self.usual.value = rtt.mean;
        }
    }
}

impl Default for Gradient2 {
    /// From 1 to 1000, beginning at 20.
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Algorithm for Gradient2 {
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

impl Gradient2Builder {
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

    /// How many times as long as usual a call may take, 1 or more; 1.5 if nothing else is said. With 1 the limit
    /// shrinks at the first sign of a queue, and with whatever else makes a call slow.
    pub fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }

    /// What part of a change is made after one window, above 0 and up to 1; 0.2 if nothing else is said.
    pub fn smoothing(mut self, part: f64) -> Self {
        self.smoothing = part;
        self
    }

    /// How many more are let through where nothing speaks against it; 4 if nothing else is said, of which the
    /// [`smoothing`](Self::smoothing) makes less than one.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// Over how many windows the usual time is averaged; 600 if nothing else is said.
    pub fn long_window(mut self, windows: u32) -> Self {
        self.long_window = windows;
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
    pub fn build(self) -> Gradient2 {
        match self.try_build() {
            Ok(gradient) => gradient,
            Err(wrong) => panic!("{wrong}"),
        }
    }

    /// Like [`build`](Self::build), for numbers that come from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`], which says what is wrong and what would be right.
    pub fn try_build(self) -> Result<Gradient2, InvalidLimit> {
        let bounds = self.bounds.check()?;
        if !(self.tolerance >= 1.0 && self.tolerance.is_finite()) {
            return Err(InvalidLimit::Tolerance(self.tolerance));
        }
        if !(self.smoothing > 0.0 && self.smoothing <= 1.0) {
            return Err(InvalidLimit::Smoothing(self.smoothing));
        }
        if self.queue == 0 {
            return Err(InvalidLimit::Increase(0.0));
        }
        if self.long_window == 0 || self.probe_every == 0 {
            return Err(InvalidLimit::Windows);
        }
        Ok(Gradient2 {
            rules: self,
            limit: bounds.initial(),
            usual: Average::over(self.long_window),
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

    fn window(gradient: &mut Gradient2, ms: u64, in_flight: usize) -> f64 {
        window_of(gradient, ms, in_flight, Outcome::Success)
    }

    /// A window in which so many are under way, and each takes that long.
    fn window_of(gradient: &mut Gradient2, ms: u64, in_flight: usize, outcome: Outcome) -> f64 {
        let sample = Sample {
            rtt: Duration::from_millis(ms),
            in_flight,
            outcome,
        };
        for _ in 0..in_flight.max(CALLS_MIN) {
            gradient.update(sample, Instant::now());
        }
        gradient.limit
    }

    #[test]
    fn it_grows_while_calls_take_what_they_usually_do() {
        let mut gradient = Gradient2::default();
        for n in 1..=50 {
            let limit = window(&mut gradient, 10, 20 + n);
            assert!((limit - (20.0 + 0.8 * n as f64)).abs() < 1e-9);
        }
        assert_eq!(gradient.limit(), 60);
    }

    #[test]
    fn it_does_not_grow_and_shrink_at_once() {
        let mut gradient = Gradient2::builder().tolerance(1.0).smoothing(1.0).build();
        gradient.usual = Average {
            value: 0.010,
            count: WARM_UP,
            weight: 0.0,
        };
        assert_eq!(window(&mut gradient, 16, 20), 20.0 * 10.0 / 16.0);
        assert_eq!(gradient.limit(), 12);
        // By half at most.
        assert_eq!(window(&mut gradient, 1000, 20), 20.0 * 10.0 / 16.0 / 2.0);
    }

    #[test]
    fn it_does_not_grow_while_less_than_half_of_it_is_used() {
        let mut gradient = Gradient2::default();
        for _ in 0..1000 {
            assert_eq!(window(&mut gradient, 10, 9), 20.0);
        }
        assert!(window(&mut gradient, 10, 10) > 20.0);
    }

    #[test]
    fn an_overload_costs_a_tenth_and_it_does_not_grow_beside() {
        let mut gradient = Gradient2::builder().initial(100).build();
        window(&mut gradient, 10, 30);
        let limit = window_of(&mut gradient, 0, 100, Outcome::Overloaded);
        assert_eq!(limit, 90.0);
        let sample = |outcome| Sample {
            rtt: Duration::from_millis(10),
            in_flight: 100,
            outcome,
        };
        gradient.update(sample(Outcome::Overloaded), Instant::now());
        for _ in 1..100 {
            gradient.update(sample(Outcome::Success), Instant::now());
        }
        assert_eq!(gradient.limit, 81.0);
    }

    #[test]
    fn it_looks_what_a_call_takes_without_a_queue() {
        let mut gradient = Gradient2::builder()
            .limits(1..=40)
            .initial(40)
            .probe_every(3)
            .build();
        for _ in 0..3 {
            assert_eq!(gradient.limit(), 40);
            window(&mut gradient, 90, 40);
        }
        assert_eq!(gradient.limit(), 10);
        window(&mut gradient, 70, 40); // those from before
        assert_eq!(gradient.limit(), 10);
        window(&mut gradient, 10, 10);
        assert_eq!((gradient.limit(), gradient.usual.value), (40, 0.010));
        assert!(window(&mut gradient, 90, 40) < 40.0);
    }

    #[test]
    fn who_uses_little_is_not_disturbed_by_a_look() {
        let mut gradient = Gradient2::builder().probe_every(3).build();
        for _ in 0..100 {
            window(&mut gradient, 10, 5);
            assert_eq!(gradient.limit(), 20);
        }
    }

    #[test]
    fn a_server_that_became_slower_is_believed_after_five_windows_at_the_floor() {
        let mut gradient = Gradient2::builder().limits(4..=50).initial(40).build();
        for _ in 0..WARM_UP {
            window(&mut gradient, 10, 40);
        }
        let mut windows = 0;
        while gradient.limit() > 4 {
            let in_flight = gradient.limit();
            window(&mut gradient, 200, in_flight);
            windows += 1;
            assert!(windows < 50, "{gradient:?}");
        }
        assert!(gradient.usual.value < 0.050);
        for _ in 0..10 {
            window(&mut gradient, 200, 4);
        }
        assert!(
            gradient.limit() > 4 && gradient.usual.value == 0.2,
            "{gradient:?}"
        );
    }

    #[test]
    fn it_forgets_soon_how_slow_it_was() {
        let mut gradient = Gradient2::default();
        window(&mut gradient, 1000, 20);
        for _ in 0..60 {
            window(&mut gradient, 10, 5);
        }
        assert!(gradient.usual.value < 0.025, "{gradient:?}");
    }

    #[test]
    fn impossible_numbers_are_named() {
        let wrong = |builder: Gradient2Builder| builder.try_build().unwrap_err();
        let builder = Gradient2::builder;
        assert_eq!(
            wrong(builder().tolerance(0.9)),
            InvalidLimit::Tolerance(0.9)
        );
        assert_eq!(
            wrong(builder().smoothing(1.1)),
            InvalidLimit::Smoothing(1.1)
        );
        assert_eq!(wrong(builder().queue(0)), InvalidLimit::Increase(0.0));
        assert_eq!(wrong(builder().long_window(0)), InvalidLimit::Windows);
        assert_eq!(wrong(builder().probe_every(0)), InvalidLimit::Windows);
        assert!(builder().smoothing(f64::NAN).try_build().is_err());
        assert!(builder().limits(0..=1).try_build().is_err());
    }
}
