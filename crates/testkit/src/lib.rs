#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alarm;
mod ending;
mod harness;
mod panic_on_drop;
mod panics;
mod probe;
mod runner;
mod wakes;

#[cfg(feature = "tidy")]
#[cfg_attr(docsrs, doc(cfg(feature = "tidy")))]
pub mod tidy;

pub use ending::{DropPoint, Ending};
pub use harness::{Harness, Report, cancel_at_every_poll};
pub use panic_on_drop::PanicOnDrop;
pub use probe::{Probe, Probes};
