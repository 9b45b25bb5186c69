//! What the compiler is asked to keep: which types cross threads, and how large futures are.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::error::Error;
use std::future::{Pending, Ready};
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use shibuya_cancel::header::InvalidHeader;
use shibuya_cancel::raw::{Bound, Entered, Node, Timestamp};
use shibuya_cancel::{
    Builder, CancelAfter, CancelScope, Cancelled, Deadline, Elapsed, Reason, Run, Scoped, Step,
    TimeoutOr, UntilCancelled,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

type Local = Pending<Rc<()>>;
type LocalFuture = Ready<Rc<()>>;
type Anywhere = Pending<()>;
type Pinned = tokio::time::Sleep;

assert_impl_all!(CancelScope: Send, Sync, Unpin, Clone, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Builder: Send, Sync, Unpin, Clone);
assert_impl_all!(Reason: Send, Sync, Unpin, Clone, UnwindSafe);
assert_impl_all!(Cancelled: Send, Sync, Unpin, Clone, Error);
assert_impl_all!(Elapsed: Send, Sync, Unpin, Copy, Error);
assert_impl_all!(InvalidHeader: Send, Sync, Unpin, Copy, Error);
assert_impl_all!(Bound: Send, Sync, Copy);
assert_impl_all!(Timestamp: Send, Sync, Copy, Ord);
assert_impl_all!(Node: Send, Sync);
assert_impl_all!(UntilCancelled: Send, Sync, Unpin);

// A future around another crosses threads as that one does, and is never `Unpin`: it holds a timer.
assert_impl_all!(Deadline<Anywhere>: Send, Sync);
assert_impl_all!(TimeoutOr<Anywhere>: Send, Sync);
assert_impl_all!(CancelAfter<Anywhere>: Send, Sync);
assert_impl_all!(Run<Anywhere>: Send, Sync);
assert_impl_all!(Scoped<Anywhere>: Send, Sync, Unpin);
assert_impl_all!(Step<Anywhere>: Send, Sync, Unpin);
assert_not_impl_any!(Step<LocalFuture>: Send, Sync);
assert_not_impl_any!(Deadline<Anywhere>: Unpin);
assert_not_impl_any!(TimeoutOr<Anywhere>: Unpin);
assert_not_impl_any!(CancelAfter<Anywhere>: Unpin);
assert_not_impl_any!(Run<Anywhere>: Unpin);
assert_not_impl_any!(Scoped<Pinned>: Unpin);
assert_not_impl_any!(Scoped<PhantomPinned>: Unpin);
assert_not_impl_any!(Deadline<LocalFuture>: Send, Sync);
assert_not_impl_any!(TimeoutOr<LocalFuture>: Send, Sync);
assert_not_impl_any!(CancelAfter<LocalFuture>: Send, Sync);
assert_not_impl_any!(Run<LocalFuture>: Send, Sync);
assert_not_impl_any!(Scoped<LocalFuture>: Send, Sync);
assert_not_impl_any!(Scoped<Cell<()>>: Sync);
// The default is kept in the future.
assert_not_impl_any!(TimeoutOr<Local>: Send);

// A guard restores the thread that it was made on.
assert_not_impl_any!(Entered<'static>: Send);

/// The most that a future may weigh beyond the one that it runs. These are what they were when this
/// was written (Tokio's `Sleep` alone has 112 bytes); tasks hold them by the thousand.
#[test]
fn futures_do_not_grow() {
    type Inner = [u64; 8];
    fn beyond<F>() -> usize {
        size_of::<F>() - size_of::<Inner>()
    }
    let sleep = size_of::<tokio::time::Sleep>();
    let sizes = [
        ("Deadline", beyond::<Deadline<Inner>>(), sleep + 24),
        ("CancelAfter", beyond::<CancelAfter<Inner>>(), sleep + 16),
        ("Run", beyond::<Run<Inner>>(), sleep + 48),
        ("Step", beyond::<Step<Inner>>(), 48),
        ("Scoped", beyond::<Scoped<Inner>>(), 24),
    ];
    for (name, size, most) in sizes {
        println!("{name}: {size} of {most}");
        assert!(
            size <= most,
            "{name} weighs {size} bytes beyond its future, {most} at most"
        );
    }
    println!("UntilCancelled: {} of 24", size_of::<UntilCancelled>());
    assert!(size_of::<UntilCancelled>() <= 24);
    assert_eq!(size_of::<CancelScope>(), size_of::<usize>());
}
