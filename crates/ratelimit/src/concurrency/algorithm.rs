use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Finds a limit by what calls tell: [`Gradient2`](super::Gradient2), [`Vegas`](super::Vegas), [`Aimd`](super::Aimd), or one
/// of your own.
///
/// It has no clock: the time is an argument. So a test needs no runtime and no waiting.
///
/// It runs under the limiter's lock: keep it short, and don't touch the limiter from inside, which deadlocks. If it
/// panics, the slot of the call is free all the same, and the panic goes to whoever told how the call ended.
///
/// # Examples
///
/// One call less after an overload, one more after a hundred that were well:
///
/// ```
/// use shibuya_ratelimit::ConcurrencyLimiter;
/// use shibuya_ratelimit::concurrency::{Algorithm, Outcome, Sample};
/// use tokio::time::Instant;
///
/// #[derive(Debug)]
/// struct Cautious {
///     limit: usize,
///     well: u32,
/// }
///
/// impl Algorithm for Cautious {
///     fn limit(&self) -> usize {
///         self.limit
///     }
///
///     fn update(&mut self, sample: Sample, _now: Instant) -> usize {
///         match sample.outcome {
///             Outcome::Success => self.well += 1,
///             Outcome::Overloaded => (self.well, self.limit) = (0, self.limit - 1),
///         }
///         if self.well == 100 {
///             (self.well, self.limit) = (0, self.limit + 1);
///         }
///         self.limit
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limiter = ConcurrencyLimiter::adaptive(Cautious { limit: 8, well: 0 });
/// limiter.acquire().await.unwrap().overloaded();
/// assert_eq!(limiter.limit(), 7);
/// # }
/// ```
pub trait Algorithm: fmt::Debug + Send + 'static {
    /// The limit as it is now: asked once, when the limiter is made. 0 counts as 1.
    fn limit(&self) -> usize;

    /// The limit from now on, after a call has ended. 0 counts as 1.
    fn update(&mut self, sample: Sample, now: Instant) -> usize;
}

/// What one call tells about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long it took, from its permit on.
    pub rtt: Duration,
    /// How many were under way with it, itself included: when it began or when it ended, whichever was more.
    pub in_flight: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a call ended, if that says something of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was served: the time that it took counts.
    Success,
    /// The other side refused it, or took too long, since it has too much to do. The time says nothing.
    Overloaded,
}
