use std::fmt;
use std::mem;
use std::task::Waker;

use crate::primitives::{Mutex, MutexGuard};
use crate::slab::{LANES_MAX, Slab, Ticket};
use crate::wake::WakeBatch;
use crate::{Closed, Guard, Serve, TryError, Wait};

/// A list of waiting tasks around a state that serves them, FIFO in each of its [lanes](Serve::LANES), of which there is one
/// unless the state says otherwise. See the [crate's documentation](crate) for a program.
///
/// Dropping the list drops the state. Waiters borrow the list or share it, so none is left then.
pub struct WaitList<S: Serve> {
    core: Mutex<Core<S>>,
}

/// What the lock protects. Invariant whenever it is free: no lane's head can be served by the state as it is, unless somebody is
/// on the way to do so, between two batches.
pub(crate) struct Core<S: Serve> {
    pub(crate) state: S,
    closed: [bool; LANES_MAX],
    /// Allocated by the first waiter, so that an idle list is a few words.
    waiters: Option<Box<Waiters<S>>>,
}

type Waiters<S> = Slab<Waiter<<S as Serve>::Request, <S as Serve>::Grant>>;

/// A waiter's entry. It belongs to one [`Wait`], which alone removes it.
pub(crate) struct Waiter<R, G> {
    /// Stays until the waiter leaves, even when it is spent: its destructor is foreign code, not to be run under the lock.
    request: R,
    status: Status<G>,
}

/// A waiter is in the FIFO while it is `Waiting`, and not any more when it is settled.
enum Status<G> {
    Waiting(Waker),
    Granted(G),
    Refused,
}

/// What a waiter leaves behind. To be dropped after unlocking: all of it may run foreign code, or free a lot of memory.
pub(crate) struct Left<S: Serve> {
    waiter: Waiter<S::Request, S::Grant>,
    _spare: Option<Box<Waiters<S>>>,
}

pub(crate) enum Admission<G> {
    Served(G),
    Busy,
    Closed,
}

impl<S: Serve> WaitList<S> {
    /// An open list around `state`, with nobody waiting. Doesn't allocate.
    #[cfg(not(shibuya_loom))]
    pub const fn new(state: S) -> Self {
        const {
            assert!(
                S::LANES >= 1 && S::LANES <= LANES_MAX,
                "a list has one lane, or up to four"
            )
        };
        Self {
            core: Mutex::new(Core {
                state,
                closed: [false; LANES_MAX],
                waiters: None,
            }),
        }
    }

    /// An open list around `state`, with nobody waiting. Loom's mutex can't be made in a constant.
    #[cfg(shibuya_loom)]
    pub fn new(state: S) -> Self {
        Self {
            core: Mutex::new(Core {
                state,
                closed: [false; LANES_MAX],
                waiters: None,
            }),
        }
    }

    /// Locks the state. When the guard drops, waiters are served from the head of each lane for as long as the state allows,
    /// the list is unlocked, and then they are woken.
    ///
    /// Blocks the thread while another holds the lock. Whoever holds the guard must let go of it before anything else with
    /// this list: locking it again, or polling or dropping one of its waiters, deadlocks.
    #[inline]
    pub fn lock(&self) -> Guard<'_, S> {
        Guard::new(self, self.core.lock())
    }

    /// Serves the request at once or not at all. Never passes a waiter in its lane.
    ///
    /// # Errors
    ///
    /// [`TryError::Busy`] if others wait in its lane or the state refuses, [`TryError::Closed`] if the lane is closed. Both
    /// hand the request back.
    pub fn try_acquire(&self, mut request: S::Request) -> Result<S::Grant, TryError<S::Request>> {
        let mut core = self.core.lock();
        let admission = core.admit(&mut request);
        match admission {
            Admission::Served(grant) => Ok(self.admitted(core, grant)),
            Admission::Busy => Err(TryError::Busy(request)),
            Admission::Closed => Err(TryError::Closed(request)),
        }
    }

    /// Waits in line until the request is served or the list is closed. [`Wait::new`] is the same for an owned pointer.
    pub fn wait(&self, request: S::Request) -> Wait<&Self> {
        Wait::new(self, request)
    }

    /// Refuses all who wait and all who come later, handing their requests back. Grants that were already handed over
    /// stay good, and can still be [taken back](Serve::take_back). The state stays reachable through [`lock`](Self::lock).
    pub fn close(&self) {
        Guard::close(&mut self.lock());
    }

    /// Whether the list was closed, in all its lanes.
    pub fn is_closed(&self) -> bool {
        self.core.lock().is_closed()
    }

    /// How many wait now. Those who were served and haven't looked yet don't count.
    pub fn len(&self) -> usize {
        self.core.lock().waiting()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock()
    }

    /// The end of an admission. What one lane got may be what another waits for: a value that was put, the room of one that
    /// was taken.
    pub(crate) fn admitted(&self, core: MutexGuard<'_, Core<S>>, grant: S::Grant) -> S::Grant {
        if S::LANES == 1 {
            return grant;
        }
        let unseen = Unseen {
            list: self,
            grant: Some(grant),
        };
        self.serve(core);
        unseen.into_grant()
    }

    /// Settles waiters from the head for as long as it goes, and wakes them batch by batch, always with the lock free.
    pub(crate) fn serve<'a>(&'a self, mut core: MutexGuard<'a, Core<S>>) {
        // Most unlocks end here: no head can be served yet.
        if let Some(first) = core.settle_next() {
            self.serve_on(core, first);
        }
    }

    fn serve_on<'a>(&'a self, core: MutexGuard<'a, Core<S>>, first: Waker) {
        let mut served = WakeBatch::new(first);
        // A local declared after the batch: when `try_serve` panics, it unlocks before the batch wakes.
        let mut core = core;
        loop {
            while !served.is_full() {
                match core.settle_next() {
                    Some(waker) => served.push(waker),
                    None => break,
                }
            }
            let more = served.is_full();
            drop(core);
            served.wake_all();
            if !more {
                return served.finish();
            }
            core = self.core.lock();
        }
    }

    /// The drop of a waiter: what it was handed goes back, and whoever can be served now is.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        // Declared before the guard, so that it is dropped after it even when `take_back` panics.
        let left;
        let mut guard = self.lock();
        left = guard.core().leave(ticket);
        if let Status::Granted(grant) = left.waiter.status {
            guard.take_back(grant);
        }
    }
}

impl<S: Serve> Core<S> {
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.as_ref().map_or(0, |waiters| waiters.linked())
    }

    fn is_closed(&self) -> bool {
        self.closed[..S::LANES].iter().all(|&closed| closed)
    }

    pub(crate) fn waiting_in(&self, lane: usize) -> usize {
        self.waiters.as_ref().map_or(0, |waiters| waiters.len(lane))
    }

    pub(crate) fn close(&mut self, lane: usize) {
        self.closed[lane] = true;
    }

    /// What a newcomer gets: nobody passes those who wait in its lane.
    pub(crate) fn admit(&mut self, request: &mut S::Request) -> Admission<S::Grant> {
        let lane = S::lane(request);
        assert_lane::<S>(lane);
        if self.closed[lane] {
            return Admission::Closed;
        }
        if self.waiting_in(lane) > 0 {
            return Admission::Busy;
        }
        match self.state.try_serve(request) {
            Some(grant) => Admission::Served(grant),
            None => Admission::Busy,
        }
    }

    pub(crate) fn enqueue(&mut self, request: S::Request, waker: Waker) -> Ticket {
        let waiters = self.waiters.get_or_insert_with(|| Box::new(Slab::new()));
        let lane = S::lane(&request);
        let status = Status::Waiting(waker);
        waiters.push_back(lane, Waiter { request, status })
    }

    /// Settles a lane's head, if there is one that can be. The caller calls the waker after unlocking.
    fn settle_next(&mut self) -> Option<Waker> {
        // To serve one lane may be what lets an earlier one be served, so each round asks all.
        (0..S::LANES).find_map(|lane| self.settle_head(lane))
    }

    fn settle_head(&mut self, lane: usize) -> Option<Waker> {
        let waiters = self.waiters.as_deref_mut()?;
        let head = waiters.front(lane)?;
        let waiter = waiters.get_mut(head);
        let status = if self.closed[lane] {
            Status::Refused
        } else {
            Status::Granted(self.state.try_serve(&mut waiter.request)?)
        };
        let Status::Waiting(waker) = mem::replace(&mut waiter.status, status) else {
            unreachable!("only waiting entries are linked");
        };
        waiters.unlink(lane, head);
        Some(waker)
    }

    /// The outcome of a settled waiter, or else the waker to be called from now on. The old waker is the caller's to drop.
    pub(crate) fn watch(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> Result<Left<S>, Option<Waker>> {
        let waiters = self.waiters.as_deref_mut().expect(OCCUPIED);
        match &mut waiters.get_mut(ticket).status {
            Status::Waiting(current) if current.will_wake(waker) => Err(None),
            Status::Waiting(current) => Err(Some(mem::replace(current, waker.clone()))),
            Status::Granted(_) | Status::Refused => Ok(self.leave(ticket)),
        }
    }

    /// Removes a waiter, wherever it stands.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Left<S> {
        let waiters = self.waiters.as_deref_mut().expect(OCCUPIED);
        let waiter = waiters.get_mut(ticket);
        if let Status::Waiting(_) = waiter.status {
            self.state.delist(&mut waiter.request);
            let lane = S::lane(&waiter.request);
            waiters.unlink(lane, ticket);
        }
        let waiter = waiters.remove(ticket);
        let spare = if waiters.is_spare() {
            self.waiters.take()
        } else {
            None
        };
        Left {
            waiter,
            _spare: spare,
        }
    }
}

/// A grant on its way to whoever asked, who panics before seeing it if somebody else's waker does.
struct Unseen<'a, S: Serve> {
    list: &'a WaitList<S>,
    grant: Option<S::Grant>,
}

impl<S: Serve> Unseen<'_, S> {
    fn into_grant(mut self) -> S::Grant {
        self.grant.take().expect("it is taken once")
    }
}

impl<S: Serve> Drop for Unseen<'_, S> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.list.lock().take_back(grant);
        }
    }
}

/// A lane that nobody serves would never be woken.
#[track_caller]
pub(crate) fn assert_lane<S: Serve>(lane: usize) {
    assert!(lane < S::LANES, "there is no lane {lane}, but {}", S::LANES);
}

const OCCUPIED: &str = "a waiter has an entry until it leaves";

impl<S: Serve> Left<S> {
    /// What a settled waiter gets.
    pub(crate) fn into_outcome(self) -> Result<S::Grant, Closed<S::Request>> {
        match self.waiter.status {
            Status::Granted(grant) => Ok(grant),
            Status::Refused => Err(Closed(self.waiter.request)),
            Status::Waiting(_) => unreachable!("only settled waiters have an outcome"),
        }
    }
}

impl<S: Serve + Default> Default for WaitList<S> {
    fn default() -> Self {
        Self::new(S::default())
    }
}

impl<S: Serve> fmt::Debug for WaitList<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("WaitList");
        // Never blocks: it may be printed by who holds the lock.
        match self.core.try_lock() {
            Some(core) => debug
                .field("waiting", &core.waiting())
                .field("closed", &core.is_closed()),
            None => debug.field("locked", &true),
        };
        debug.finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    struct Never;

    impl Serve for Never {
        type Request = ();
        type Grant = ();

        fn try_serve(&mut self, (): &mut ()) -> Option<()> {
            None
        }

        fn take_back(&mut self, (): ()) {}
    }

    fn waiting(list: &WaitList<Never>) -> Wait<&WaitList<Never>> {
        let mut wait = list.wait(());
        assert!(
            Pin::new(&mut wait)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        wait
    }

    fn allocated(list: &WaitList<Never>) -> Option<usize> {
        list.core()
            .waiters
            .as_ref()
            .map(|waiters| waiters.capacity())
    }

    #[test]
    fn nothing_is_allocated_before_the_first_waiter() {
        let list = WaitList::new(Never);
        drop(list.wait(()));
        drop(list.lock());
        assert!(list.try_acquire(()).is_err());
        assert_eq!(allocated(&list), None);
    }

    #[test]
    fn entries_are_reused() {
        let list = WaitList::new(Never);
        let _stays = waiting(&list);
        for _ in 0..1000 {
            drop(waiting(&list));
        }
        assert!(allocated(&list).unwrap() <= 4);
    }

    #[test]
    fn a_small_slab_is_kept_and_a_large_one_given_back() {
        let list = WaitList::new(Never);
        drop([(); 10].map(|()| waiting(&list)));
        assert!(allocated(&list).is_some());
        drop([(); 1000].map(|()| waiting(&list)));
        assert_eq!(allocated(&list), None);
    }

    #[test]
    fn a_million_leave_in_any_order() {
        const MILLION: usize = 1_000_000;
        const STRIDE: usize = 7_919; // prime to a million, so that it visits all
        let list = WaitList::new(Never);
        let mut waiters: Vec<_> = (0..MILLION).map(|_| Some(waiting(&list))).collect();
        for i in 0..MILLION {
            waiters[i * STRIDE % MILLION] = None;
            assert_eq!(list.len(), MILLION - 1 - i);
        }
        assert_eq!(allocated(&list), None);
    }
}
