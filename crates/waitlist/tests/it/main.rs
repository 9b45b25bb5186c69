//! What [`shibuya_waitlist`] promises, one file per concern.
#![cfg(not(shibuya_loom))]

mod auto_traits;
mod cancel;
mod close;
mod enlist;
mod fifo;
mod handover;
mod lanes;
mod lanes_model;
mod model;
mod panics;
mod support;
mod threads;
mod wakers;
