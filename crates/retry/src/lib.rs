#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod breaker;
mod budget;
mod course;
mod error;
mod fallback;
mod hedge;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod jitter;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
mod notify;
mod policy;
mod random;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub mod reqwest;
mod retry;
mod run;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
mod verdict;

pub use backoff::{Backoff, Curve};
pub use breaker::{
    Breaker, BreakerBuilder, BreakerCall, BreakerSnapshot, BreakerState, CallError, InvalidBreaker,
    Open, Permit,
};
pub use budget::{Budget, BudgetSnapshot, Cost, InvalidRatio, Withdrawal};
pub use error::{Failure, Reason, RetryError};
pub use fallback::{Fallback, Or, OrDefault, OrElse};
pub use hedge::{Delay, Hedge, Latencies, hedge};
pub use jitter::Jitter;
pub use notify::{Event, Next, Notify, Silent};
pub use policy::{Delays, Policy};
pub use random::Random;
pub use retry::{Retry, Retryable, retry_with};
pub use run::{AsyncOp, Run, RunAttempt, RunBackoff};
pub use verdict::{Always, Attempt, By, Classify, Verdict, When};
