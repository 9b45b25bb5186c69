#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod child;
mod core;
mod error;
mod failures;
mod gather;
mod group;
mod input;
mod limit;
mod live;
mod map;
mod outcome;
mod panic;
mod roster;
mod run;
mod settled;
mod spawn;
mod task;

pub use builder::{Builder, OnError, OnPanic};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use gather::{Gather, IntoGather, IntoTryGather, TryGather, gather, try_gather};
pub use group::TaskGroup;
pub use input::Kind;
pub use map::{Collect, MapConcurrent, Ordered, Unordered, map_concurrent};
pub use outcome::Outcome;
pub use panic::Panic;
pub use run::Run;
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, timeout,
};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
