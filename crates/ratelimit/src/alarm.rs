//! The one timer of a limit. No task owns it, so none that is busy, or gone, keeps others waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::Mutex;
use tokio::runtime::{Handle, Id};
use tokio::task::coop;
use tokio::time::{Sleep, sleep_until};

/// Rings by a waker of the limit's own, which runs where the runtime drives its timers.
///
/// A limit that is used from several runtimes at a time has a bell in each of them: one that is shut down, or that nobody drives
/// for the moment, can't be relied on by the others.
pub(crate) struct Alarm(Mutex<Bells>);

struct Bells {
    /// [`Timestamp::NEVER`] while nobody waits.
    at: Timestamp,
    bells: Vec<Bell>,
}

struct Bell {
    runtime: Handle,
    sleep: Pin<Box<Sleep>>,
    waker: Waker,
}

/// It rang, and is not set any more.
const PAST: Timestamp = Timestamp::from_nanos(0);

/// Tokio's timers do not reach to the end of the clock; who waits for longer than this is looked at once on the way.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Bells {
            at: Timestamp::NEVER,
            bells: Vec::new(),
        }))
    }

    /// Sees to it that this runtime has a bell.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with timers, as Tokio's timers do.
    #[track_caller]
    pub(crate) fn hang_up_bell(&self, waker: impl FnOnce(Id) -> Waker) {
        if cfg!(shibuya_loom) {
            return; // a model has no runtime
        }
        let runtime = Handle::current();
        let mut this = self.0.lock();
        if this
            .bells
            .iter()
            .any(|bell| bell.runtime.id() == runtime.id())
        {
            return;
        }
        let at = this.at;
        let mut bell = Bell {
            waker: waker(runtime.id()),
            runtime,
            sleep: Box::pin(sleep_until(reachable(at))),
        };
        if bell.arm() {
            this.bells.push(bell);
        }
    }

    /// Sets it to another time, and with [`Timestamp::NEVER`] takes it down. Gives whether that time has come already.
    pub(crate) fn set(&self, at: Timestamp) -> bool {
        let mut taken_down = Vec::new();
        let mut this = self.0.lock();
        if this.at == at {
            return false;
        }
        this.at = at;
        if at == Timestamp::NEVER {
            // Dropped when the lock is free.
            std::mem::swap(&mut taken_down, &mut this.bells);
            drop(this);
            return false;
        }
        this.bells.retain_mut(|bell| bell.set(at));
        // By the clock of who asks: with paused ones, another runtime's may be far ahead.
        let has_come = at <= Timestamp::now();
        if has_come {
            this.at = PAST;
        }
        has_come
    }

    /// A bell rang. Gives whether it was time.
    pub(crate) fn rang(&self, runtime: Id) -> bool {
        let mut this = self.0.lock();
        if this.at > Timestamp::now() {
            // Either it was set anew while it rang, or its runtime shuts down and rings all that it has.
            let is_dead = |bell: &Bell| bell.runtime.id() == runtime && bell.sleep.is_elapsed();
            let dead = this.bells.iter().position(is_dead);
            let _dead = dead.map(|dead| this.bells.swap_remove(dead));
            drop(this);
            return false;
        }
        this.at = PAST;
        true
    }
}

fn reachable(at: Timestamp) -> tokio::time::Instant {
    let far = Timestamp::now().after(FAR);
    at.min(far).to_instant().expect("ten years are in reach")
}

impl Bell {
    /// Gives false when the bell's runtime is gone.
    fn set(&mut self, at: Timestamp) -> bool {
        // A new timer in the place of the old one: to reset that would call its waker here, under the lock, if `at` has come already.
        let _entered = self.runtime.enter();
        self.sleep.set(sleep_until(reachable(at)));
        self.arm()
    }

    /// Has Tokio call the waker. Gives false when the bell's runtime is gone.
    fn arm(&mut self) -> bool {
        let Self { sleep, waker, .. } = self;
        let mut cx = Context::from_waker(waker);
        // Not by the budget of whatever task comes by: when it is used up, the waker would be called here, under the lock.
        let poll = || pin!(coop::unconstrained(sleep.as_mut())).poll(&mut cx);
        // Tokio panics when the timer's runtime was shut down, which may happen between its bell and this.
        catch_unwind(AssertUnwindSafe(poll)).is_ok()
    }
}
