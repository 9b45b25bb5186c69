//! Which types are `Send`, `Sync`, `Unpin` and `'static`, and how large they are.
#![cfg(not(shibuya_loom))]

use std::mem::size_of;

use shibuya_ratelimit::{
    Acquire, AcquireKeyed, AcquireOwned, AcquireWithin, Denied, Keyed, Quota, RateLimiter,
    Reservation, SlidingWindow,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

assert_impl_all!(RateLimiter: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_impl_all!(Keyed<String>: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_impl_all!(SlidingWindow: Send, Sync, Unpin, std::fmt::Debug);
assert_impl_all!(Reservation: Send, Sync, Unpin, std::fmt::Debug);
assert_not_impl_any!(Reservation: Clone);
assert_impl_all!(Acquire<'static>: Send, Sync, Unpin, std::fmt::Debug);
assert_impl_all!(AcquireOwned: Send, Sync, std::fmt::Debug);
assert_impl_all!(AcquireWithin<'static>: Send, Sync, std::fmt::Debug);
assert_impl_all!(AcquireKeyed<String>: Send, Sync, std::fmt::Debug);
assert_impl_all!(Quota: Send, Sync, Copy, std::hash::Hash);
assert_impl_all!(Denied: Send, Sync, Copy, std::error::Error);

fn spawned<T: Send + 'static>(_: &T) {}

#[tokio::test]
async fn who_owns_its_limit_can_be_spawned() {
    spawned(&RateLimiter::per_second(1).acquire_owned(1));
    spawned(&Keyed::new(Quota::per_second(1)).acquire(&String::new()));
}

#[test]
fn a_wait_is_small() {
    let size = size_of::<Acquire<'_>>();
    assert!(size <= 64, "{size}");
}
