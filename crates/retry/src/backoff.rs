use std::time::Duration;

use crate::Random;

/// How long to wait before each retry: a pure function, so that one value serves any number of calls.
///
/// [`Curve`] has the usual ones, behind [`Policy`](crate::Policy)'s constructors. Implement it for your own and
/// give that to [`Policy::new`](crate::Policy::new).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Backoff, Policy, Random};
///
/// /// 1, 1, 2, 3, 5, 8 … milliseconds.
/// struct Fibonacci;
///
/// impl Backoff for Fibonacci {
///     fn delay(&self, retry: u32, _: Duration, _: &mut Random) -> Duration {
///         let (mut delay, mut next) = (1u64, 1u64);
///         for _ in 0..retry {
///             (delay, next) = (next, delay.saturating_add(next));
///         }
///         Duration::from_millis(delay)
///     }
/// }
///
/// static POLICY: Policy<Fibonacci> = Policy::new(Fibonacci).max_retries(10);
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use shibuya_retry::Retryable;
/// let mut left = 3;
/// let answer = (|| {
///     left -= 1;
///     async move { if left > 0 { Err("not yet") } else { Ok(42) } }
/// });
/// assert_eq!(answer.retry(&POLICY).await.unwrap(), 42);
/// # }
/// ```
pub trait Backoff {
    /// The delay before a retry, by its number, from 0, and the delay before the last one, which is zero for
    /// the first. The policy's [`Jitter`](crate::Jitter) is applied to it afterwards.
    fn delay(&self, retry: u32, last: Duration, random: &mut Random) -> Duration;
}

impl<B: Backoff + ?Sized> Backoff for &B {
    fn delay(&self, retry: u32, last: Duration, random: &mut Random) -> Duration {
        (**self).delay(retry, last, random)
    }
}

/// How the delays grow: what [`Policy`](crate::Policy)'s constructors make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Curve {
    /// Always the same.
    Constant(Duration),
    /// `step`, twice `step`, three times `step`, up to `max`.
    Linear {
        /// The first delay, and what each adds.
        step: Duration,
        /// No delay is longer.
        max: Duration,
    },
    /// `base`, and twice as long each time, up to `max`.
    Exponential {
        /// The first delay.
        base: Duration,
        /// No delay is longer.
        max: Duration,
    },
    /// Anything from `base` to three times the last delay, up to `max`.
    Decorrelated {
        /// The first delay, and the least.
        base: Duration,
        /// No delay is longer.
        max: Duration,
    },
}

impl Backoff for Curve {
    fn delay(&self, retry: u32, last: Duration, random: &mut Random) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::Linear { step, max } => step.saturating_mul(retry.saturating_add(1)).min(max),
            Self::Exponential { base, max } => {
                let factor = 1u32.checked_shl(retry).unwrap_or(u32::MAX);
                base.saturating_mul(factor).min(max)
            }
            Self::Decorrelated { base, max } => {
                let most = last.max(base).saturating_mul(3);
                random.between(base, most).min(max)
            }
        }
    }
}
