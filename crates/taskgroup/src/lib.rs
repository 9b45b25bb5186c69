#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod child;
mod cleanup;
mod core;
mod error;
mod failures;
mod gather;
mod group;
mod limit;
mod live;
mod map;
mod outcome;
mod panic;
mod roster;
mod run;
mod serve;
mod shelter;
mod shield;
mod spawn;
mod task;

pub use builder::{Builder, OnError, OnPanic};
pub use cleanup::{
    Ending, OnCleanup, Release, ReleaseError, Resources, RunWithCleanup, run_with_cleanup,
};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use gather::{Gather, TryGather, gather, try_gather};
pub use group::TaskGroup;
pub use map::{Collect, MapConcurrent, Ordered, Unordered, map_concurrent};
pub use outcome::Outcome;
pub use panic::Panic;
pub use run::Run;
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use serve::Signal;
pub use serve::{Serve, ServeRun, Served, ShutdownReport, ShutdownRequested, serve};
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, timeout,
};
pub use shield::{Shield, shield};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
