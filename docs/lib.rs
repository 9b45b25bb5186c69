//! The book's programs, and the README's, as doctests: `cargo test -p shibuya-book --doc`.
//!
//! A chapter is listed twice, here and in `src/en/SUMMARY.md`; `tests/chapters.rs` sees to it that neither forgets one.
#![forbid(unsafe_code)]
#![cfg(doctest)]

#[doc = include_str!("../README.md")]
mod readme {}

#[doc = include_str!("src/en/introduction.md")]
mod en_introduction {}

#[doc = include_str!("src/en/tasks-and-groups.md")]
mod en_tasks_and_groups {}

#[doc = include_str!("src/en/waiting-for-some.md")]
mod en_waiting_for_some {}

#[doc = include_str!("src/en/pipelines-and-periodic.md")]
mod en_pipelines_and_periodic {}

#[doc = include_str!("src/en/deadlines-and-cancellation.md")]
mod en_deadlines_and_cancellation {}

#[doc = include_str!("src/en/cleanup-and-shutdown.md")]
mod en_cleanup_and_shutdown {}

#[doc = include_str!("src/en/retrying.md")]
mod en_retrying {}

#[doc = include_str!("src/en/limiting.md")]
mod en_limiting {}

#[doc = include_str!("src/en/locks-and-signals.md")]
mod en_locks_and_signals {}

#[doc = include_str!("src/en/queues.md")]
mod en_queues {}

#[doc = include_str!("src/en/streams.md")]
mod en_streams {}

#[doc = include_str!("src/en/runtime.md")]
mod en_runtime {}

#[doc = include_str!("src/en/seeing-what-runs.md")]
mod en_seeing_what_runs {}

#[doc = include_str!("src/en/blocking-and-cpu.md")]
mod en_blocking_and_cpu {}

#[doc = include_str!("src/en/migrating.md")]
mod en_migrating {}

#[doc = include_str!("src/en/asyncio.md")]
mod en_asyncio {}

#[doc = include_str!("src/en/performance.md")]
mod en_performance {}

#[doc = include_str!("src/en/performance/taskgroup.md")]
mod en_performance_taskgroup {}

#[doc = include_str!("src/en/performance/queue.md")]
mod en_performance_queue {}

#[doc = include_str!("src/en/performance/retry.md")]
mod en_performance_retry {}

#[doc = include_str!("src/en/performance/ratelimit.md")]
mod en_performance_ratelimit {}
