#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod arrivals;
mod as_completed;
mod builder;
mod child;
mod completions;
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
mod race;
mod roster;
mod run;
mod sequence;
mod settled;
mod spawn;
mod task;
mod wait;

pub use as_completed::{AsCompleted, NextCompleted, as_completed};
pub use builder::{Builder, OnError, OnPanic};
pub use completions::IntoFutures;
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use gather::{Gather, IntoGather, IntoTryGather, TryGather, gather, try_gather};
pub use group::TaskGroup;
pub use input::Kind;
pub use map::{Collect, MapConcurrent, Ordered, Unordered, map_concurrent};
pub use outcome::Outcome;
pub use panic::Panic;
pub use race::{NoneSucceeded, Race, SelectFirst, race, select_first};
pub use run::Run;
pub use sequence::{CollectSequence, Sequence, SequenceError, Step, sequence};
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, timeout,
};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
pub use wait::{Done, Until, Wait, wait};
