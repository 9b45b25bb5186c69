#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alarm;
mod ending;
mod harness;
mod panics;
mod wakes;

pub use ending::{DropPoint, Ending};
pub use harness::{Harness, Report, cancel_at_every_poll};
