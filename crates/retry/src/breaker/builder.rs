use std::time::Duration;

use thiserror::Error;

use super::window::{COUNT_MAX, CountWindow, TimeWindow, Window};
use super::{Breaker, Rules};

/// What a [`Breaker`] goes by.
#[derive(Clone, Copy, Debug)]
#[must_use = "call `build`"]
pub struct BreakerBuilder {
    window: Span,
    min_calls: u32,
    failure_rate: f64,
    slow_call: Duration,
    slow_rate: f64,
    open_for: Duration,
    probes: u32,
    probe_lease: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Calls(usize),
    Time(Duration),
}

impl Default for BreakerBuilder {
    fn default() -> Self {
        Self {
            window: Span::Calls(100),
            min_calls: 20,
            failure_rate: 0.5,
            slow_call: Duration::MAX,
            slow_rate: 1.0,
            open_for: Duration::from_secs(30),
            probes: 3,
            probe_lease: Duration::from_secs(30),
        }
    }
}

impl BreakerBuilder {
    /// Looks at the last so many calls; at 100 if nothing else is said.
    pub fn window_calls(mut self, calls: usize) -> Self {
        self.window = Span::Calls(calls);
        self
    }

    /// Looks at the calls of the last so many seconds in place of the last so many calls. They go in tenths of
    /// that time.
    pub fn window_time(mut self, span: Duration) -> Self {
        self.window = Span::Time(span);
        self
    }

    /// Says nothing before there were this many calls; 20 if nothing else is said.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Opens when at least this part of the calls has failed, above 0 and up to 1; 0.5 if nothing else is said.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = rate;
        self
    }

    /// Opens, too, when at least this part of the calls, above 0 and up to 1, has taken longer than `limit`,
    /// well or not. A probe that takes longer has failed.
    pub fn slow_calls(mut self, limit: Duration, rate: f64) -> Self {
        self.slow_call = limit;
        self.slow_rate = rate;
        self
    }

    /// How long it stays open before it lets probes through; 30 seconds if nothing else is said.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// How many calls it lets through then, and how many of them must succeed for it to close; 3 if nothing
    /// else is said.
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// How long a probe is waited for before another may take its place; 30 seconds if nothing else is said. What
    /// it tells later is no vote, so give it more time than a call may take.
    pub fn probe_lease(mut self, time: Duration) -> Self {
        self.probe_lease = time;
        self
    }

    /// The breaker, closed.
    ///
    /// # Panics
    ///
    /// When one of the numbers is impossible. For those that come from a configuration see
    /// [`try_build`](Self::try_build).
    #[track_caller]
    pub fn build(self) -> Breaker {
        match self.try_build() {
            Ok(breaker) => breaker,
            Err(wrong) => panic!("{wrong}"),
        }
    }

    /// Like [`build`](Self::build), for numbers that come from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidBreaker`], which says what is wrong and what would be right.
    pub fn try_build(self) -> Result<Breaker, InvalidBreaker> {
        let is_rate = |rate: f64| rate > 0.0 && rate <= 1.0;
        if !is_rate(self.failure_rate) {
            return Err(InvalidBreaker::FailureRate(self.failure_rate));
        }
        if !is_rate(self.slow_rate) {
            return Err(InvalidBreaker::SlowRate(self.slow_rate));
        }
        let most = match self.window {
            Span::Calls(calls) => u32::try_from(calls).unwrap_or(u32::MAX),
            Span::Time(span) if span.is_zero() => 0,
            Span::Time(_) => (COUNT_MAX / 2) as u32,
        };
        if most == 0 {
            return Err(InvalidBreaker::Window);
        }
        if self.min_calls == 0 || self.min_calls > most {
            return Err(InvalidBreaker::MinCalls {
                calls: self.min_calls,
                most,
            });
        }
        if self.probes == 0 || self.open_for.is_zero() || self.probe_lease.is_zero() {
            return Err(InvalidBreaker::Probes);
        }
        let window = || match self.window {
            Span::Calls(calls) => Window::Count(CountWindow::new(calls)),
            Span::Time(span) => Window::Time(TimeWindow::new(span)),
        };
        let rules = Rules {
            min_calls: self.min_calls,
            failure_rate: self.failure_rate,
            slow_call: self.slow_call,
            slow_rate: self.slow_rate,
            open_for: self.open_for,
            probes: self.probes,
            probe_lease: self.probe_lease,
        };
        Ok(Breaker::new(rules, [window(), window()]))
    }
}

/// What a [`Breaker`] can't go by.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidBreaker {
    /// The failure rate.
    #[error("the failure rate of a breaker is {0}: it must be above 0 and at most 1, such as 0.5")]
    FailureRate(f64),
    /// The rate of slow calls.
    #[error(
        "the rate of slow calls of a breaker is {0}: it must be above 0 and at most 1, such as 0.8"
    )]
    SlowRate(f64),
    /// The window.
    #[error(
        "the window of a breaker is empty: it must hold a call or some time, such as 100 calls or 10 s"
    )]
    Window,
    /// The least number of calls.
    #[error(
        "a breaker that waits for {calls} calls can't open: it must be 1 to {most}, which is what its window holds"
    )]
    MinCalls {
        /// What was given.
        calls: u32,
        /// What would be possible.
        most: u32,
    },
    /// The probes, their lease, or the time before them.
    #[error(
        "a breaker without probes, or without time for them or before them, can't close: each must be above 0, such as 3 after 30 s"
    )]
    Probes,
}
