#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod distributed;
mod error;
mod quota;

pub use error::{Denied, InvalidQuota, Outage};
pub use quota::Quota;
