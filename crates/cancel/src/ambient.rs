//! What is in force on this thread right now: the scope, and the deadlines within it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Context;

use crate::bound::Bound;
use crate::clock::Timestamp;
use crate::cut::Cut;
use crate::node::Node;

thread_local! {
    // Never empty: outside of any scope it holds a node that says so. Hence a scope is swapped in
    // and out as it is, and who keeps one needs no room for its absence.
    static SCOPE: RefCell<Arc<Node>> = RefCell::new(Node::outside());
    /// The deadline to be seen. It cuts if a task is polled here, which owns all that is inside.
    static BOUND: Cell<Bound> = const { Cell::new(Bound::NONE) };
    /// The deadline that is enforced by one future around another.
    static CUT: Cell<Cut> = const { Cell::new(Cut::NONE) };
}

/// The innermost scope; `None` outside of any, and while the thread ends.
pub fn scope() -> Option<Arc<Node>> {
    with_scope(|scope| scope.cloned())
}

/// The innermost scope, or the node that stands for none.
pub(crate) fn scope_or_outside() -> Arc<Node> {
    SCOPE
        .try_with(|scope| scope.borrow().clone())
        .unwrap_or_else(|_| Node::outside())
}

/// Looks at the innermost scope without counting a reference.
pub fn with_scope<R>(f: impl FnOnce(Option<&Arc<Node>>) -> R) -> R {
    let mut f = Some(f);
    let mut call = |scope: Option<&Arc<Node>>| (f.take().expect("called once"))(scope);
    let seen = SCOPE.try_with(|scope| {
        let scope = scope.borrow();
        call(Some(&*scope).filter(|scope| !scope.is_outside()))
    });
    // Only a destructor of another thread-local can get here: it runs outside of any scope.
    seen.unwrap_or_else(|_| call(None))
}

/// The deadline in force. It cuts if a task or a group owns all that is polled here; one that merely
/// runs a future says so to [`covers`] alone, since it may be outlived.
pub fn bound() -> Bound {
    BOUND.try_with(Cell::get).unwrap_or(Bound::NONE)
}

/// Whether a deadline `at` of what is polled with `cx` would come too late to matter.
pub fn covers(at: Timestamp, cx: &Context<'_>) -> bool {
    let cut = CUT.try_with(Cell::get).unwrap_or(Cut::NONE);
    bound().covers(at) || cut.covers(at, cx)
}

/// Until the guard drops, what is polled with `cx` sees the deadline `at` and is dropped then, by
/// the caller.
pub fn enter_deadline(at: Timestamp, cx: &Context<'_>) -> EnteredDeadline {
    EnteredDeadline {
        bound: swap_bound(Bound::new(at, false).min(bound())),
        cut: swap_cut(Cut::new(at, cx)),
        here: PhantomData,
    }
}

/// Leaves the deadline when it drops.
#[must_use = "dropping the guard leaves the deadline"]
pub struct EnteredDeadline {
    bound: Bound,
    cut: Cut,
    /// It must drop on the thread that it was made on.
    here: PhantomData<*const ()>,
}

impl fmt::Debug for EnteredDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnteredDeadline").finish_non_exhaustive()
    }
}

impl Drop for EnteredDeadline {
    fn drop(&mut self) {
        swap_bound(self.bound);
        swap_cut(self.cut);
    }
}

/// Puts `scope` and `bound` in force until the guard drops. The scope moves into the thread-local
/// and back, so a poll counts no references.
pub fn enter(scope: &mut Arc<Node>, bound: Bound) -> Entered<'_> {
    swap_scope(scope);
    Entered {
        slot: scope,
        outer: swap_bound(bound),
        here: PhantomData,
    }
}

/// Leaves the scope when it drops.
#[must_use = "dropping the guard leaves the scope"]
pub struct Entered<'a> {
    slot: &'a mut Arc<Node>,
    outer: Bound,
    /// It must drop on the thread that it was made on.
    here: PhantomData<*const ()>,
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap_scope(self.slot);
        swap_bound(self.outer);
    }
}

fn swap_scope(slot: &mut Arc<Node>) {
    let _ = SCOPE.try_with(|scope| std::mem::swap(&mut *scope.borrow_mut(), slot));
}

fn swap_bound(bound: Bound) -> Bound {
    BOUND
        .try_with(|current| current.replace(bound))
        .unwrap_or(Bound::NONE)
}

fn swap_cut(cut: Cut) -> Cut {
    CUT.try_with(|current| current.replace(cut))
        .unwrap_or(Cut::NONE)
}
