//! Every public future is dropped after each of its polls and after each wake that follows: nothing is taken, and nobody else is harmed.
#![cfg(not(shibuya_loom))]

mod cancel_safety {
    mod concurrency;
    mod distributed;
    mod rate;
    mod throttle;
}
