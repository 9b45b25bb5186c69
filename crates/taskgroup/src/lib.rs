#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cleanup;
mod cpu;
pub mod deadline_scheduler;
mod error;
mod every;
mod group;
mod map;
mod outcome;
mod panic;
mod pipeline;
#[cfg(feature = "process")]
#[cfg_attr(docsrs, doc(cfg(feature = "process")))]
pub mod process;
mod see;
mod serve;
mod several;
mod task;

pub use cleanup::{
    Ending, OnCleanup, Release, ReleaseError, Resources, RunWithCleanup, run_with_cleanup,
};
pub use cpu::{Cpu, CpuPool, cpu};
pub use deadline_scheduler::{DeadlineScheduler, Job};
pub use error::{Cause, Failure, GroupError, OrCancelled, Straggler, TrySpawnError};
pub use every::{Every, Missed, RunEvery, RunUntil, every};
pub use group::{Builder, OnError, OnPanic, Run, TaskGroup};
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
pub use see::{Counts, Ended, EndedAs, Kind, State, TaskInfo, TreeSnapshot, dump, watchdog};
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use serve::Signal;
pub use serve::{Serve, ServeRun, Served, ShutdownReport, ShutdownRequested, serve};
pub use several::{
    AsCompleted, CollectSequence, Done, Gather, InputKind, IntoFutures, IntoGather, IntoTryGather,
    NextCompleted, NoneSucceeded, Race, SelectFirst, Sequence, SequenceError, Step, TryGather,
    Until, Wait, as_completed, fan_out_fan_in, gather, race, select_first, sequence, try_gather,
    wait,
};
pub use shibuya_cancel::{
    CancelScope, Cancelled, Elapsed, Name, Reason, TaskId, cancelled, check, remaining, step,
    timeout,
};
pub use task::{Shield, SpawnReady, Task, TaskBuilder, TaskOutcome, shield};
