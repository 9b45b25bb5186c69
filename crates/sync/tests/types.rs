//! Which types are `Send`, `Sync` and `Unpin`, and how large they are.
#![cfg(not(shibuya_loom))]

use std::panic::UnwindSafe;

use shibuya_sync::{
    Arrival, Barrier, BarrierWait, Broken, Event, EventWait, KeyedGuard, KeyedLock, KeyedMutex,
    Party, SingleFlight,
};
use static_assertions::assert_impl_all;

assert_impl_all!(Event: Send, Sync, Unpin, UnwindSafe);
assert_impl_all!(EventWait<'static>: Send, Sync, Unpin);
assert_impl_all!(Barrier: Send, Sync, Unpin);
assert_impl_all!(BarrierWait<'static>: Send, Sync, Unpin);
assert_impl_all!(Party<'static>: Send, Sync, Unpin);
assert_impl_all!(Arrival: Send, Sync, Copy);
assert_impl_all!(Broken: Send, Sync, Copy, std::error::Error);
assert_impl_all!(KeyedMutex<String>: Send, Sync, Unpin);
assert_impl_all!(KeyedLock<'static, String>: Send, Sync, Unpin);
assert_impl_all!(KeyedGuard<'static, String>: Send, Sync, Unpin);
assert_impl_all!(SingleFlight<String, Vec<u8>>: Send, Sync, Unpin);

#[test]
fn an_event_is_a_few_words() {
    assert!(size_of::<Event>() <= 32, "{}", size_of::<Event>());
}
