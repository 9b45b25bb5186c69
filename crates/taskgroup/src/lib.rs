#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod arrivals;
mod as_completed;
mod builder;
mod child;
mod cleanup;
mod completions;
mod core;
mod cpu;
pub mod deadline_scheduler;
mod error;
mod every;
mod failures;
mod fan;
mod fate;
mod gather;
mod group;
mod home;
mod input;
mod limit;
mod live;
mod local;
mod map;
mod outcome;
mod panic;
mod pipeline;
#[cfg(feature = "process")]
#[cfg_attr(docsrs, doc(cfg(feature = "process")))]
pub mod process;
mod race;
mod roster;
mod run;
mod see;
mod sequence;
mod serve;
mod settled;
mod shelter;
mod shield;
mod spawn;
mod task;
mod wait;

pub use as_completed::{AsCompleted, NextCompleted, as_completed};
pub use builder::{Builder, OnError, OnPanic};
pub use cleanup::{
    Ending, OnCleanup, Release, ReleaseError, Resources, RunWithCleanup, run_with_cleanup,
};
pub use completions::IntoFutures;
pub use cpu::{Cpu, CpuPool, cpu};
pub use deadline_scheduler::{DeadlineScheduler, Job};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use every::{Every, Missed, RunEvery, RunUntil, every};
pub use fan::fan_out_fan_in;
pub use gather::{Gather, IntoGather, IntoTryGather, TryGather, gather, try_gather};
pub use group::TaskGroup;
pub use input::InputKind;
pub use map::{
    Collect, ForEachConcurrent, MapConcurrent, Ordered, Unordered, for_each_concurrent,
    map_concurrent,
};
pub use outcome::Outcome;
pub use panic::Panic;
pub use pipeline::{
    Pipeline, PipelineForEach, PipelineMonitor, PipelineRun, PipelineStream, StageStats, pipeline,
    pipeline_stream,
};
#[cfg(feature = "process")]
#[cfg_attr(docsrs, doc(cfg(feature = "process")))]
pub use process::{Process, ProcessError, process};
pub use race::{NoneSucceeded, Race, SelectFirst, race, select_first};
pub use run::Run;
pub use see::{Counts, Ended, EndedAs, Kind, State, TaskInfo, TreeSnapshot, dump, watchdog};
pub use sequence::{CollectSequence, Sequence, SequenceError, Step, sequence};
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use serve::Signal;
pub use serve::{Serve, ServeRun, Served, ShutdownReport, ShutdownRequested, serve};
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, step,
    timeout,
};
pub use shield::{Shield, shield};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
pub use wait::{Done, Until, Wait, wait};
