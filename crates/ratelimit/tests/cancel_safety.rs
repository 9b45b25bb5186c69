//! Every public future is dropped after each of its polls and after each wake that follows.
#![cfg(not(shibuya_loom))]

#[path = "cancel_safety/distributed.rs"]
mod distributed;
