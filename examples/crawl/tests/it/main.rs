//! The binary, run against servers on loopback.

#![forbid(unsafe_code)]

mod cli;
mod demo;
mod faults;
#[cfg(unix)]
mod interrupt;
mod pages;
mod retries;
mod run;
mod server;
#[cfg(unix)]
mod tree;
