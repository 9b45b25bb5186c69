//! The one timer of a limit. No task owns it, so none that is busy, or gone, keeps others waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Waker};
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::{AtomicBool, Mutex};
use tokio::runtime::{Handle, Id};
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// Rings by a waker of the limit's own, which runs where the runtime drives its timers.
///
/// A limit that is used from several runtimes at a time has a bell in each of them: one that is shut down, or that nobody drives
/// for the moment, can't be relied on by the others.
pub(crate) struct Alarm {
    bells: Mutex<Bells>,
    /// A bell rang and found the lock taken, maybe by the very thread that set it. Whoever unlocks sees to it.
    rung: AtomicBool,
}

struct Bells {
    /// [`Timestamp::NEVER`] while nobody waits.
    at: Timestamp,
    /// Counts who has set it, or came to rely on it.
    version: u64,
    bells: Vec<Bell>,
}

struct Bell {
    runtime: Handle,
    /// What it is set to, which is nearer than the alarm's where that is too far for a timer.
    until: Timestamp,
    sleep: Pin<Box<Sleep>>,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Later,
    /// That time has come already.
    Now,
    /// It is not the version any more that it was to be set by.
    Stale,
}

/// It rang, and is not set any more.
const PAST: Timestamp = Timestamp::from_nanos(0);

/// Tokio's timers do not reach to the end of the clock; who waits for longer than this is looked at once on the way.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            bells: Mutex::new(Bells {
                at: Timestamp::NEVER,
                version: 0,
                bells: Vec::new(),
            }),
            rung: AtomicBool::new(false),
        }
    }

    /// To be asked before one looks what to set it to.
    pub(crate) fn version(&self) -> u64 {
        // A ring that came meanwhile is seen by the setting that follows.
        self.bells.lock().version
    }

    /// Sees to it that this runtime has a bell. Gives whether one rang meanwhile.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with timers, as Tokio's timers do.
    #[track_caller]
    pub(crate) fn hang_up_bell(&self, waker: impl FnOnce(Id) -> Waker) -> bool {
        if cfg!(shibuya_loom) {
            return false; // a model has no runtime
        }
        let runtime = Handle::current();
        let mut this = self.bells.lock();
        this.version += 1;
        if !this
            .bells
            .iter()
            .any(|bell| bell.runtime.id() == runtime.id())
        {
            let at = this.at;
            let mut bell = Bell {
                waker: waker(runtime.id()),
                until: reachable(at),
                sleep: Box::pin(sleep_until(instant(reachable(at)))),
                runtime,
            };
            if bell.arm() {
                this.bells.push(bell);
            }
        }
        drop(this);
        self.rung.swap(false, SeqCst)
    }

    /// Sets it to another time, and with [`Timestamp::NEVER`] takes it down, if its version is still that.
    pub(crate) fn set(&self, at: Timestamp, version: u64) -> Set {
        let mut taken_down = Vec::new();
        let mut this = self.bells.lock();
        let mut set = Set::Later;
        if this.version != version {
            set = Set::Stale;
        } else if this.at != at {
            this.version += 1;
            this.at = at;
            if at == Timestamp::NEVER {
                // Dropped when the lock is free.
                std::mem::swap(&mut taken_down, &mut this.bells);
            }
            this.bells.retain_mut(|bell| bell.set(at));
            // By the clock of who asks: with paused ones, another runtime's may be far ahead.
            if at <= Timestamp::now() {
                this.at = PAST;
                set = Set::Now;
            }
        }
        drop(this);
        match self.rung.swap(false, SeqCst) {
            true => Set::Now,
            false => set,
        }
    }

    /// A bell rang. Gives whether it was time.
    pub(crate) fn rang(&self, runtime: Id) -> bool {
        self.rung.store(true, SeqCst);
        let Some(mut this) = self.bells.try_lock() else {
            return false;
        };
        self.rung.store(false, SeqCst);
        let now = Timestamp::now();
        if this.at <= now {
            this.version += 1;
            this.at = PAST;
            return true;
        }
        // It was set anew while it rang; or it was as far as a timer reaches; or its runtime shuts down and rings all that it has.
        let at = this.at;
        let mut dead = Vec::new();
        if let Some(i) = this
            .bells
            .iter()
            .position(|bell| bell.runtime.id() == runtime)
        {
            let bell = &mut this.bells[i];
            let is_dead = match bell.until <= now {
                true => !bell.set(at),
                false => bell.sleep.is_elapsed(),
            };
            if is_dead {
                dead.push(this.bells.swap_remove(i));
            }
        }
        drop(this);
        self.rung.swap(false, SeqCst)
    }
}

fn instant(at: Timestamp) -> Instant {
    at.to_instant().expect("ten years are in reach")
}

fn reachable(at: Timestamp) -> Timestamp {
    at.min(Timestamp::now().after(FAR))
}

impl Bell {
    /// Gives false when the bell's runtime is gone.
    fn set(&mut self, at: Timestamp) -> bool {
        // A new timer in the place of the old one: to reset that would call its waker here, under the lock, if `at` has come already.
        let _entered = self.runtime.enter();
        self.until = reachable(at);
        self.sleep.set(sleep_until(instant(self.until)));
        self.arm()
    }

    /// Has Tokio call the waker. Gives false when the bell's runtime is gone.
    fn arm(&mut self) -> bool {
        let Self { sleep, waker, .. } = self;
        let mut cx = Context::from_waker(waker);
        // Not by the budget of whatever task comes by.
        let poll = || pin!(coop::unconstrained(sleep.as_mut())).poll(&mut cx);
        // Tokio panics when the timer's runtime was shut down, which may happen between its bell and this.
        catch_unwind(AssertUnwindSafe(poll)).is_ok()
    }
}
