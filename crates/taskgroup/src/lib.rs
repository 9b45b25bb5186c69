#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod child;
mod core;
mod cpu;
mod error;
mod failures;
mod fan;
mod gather;
mod group;
mod limit;
mod live;
mod map;
mod outcome;
mod panic;
mod pipeline;
mod roster;
mod run;
mod spawn;
mod task;

pub use builder::{Builder, OnError, OnPanic};
pub use cpu::{Cpu, CpuPool, cpu};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use fan::fan_out_fan_in;
pub use gather::{Gather, TryGather, gather, try_gather};
pub use group::TaskGroup;
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
pub use run::Run;
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, timeout,
};
pub use spawn::{SpawnReady, TaskBuilder};
pub use task::{Task, TaskOutcome};
