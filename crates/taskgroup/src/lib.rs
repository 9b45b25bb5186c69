#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod child;
mod core;
pub mod deadline_scheduler;
mod error;
mod every;
mod failures;
mod gather;
mod group;
mod home;
mod limit;
mod live;
mod local;
mod map;
mod outcome;
mod panic;
#[cfg(feature = "process")]
#[cfg_attr(docsrs, doc(cfg(feature = "process")))]
pub mod process;
mod roster;
mod run;
mod see;
mod spawn;
mod task;

pub use builder::{Builder, OnError, OnPanic};
pub use deadline_scheduler::{DeadlineScheduler, Job};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use every::{Every, Missed, RunEvery, RunUntil, every};
pub use gather::{Gather, TryGather, gather, try_gather};
pub use group::TaskGroup;
pub use map::{Collect, MapConcurrent, Ordered, Unordered, map_concurrent};
pub use outcome::Outcome;
pub use panic::Panic;
#[cfg(feature = "process")]
#[cfg_attr(docsrs, doc(cfg(feature = "process")))]
pub use process::{Process, ProcessError, process};
pub use run::Run;
pub use see::{Counts, Ended, Ending, Kind, State, TaskInfo, TreeSnapshot, dump, watchdog};
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, step,
    timeout,
};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
