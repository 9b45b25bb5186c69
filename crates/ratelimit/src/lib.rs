#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod concurrency;
mod error;
mod quota;

pub use concurrency::{Aimd, ConcurrencyLimiter, Gradient2, KeyedConcurrency, Vegas};
pub use error::{Denied, InvalidQuota, Outage};
pub use quota::Quota;
