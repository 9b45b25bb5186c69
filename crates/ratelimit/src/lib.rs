#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod alarm;
pub mod concurrency;
pub mod distributed;
mod error;
mod gcra;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod keyed;
mod ledger;
mod limiter;
mod line;
mod meter;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
mod queue;
mod quota;
mod reservation;
mod sliding_window;
mod snapshot;
mod stamp;
mod tally;
mod throttle;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;

pub use acquire::{Acquire, AcquireOwned, AcquireWithin};
pub use concurrency::{Aimd, ConcurrencyLimiter, Gradient2, KeyedConcurrency, Vegas};
pub use error::{Denied, InvalidQuota, Outage};
pub use keyed::{AcquireKeyed, Full, Keyed};
pub use limiter::RateLimiter;
pub use quota::Quota;
pub use reservation::Reservation;
pub use sliding_window::SlidingWindow;
pub use snapshot::RateSnapshot;
pub use throttle::{AcquireThrottled, KeyedThrottle, Throttle};
