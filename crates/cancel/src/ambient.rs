//! What is in force on this thread right now: the scope, and the deadlines within it.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::bound::Bound;
use crate::limits::Limits;
use crate::node::Node;

thread_local! {
    static SCOPE: RefCell<Option<Arc<Node>>> = const { RefCell::new(None) };
    static LIMITS: Cell<Limits> = const { Cell::new(Limits::NONE) };
}

/// The innermost scope; `None` outside of any, and while the thread ends.
pub fn scope() -> Option<Arc<Node>> {
    with_scope(|scope| scope.cloned())
}

/// Looks at the innermost scope without counting a reference.
pub fn with_scope<R>(f: impl FnOnce(Option<&Arc<Node>>) -> R) -> R {
    let mut f = Some(f);
    let seen = SCOPE.try_with(|scope| (f.take().expect("called once"))(scope.borrow().as_ref()));
    // Only a destructor of another thread-local can get here: it runs outside of any scope.
    seen.unwrap_or_else(|_| (f.take().expect("not called yet"))(None))
}

/// The deadline in force.
pub fn bound() -> Bound {
    limits().bound()
}

/// The deadlines in force.
pub fn limits() -> Limits {
    LIMITS.try_with(Cell::get).unwrap_or(Limits::NONE)
}

/// Sets the deadlines until the guard drops.
pub(crate) fn enter_limits(limits: Limits) -> EnteredLimits {
    EnteredLimits {
        outer: swap_limits(limits),
    }
}

pub(crate) struct EnteredLimits {
    outer: Limits,
}

impl Drop for EnteredLimits {
    fn drop(&mut self) {
        swap_limits(self.outer);
    }
}

/// Puts `scope` and `bound` in force until the guard drops, and nothing else. For what owns all that
/// it polls, as a task does.
pub fn enter(scope: &mut Option<Arc<Node>>, bound: Bound) -> Entered<'_> {
    enter_within(scope, Limits::from(bound))
}

/// Puts `scope` and `limits` in force until the guard drops. The scope moves into the thread-local
/// and back, so a poll counts no references.
pub fn enter_within(scope: &mut Option<Arc<Node>>, limits: Limits) -> Entered<'_> {
    swap_scope(scope);
    Entered {
        slot: scope,
        outer: swap_limits(limits),
        here: PhantomData,
    }
}

/// Leaves the scope when it drops.
#[must_use = "dropping the guard leaves the scope"]
pub struct Entered<'a> {
    slot: &'a mut Option<Arc<Node>>,
    outer: Limits,
    /// It must drop on the thread that it was made on.
    here: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap_scope(self.slot);
        swap_limits(self.outer);
    }
}

fn swap_scope(slot: &mut Option<Arc<Node>>) {
    let _ = SCOPE.try_with(|scope| std::mem::swap(&mut *scope.borrow_mut(), slot));
}

fn swap_limits(limits: Limits) -> Limits {
    LIMITS
        .try_with(|current| current.replace(limits))
        .unwrap_or(Limits::NONE)
}
