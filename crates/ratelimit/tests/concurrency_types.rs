//! Which types of concurrency limits are `Send`, `Sync` and `Unpin`, and how large they are.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;

use shibuya_ratelimit::concurrency::{
    AcquirePermit, Aimd, AimdBuilder, Algorithm, ConcurrencyLimiter, ConcurrencySnapshot,
    Gradient2, Gradient2Builder, InvalidLimit, KeyedConcurrency, KeyedLimiter, Outcome, Permit,
    Sample, Vegas, VegasBuilder,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe};

type Limiter = ConcurrencyLimiter;
type Keys = KeyedConcurrency<String>;

assert_obj_safe!(Algorithm);
assert_impl_all!(Limiter: Send, Sync, Unpin);
assert_impl_all!(AcquirePermit<&'static Limiter>: Send, Sync, Unpin);
assert_impl_all!(AcquirePermit<Arc<Limiter>>: Send, Sync, Unpin);
assert_not_impl_any!(AcquirePermit<Rc<Limiter>>: Send);
assert_impl_all!(Permit<&'static Limiter>: Send, Sync, Unpin);
assert_impl_all!(Permit<Arc<Limiter>>: Send, Sync, Unpin);
assert_impl_all!(Keys: Send, Sync, Unpin);
assert_impl_all!(KeyedConcurrency<Cell<u8>>: Send, Sync);
assert_not_impl_any!(KeyedConcurrency<Rc<u8>>: Send, Sync);
assert_impl_all!(KeyedLimiter<&'static Keys, String>: Send, Sync, Unpin, Clone);
assert_impl_all!(AcquirePermit<KeyedLimiter<Arc<Keys>, String>>: Send, Sync, Unpin);
assert_impl_all!(Permit<KeyedLimiter<Arc<Keys>, String>>: Send, Sync, Unpin);
assert_impl_all!(Gradient2: Send, Sync, Clone, Default);
assert_impl_all!(Vegas: Send, Sync, Clone, Default);
assert_impl_all!(Aimd: Send, Sync, Clone, Default);
assert_impl_all!(Gradient2Builder: Send, Sync, Copy);
assert_impl_all!(VegasBuilder: Send, Sync, Copy);
assert_impl_all!(AimdBuilder: Send, Sync, Copy);
assert_impl_all!(InvalidLimit: Send, Sync, Copy, Error);
assert_impl_all!(ConcurrencySnapshot: Send, Sync, Copy, Eq);
assert_impl_all!(Sample: Send, Sync, Copy, Eq);
assert_impl_all!(Outcome: Send, Sync, Copy, Eq);

#[test]
fn waiting_costs_a_few_words() {
    let size = size_of::<AcquirePermit<&Limiter>>();
    let since = if cfg!(feature = "metrics") { 16 } else { 0 };
    assert!(size <= 80 + since, "{size}");
    assert!(size_of::<Permit<&Limiter>>() <= 48);
}
