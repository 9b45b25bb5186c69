//! Real servers for tests: on a free port of loopback, in a temporary folder, ready when `start` returns. A test kills, restarts and
//! pauses its own as it likes.
//!
//! Where a program is missing, `start` says that the test was skipped and gives `None`; with `SHIBUYA_REQUIRE_SERVERS=1` it panics.
//!
//! No server outlives its test, however that ends: each is held by a shell that kills it as soon as the test's end of a pipe is closed, and
//! a kernel closes it for a process that was killed hard. See `keeper.sh`.
//!
//! What all servers have in common is in `process.rs` and `start.rs`; a new one says which program it is, how it is told its port and its
//! folder, and how to see that it is ready.

#![cfg(unix)]
#![forbid(unsafe_code)]

mod folder;
mod process;
mod redis;
mod start;

pub use redis::Redis;
