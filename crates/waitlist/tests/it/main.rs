//! What [`shibuya_waitlist`] promises, one file per concern.
#![cfg(not(shibuya_loom))]

mod close;
mod fifo;
mod handover;
mod support;
