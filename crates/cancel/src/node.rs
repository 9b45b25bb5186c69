//! The tree of scopes that cancellation travels down.
//!
//! For crates that build on cancel scopes: a task group makes each of its tasks a node. Programs use
//! [`CancelScope`](crate::CancelScope).
//!
//! # Invariants
//!
//! - The state word only gains bits: `CANCELLED` and the reason's code in one step, under the
//!   node's lock, then perhaps `ABORTED`, and `ENDED` at last. The exception is `DRIVEN`, which goes
//!   with the waker that it stands for.
//! - A child is adopted under its parent's lock, and `CANCELLED` is set under that lock before the
//!   children are listed, so no child slips through between the two.
//! - At most one lock is held at a time, and none while a waker is woken or dropped, nor while a
//!   handle of a node is.
//! - Parents are kept alive by their children, never the other way round. A node stays in its
//!   parent's table for as long as anybody holds it, ended or not.

use std::fmt;
use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::task::Waker;
use std::time::Duration;

use shibuya_waitlist::primitives::{AtomicU32, Mutex};
use shibuya_waitlist::{Latch, WaitList};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::Reason;
use crate::bound::Bound;
use crate::children::Children;
use crate::reason::OTHER;
use crate::role::Role;
use crate::{lineage, roots};

/// One scope of cancellation.
///
/// Of its size there is a test: eight bytes more, and glibc's heap spends another 96 on each task beside
/// Tokio's own 128, which are aligned; that made a hundred thousand tasks a quarter slower.
pub struct Node {
    state: AtomicU32,
    grace_ms: u32,
    bound: Bound,
    parent: Option<Arc<Node>>,
    polls: AtomicU32,
    polled: AtomicU32,
    /// The table's length, readable without its lock.
    slots: AtomicU32,
    fate: AtomicU8,
    local: Mutex<Local>,
    role: Role,
}

#[derive(Default)]
struct Local {
    /// The task that acts when this node is cancelled or aborted.
    driver: Option<Waker>,
    /// Most nodes are tasks without scopes inside that nobody waits on: a word for all of it.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    reason: Option<Reason>,
    children: Children,
    waiters: Option<Arc<WaitList<Latch<()>>>>,
    token: Option<CancellationToken>,
    span: Option<Arc<Span>>,
}

/// Who is to act on a cancellation, once all nodes inside know of it.
#[derive(Default)]
struct Audience {
    waiters: Option<Arc<WaitList<Latch<()>>>>,
    token: Option<CancellationToken>,
    driver: Option<Waker>,
    /// What runs in the leaves, if the node is an owner's.
    leaves: bool,
}

const CANCELLED: u32 = 1;
const ABORTED: u32 = 1 << 1;
const ENDED: u32 = 1 << 2;
/// Somebody cancelled this very node, so its own grace counts and not only one further out.
const ORIGIN: u32 = 1 << 3;
const SHIELDED: u32 = 1 << 4;
/// A waker was stored, so the end has one to drop.
const DRIVEN: u32 = 1 << 5;
/// A leaf: it looks at its parent's state, too.
const LEAF: u32 = 1 << 6;
/// A leaf that is in its parent's table nevertheless.
const ATTACHED: u32 = 1 << 7;
/// Aborts from further out end here, and reach nothing inside.
const SHELTER: u32 = 1 << 8;
/// What runs here has a span.
const SPANNED: u32 = 1 << 9;
const REASON_SHIFT: u32 = 10;

/// With so many children, the table is swept also while they become fewer; what fewer leave behind
/// waits for the next child, or the end.
pub(crate) const BURST: usize = 1024;

impl Node {
    /// A child of `parent` that is cancelled with it, also when that happened already.
    ///
    /// What runs in the node may go on for `grace` after a cancellation of the node itself.
    pub fn child(parent: Arc<Node>, bound: Bound, grace: Duration, role: Role) -> Arc<Self> {
        parent.attach();
        let node = Arc::new(Self::new(Some(parent), bound, grace, role));
        if let Some(parent) = &node.parent {
            parent.adopt(&node);
        }
        node
    }

    /// A child that nobody tells of a cancellation: it looks at its parent's state whenever it is
    /// asked for its own. Only once somebody waits on it, or has a node inside it, does it enter the
    /// parent's table. For tasks: there are many, most are never cancelled, and a cancellation that
    /// has to touch each costs more than all else about it.
    ///
    /// The parent is no leaf itself, and its [`Owner`](crate::raw::Owner) has what runs in its leaves
    /// dropped when it is aborted.
    pub fn leaf(parent: Arc<Node>, bound: Bound, grace: Duration, role: Role) -> Arc<Self> {
        debug_assert_eq!(parent.state.load(Relaxed) & LEAF, 0, "a leaf of a leaf");
        let node = Self::new(Some(parent), bound, grace, role);
        node.state.store(LEAF, Relaxed);
        Arc::new(node)
    }

    /// A child that is told of cancellations and yet, with all inside it, never aborted from further
    /// out. Its bound is [unenforced](Bound::unenforced), as nobody drops it then.
    pub fn shelter(parent: Arc<Node>, bound: Bound, grace: Duration, role: Role) -> Arc<Self> {
        parent.attach();
        let node = Self::new(Some(parent), bound.unenforced(), grace, role);
        node.state.store(SHELTER, Relaxed);
        let node = Arc::new(node);
        if let Some(parent) = &node.parent {
            parent.adopt(&node);
        }
        node
    }

    /// A child in name only: it has its place in the tree, and hears of no cancellation and no
    /// deadline from further out.
    pub fn apart(parent: Arc<Node>, role: Role) -> Arc<Self> {
        let node = Self::new(Some(parent), Bound::NONE, Duration::ZERO, role);
        node.state.store(SHELTER, Relaxed);
        Arc::new(node)
    }

    /// Stands for the absence of a scope.
    pub(crate) fn outside() -> Arc<Self> {
        Self::root(Bound::NONE, Duration::MAX, Role::Outside)
    }

    /// Whether it stands for the absence of a scope.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.role, Role::Outside)
    }

    /// A node that nothing further out cancels.
    pub fn root(bound: Bound, grace: Duration, role: Role) -> Arc<Self> {
        let is_outside = matches!(role, Role::Outside);
        let node = Arc::new(Self::new(None, bound, grace, role));
        if !is_outside {
            roots::add(&node);
        }
        node
    }

    fn new(parent: Option<Arc<Node>>, bound: Bound, grace: Duration, role: Role) -> Self {
        Self {
            state: AtomicU32::new(0),
            polls: AtomicU32::new(0),
            polled: AtomicU32::new(0),
            slots: AtomicU32::new(0),
            fate: AtomicU8::new(0),
            grace_ms: grace_to_ms(grace),
            bound,
            parent,
            local: Mutex::new(Local::default()),
            role,
        }
    }

    /// What the node is.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Counts a poll of a task, by whoever polls it, and keeps the time, on whatever clock that goes by.
    #[inline]
    pub fn note_poll(&self, now: u32) {
        // One thread polls at a time, so nothing is lost between the two.
        let polls = self.polls.load(Relaxed).wrapping_add(1);
        self.polls.store(polls, Relaxed);
        self.polled.store(now, Relaxed);
    }

    /// How often a task was polled, which wraps around, and when it was last.
    pub fn polls(&self) -> (u32, u32) {
        (self.polls.load(Relaxed), self.polled.load(Relaxed))
    }

    /// For the crate above, to note what became of a task.
    pub fn fate(&self) -> &AtomicU8 {
        &self.fate
    }

    /// Has what runs here do so in a span, from its next poll on.
    pub fn set_span(&self, span: Span) {
        let mut local = self.local.lock();
        let old = local
            .rare
            .get_or_insert_default()
            .span
            .replace(Arc::new(span));
        self.state.fetch_or(SPANNED, Relaxed);
        drop(local);
        drop(old);
    }

    /// What is entered around each poll, if somebody listens.
    #[inline]
    pub fn span(&self) -> Option<Arc<Span>> {
        match self.is_spanned() {
            true => self.local.lock().rare.as_ref()?.span.clone(),
            false => None,
        }
    }

    /// Takes it out: what ran here is over, and the node may be held for longer.
    #[inline]
    pub fn take_span(&self) -> Option<Arc<Span>> {
        match self.is_spanned() {
            true => self.local.lock().rare.as_mut()?.span.take(),
            false => None,
        }
    }

    #[inline]
    fn is_spanned(&self) -> bool {
        self.state.load(Relaxed) & SPANNED != 0
    }

    /// The next node further out.
    pub fn parent(&self) -> Option<&Arc<Node>> {
        self.parent.as_ref()
    }

    /// The deadline inside this node.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// How long what runs here may go on after a cancellation of this node: whole milliseconds,
    /// as Tokio's timers have them; `Duration::MAX` for 49 days and more.
    pub fn grace(&self) -> Duration {
        match self.grace_ms {
            u32::MAX => Duration::MAX,
            ms => Duration::from_millis(ms.into()),
        }
    }

    /// Whether the node was cancelled, itself or with one further out.
    pub fn is_cancelled(&self) -> bool {
        self.state() & CANCELLED != 0
    }

    /// The state, with what a leaf has not heard.
    #[inline]
    fn state(&self) -> u32 {
        let own = self.state.load(Acquire);
        own | self.unheard(own)
    }

    /// What a leaf's parent was told, and the leaf was not.
    #[inline]
    fn unheard(&self, own: u32) -> u32 {
        const INHERITED: u32 = CANCELLED | ABORTED;
        match &self.parent {
            Some(parent) if own & LEAF != 0 && own & INHERITED != INHERITED => {
                parent.state.load(Acquire) & INHERITED & !own
            }
            _ => 0,
        }
    }

    /// Whether this very node was cancelled, and not only one further out.
    pub fn is_origin(&self) -> bool {
        self.state.load(Acquire) & ORIGIN != 0
    }

    /// Whether what runs here must be dropped at its next poll.
    pub fn is_aborted(&self) -> bool {
        self.state() & (ABORTED | SHIELDED) == ABORTED
    }

    /// Whether aborts from further out end here.
    pub fn is_shelter(&self) -> bool {
        self.state.load(Acquire) & SHELTER != 0
    }

    /// Whether what runs here was cancelled and is dropped for it, perhaps after a grace: no shelter
    /// lies between here and where the cancellation began.
    pub fn is_doomed(&self) -> bool {
        let mut line = successors(Some(self), |node| node.parent().map(|parent| &**parent));
        self.is_cancelled()
            && line
                .find_map(|node| {
                    let ends = node.is_origin() || node.is_shelter();
                    ends.then(|| node.is_origin())
                })
                .unwrap_or(true)
    }

    /// Whether what ran here is over.
    pub fn has_ended(&self) -> bool {
        self.state.load(Acquire) & ENDED != 0
    }

    /// Why it was cancelled, if it was.
    pub fn reason(&self) -> Option<Reason> {
        if !self.is_cancelled() {
            return None;
        }
        self.known_reason().or_else(|| {
            // A loop: scopes may nest deeper than a stack.
            let mut outer = successors(self.parent(), |node| node.parent());
            outer.find_map(|node| node.known_reason())
        })
    }

    /// The reason, unless it is in words that were said further out.
    fn known_reason(&self) -> Option<Reason> {
        let state = self.state.load(Acquire);
        if state & CANCELLED == 0 {
            return None;
        }
        Reason::from_code(state >> REASON_SHIFT).or_else(|| {
            let local = self.local.lock();
            local.rare.as_ref().and_then(|rare| rare.reason.clone())
        })
    }

    /// Cancels this node and all inside it. Without a grace it aborts, too. Gives whether this
    /// call was the first to cancel.
    pub fn cancel(&self, reason: Reason) -> bool {
        self.signal(reason, if self.grace_ms == 0 { ABORTED } else { 0 })
    }

    /// Cancels this node and all inside it, and leaves it to what runs there to end.
    pub fn request(&self, reason: Reason) {
        self.signal(reason, 0);
    }

    /// Cancels this node and all inside it, and has all of it dropped at its next poll.
    pub fn abort(&self, reason: Reason) {
        self.signal(reason, ABORTED);
    }

    fn signal(&self, reason: Reason, abort: u32) -> bool {
        // What a leaf has not heard yet was said before.
        let unheard = self.unheard(self.state.load(Acquire));
        if unheard != 0 {
            self.tell(None, unheard & ABORTED);
        }
        self.tell(Some(reason), ORIGIN | abort)
    }

    /// Catches up with what a leaf's parent was told, where that has not come down yet, before
    /// something inside the leaf looks.
    fn hear(&self) {
        let own = self.state.load(Acquire);
        if own & ATTACHED != 0 {
            let unheard = self.unheard(own);
            if unheard != 0 {
                self.tell(None, unheard & ABORTED);
            }
        }
    }

    /// Has all inside a leaf told what its parent was told, before what runs there is dropped: also
    /// where another thread has begun to tell it, and has not come that far.
    pub fn hear_out(&self) {
        self.hear();
        let own = self.state.load(Acquire);
        if own & (ATTACHED | CANCELLED) != ATTACHED | CANCELLED {
            return;
        }
        let mut inside = Vec::new();
        let mut pending: Vec<_> = handed(self.inside(), own & ABORTED).collect();
        while let Some((node, abort)) = pending.pop() {
            let abort = node.admits(abort);
            let (_, audience, _) = node.mark(None, abort);
            pending.extend(handed(node.inside(), abort));
            inside.push((node, audience));
        }
        for (node, audience) in inside {
            node.announce(audience);
        }
    }

    /// Marks this node and all inside it, and only then lets anybody act on it: what is dropped for it
    /// finds the same answer in every scope. Gives whether this node was not cancelled before.
    fn tell(&self, said: Option<Reason>, bits: u32) -> bool {
        let bits = match said {
            Some(_) => bits,
            None => self.admits(bits),
        };
        let (first, audience, children) = self.mark(said, bits);
        let mut pending: Vec<_> = handed(children, bits & ABORTED).collect();
        let mut inside = Vec::new();
        // A loop: scopes may nest deeper than a stack.
        while let Some((node, abort)) = pending.pop() {
            let abort = node.admits(abort);
            let (_, audience, children) = node.mark(None, abort);
            pending.extend(handed(children, abort));
            inside.push((node, audience));
        }
        self.announce(audience);
        for (node, audience) in inside {
            node.announce(audience);
        }
        first
    }

    /// What is left of an abort from further out.
    fn admits(&self, bits: u32) -> u32 {
        match self.is_shelter() {
            true => bits & !ABORTED,
            false => bits,
        }
    }

    /// Lets those act who were told of.
    fn announce(&self, audience: Audience) {
        if let Some(waiters) = audience.waiters {
            waiters.lock().open(());
        }
        if let Some(token) = audience.token {
            token.cancel();
        }
        if let Some(driver) = audience.driver {
            driver.wake();
        }
        if let (Role::Owned(owner), true) = (&self.role, audience.leaves) {
            owner.abort_leaves();
        }
    }

    /// Sets the bits here, and gives who is to act on that, and the children that must hear of it too.
    /// Without a reason said to this very node it is the parent's, which is cancelled by then.
    fn mark(&self, said: Option<Reason>, mut bits: u32) -> (bool, Audience, Vec<Arc<Node>>) {
        let mut local = self.local.lock();
        let state = self.state.load(Relaxed);
        let first = state & CANCELLED == 0;
        if !first && bits & !state == 0 {
            return (false, Audience::default(), Vec::new());
        }
        if first {
            let code = match (&said, &self.parent) {
                (Some(reason), _) => reason.code(),
                (None, Some(parent)) => parent.state.load(Acquire) >> REASON_SHIFT,
                (None, None) => Reason::Requested.code(),
            };
            bits |= CANCELLED | code << REASON_SHIFT;
            // The words of a reason are kept where they were said.
            if said.is_some() && code == OTHER {
                local.rare.get_or_insert_default().reason = said;
            }
        }
        // An aborted driver is about to end, so this is its last waker.
        let (driver, spent) = match bits & ABORTED {
            0 => (local.driver.clone(), 0),
            _ => (local.driver.take(), DRIVEN),
        };
        let update = |state| Some((state | bits) & !spent);
        let _ = self.state.fetch_update(Release, Relaxed, update);
        let mut audience = Audience {
            driver,
            leaves: bits & !state & ABORTED != 0,
            ..Audience::default()
        };
        let mut children = Vec::new();
        if let Some(rare) = local.rare.as_ref() {
            children = rare.children.living();
            if first {
                audience.waiters = rare.waiters.clone();
                audience.token = rare.token.clone();
            }
        }
        (first, audience, children)
    }

    /// Registers who acts on cancellation, once per poll; check the state *after* it.
    pub fn drive(&self, waker: &Waker) {
        let mut local = self.local.lock();
        let stale = match &mut local.driver {
            Some(driver) if driver.will_wake(waker) => None,
            driver => driver.replace(waker.clone()),
        };
        self.state.fetch_or(DRIVEN, Relaxed);
        drop(local);
        // Dropping a waker may drop a task, and that may come back here.
        drop(stale);
    }

    /// Like [`drive`](Self::drive), for a driver that always has the same waker, as a spawned task
    /// has: only the first call does something.
    pub fn drive_once(&self, waker: &Waker) {
        if self.state.load(Relaxed) & DRIVEN == 0 {
            self.drive(waker);
        }
    }

    /// Wakes who acts for this node.
    pub fn wake(&self) {
        let driver = self.local.lock().driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Lets this node go on through aborts from further out, until it is over.
    pub fn shield(&self) {
        self.state.fetch_or(SHIELDED, AcqRel);
    }

    /// Whether what runs here goes on through aborts from further out.
    pub fn is_shielded(&self) -> bool {
        self.state.load(Acquire) & SHIELDED != 0
    }

    /// Says that what ran here is over. It is still cancelled with its parent: scopes that were made
    /// here, and futures that look at this one, may live on elsewhere.
    pub fn end(&self) {
        let state = self.state.fetch_or(ENDED, AcqRel);
        if state & DRIVEN != 0 {
            let driver = self.local.lock().driver.take();
            drop(driver);
        }
    }

    /// Has a leaf told of cancellations from now on. What was said before counts as told once this is
    /// done, by whoever does it.
    fn attach(self: &Arc<Self>) {
        let is_apart = |state| state & (LEAF | ATTACHED) == LEAF;
        if is_apart(self.state.load(Relaxed)) && is_apart(self.state.fetch_or(ATTACHED, AcqRel)) {
            if let Some(parent) = &self.parent {
                parent.adopt(self);
            }
        }
    }

    fn adopt(&self, child: &Arc<Node>) {
        self.hear();
        let mut local = self.local.lock();
        let state = self.state.load(Relaxed);
        let rare = local.rare.get_or_insert_default();
        rare.children.push(child);
        self.slots.store(rare.children.len() as u32, Relaxed);
        drop(local);
        if state & CANCELLED != 0 {
            child.tell(None, self.state.load(Acquire) & ABORTED);
        }
    }

    /// One of the children is dropped. Whoever makes children sweeps the table, as it also has their
    /// memory at hand; so that a burst of them leaves nothing behind if no more are made, it is swept
    /// here as well each time the handles of this node have halved. Every child holds one, but so do
    /// leaves that stand apart: beside many of those a sweep comes late or not at all, and then the next
    /// child or the end makes up for it.
    fn forget_one(self: &Arc<Self>) {
        let handles = Arc::strong_count(self);
        let slots = self.slots.load(Relaxed) as usize;
        if handles < BURST || !handles.is_power_of_two() || slots < 4 * handles {
            return;
        }
        let mut local = self.local.lock();
        if let Some(rare) = local.rare.as_mut() {
            rare.children.sweep();
            self.slots.store(rare.children.len() as u32, Relaxed);
        }
    }

    /// The nodes inside that somebody holds, ended or not, without leaves that stand apart.
    pub fn inside(&self) -> Vec<Arc<Node>> {
        let local = self.local.lock();
        local
            .rare
            .as_ref()
            .map_or_else(Vec::new, |rare| rare.children.living())
    }

    /// Where those who wait for the cancellation stand in line.
    pub(crate) fn waiters(self: &Arc<Self>) -> Arc<WaitList<Latch<()>>> {
        self.attach();
        let mut local = self.local.lock();
        let fired = self.is_cancelled();
        let waiters = &mut local.rare.get_or_insert_default().waiters;
        let waiters = waiters.get_or_insert_with(|| {
            let mut latch = Latch::new();
            if fired {
                latch.open(());
            }
            Arc::new(WaitList::new(latch))
        });
        waiters.clone()
    }

    /// A token that is cancelled with this node.
    pub(crate) fn token(self: &Arc<Self>) -> CancellationToken {
        self.attach();
        let mut local = self.local.lock();
        let fired = self.is_cancelled();
        let token = local
            .rare
            .get_or_insert_default()
            .token
            .get_or_insert_default()
            .clone();
        drop(local);
        if fired {
            token.cancel();
        }
        token
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        match self.parent.take() {
            Some(parent) => {
                if self.state.load(Relaxed) & (LEAF | ATTACHED) != LEAF {
                    parent.forget_one();
                }
                lineage::release(parent);
            }
            None if self.is_outside() => {}
            None => roots::forget_one(),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Node")
            .field("cancelled", &(state & CANCELLED != 0))
            .field("aborted", &(state & ABORTED != 0))
            .field("ended", &(state & ENDED != 0))
            .finish_non_exhaustive()
    }
}

/// Who must hear of a cancellation next, and whether it is an abort.
fn handed(nodes: Vec<Arc<Node>>, abort: u32) -> impl Iterator<Item = (Arc<Node>, u32)> {
    nodes.into_iter().map(move |node| (node, abort))
}

fn grace_to_ms(grace: Duration) -> u32 {
    let ms = grace.as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).unwrap_or(u32::MAX)
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;
    use crate::children::SWEEP_MIN;

    fn table(node: &Node) -> (usize, usize) {
        let local = node.local.lock();
        let children = &local.rare.as_ref().expect("it had children").children;
        (children.len(), children.capacity())
    }

    #[test]
    fn a_parent_that_lives_long_forgets_the_children_that_do_not() {
        let parent = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
        let child = || Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run);
        let living = child();
        for _ in 0..1_000_000 {
            child().end();
        }
        let (length, capacity) = table(&parent);
        assert!(length <= 2 * SWEEP_MIN && capacity <= 8 * SWEEP_MIN);
        parent.cancel(Reason::Requested);
        assert!(living.is_cancelled());
    }

    #[test]
    fn a_burst_of_children_leaves_no_big_table() {
        let parent = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
        let burst: Vec<_> = (0..100_000)
            .map(|_| Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run))
            .collect();
        drop(burst);
        let (length, capacity) = table(&parent);
        assert!(length <= 4 * BURST && capacity <= 8 * BURST);
    }

    fn run(parent: &Arc<Node>) -> Arc<Node> {
        Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run)
    }

    #[test]
    fn a_shelter_keeps_aborts_out_and_lets_the_news_in() {
        for early in [true, false] {
            let outer = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
            if early {
                outer.cancel(Reason::Shutdown);
            }
            let shelter = Node::shelter(outer.clone(), Bound::NONE, Duration::ZERO, Role::Run);
            let inside = run(&shelter);
            if !early {
                outer.cancel(Reason::Shutdown);
            }
            let late = run(&run(&shelter));
            for node in [&shelter, &inside, &late] {
                assert_eq!(node.reason(), Some(Reason::Shutdown));
                assert!(!node.is_aborted() && !node.is_doomed());
            }
            assert!(outer.is_doomed());
            inside.cancel(Reason::Requested);
            assert!(inside.is_aborted() && inside.is_doomed() && !shelter.is_aborted());
            shelter.abort(Reason::Requested);
            assert!(late.is_aborted() && shelter.is_aborted());
        }
    }

    #[test]
    fn what_is_apart_hears_nothing() {
        let outer = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
        outer.cancel(Reason::Shutdown);
        let apart = Node::apart(outer.clone(), Role::Run);
        let inside = run(&apart);
        outer.abort(Reason::Dropped);
        assert!(!apart.is_cancelled() && !inside.is_cancelled() && apart.is_shelter());
        apart.cancel(Reason::Requested);
        assert!(inside.is_aborted());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_node_is_small() {
        let counters = 2 * size_of::<usize>();
        assert!(counters + size_of::<Node>() <= 136, "{}", size_of::<Node>());
    }

    #[test]
    fn a_grace_is_whole_milliseconds_rounded_up() {
        let grace = |d| Node::root(Bound::NONE, d, Role::Run).grace();
        assert_eq!(grace(Duration::ZERO), Duration::ZERO);
        assert_eq!(grace(Duration::from_nanos(1)), Duration::from_millis(1));
        assert_eq!(grace(Duration::from_millis(7)), Duration::from_millis(7));
        assert_eq!(grace(Duration::from_secs(50 * 86_400)), Duration::MAX);
        assert_eq!(grace(Duration::MAX), Duration::MAX);
    }
}
