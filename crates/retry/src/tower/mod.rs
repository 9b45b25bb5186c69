//! Layers for [tower](https://docs.rs/tower)'s services: [`RetryLayer`] and [`BreakerLayer`].
//!
//! A breaker goes inside of the retries, so that each attempt asks it.

mod attempts;
mod breaker;
mod error;
mod judge;
mod retry;

pub use self::breaker::{BreakerFuture, BreakerLayer, BreakerService};
pub use self::error::TimedOut;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use self::judge::ByStatus;
pub use self::judge::Judge;
pub use self::retry::{RetryFuture, RetryLayer, RetryService};

#[cfg(feature = "reqwest")]
pub(crate) use self::{attempts::Attempts, retry::Settings};
