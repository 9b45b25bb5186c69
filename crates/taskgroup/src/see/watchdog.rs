//! Tells which task keeps its thread, *while* it does.
//!
//! A task that computes, or blocks, between two awaits lets all others wait that share its thread. What
//! measures a poll once it is over never speaks of the one that isn't. So a thread of its own looks every
//! 20 ms at what each thread polls, and says so once a poll lasts longer than the
//! [threshold](set_threshold): in the log (`tracing`, level `WARN`), again each time the duration has
//! doubled, and to [`on_stuck`]. The thread is started by the first task that is polled; while none is, it looks
//! once a second.
//!
//! Only tasks of task groups, and the groups' bodies, are seen. Closures on blocking threads may block. What a
//! task does in Tokio's `block_in_place` counts as well, though the others go on then; and so does the time
//! for which the whole process is stopped, as by a debugger.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_cancel::{Name, TaskId};

use super::desk::{self, Desk};
use super::{coarse, walk};

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// How often it looks while nothing happens.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// So many looks without a poll, and it counts as idle.
const QUIET: u32 = 50;

static THRESHOLD_MS: AtomicU64 = AtomicU64::new(1000);
static IS_IDLE: AtomicBool = AtomicBool::new(false);
static THREAD: OnceLock<Thread> = OnceLock::new();
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

type Listener = Arc<dyn Fn(&Stuck) + Send + Sync>;

/// A task that keeps its thread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stuck {
    /// Its number, or that of the group whose body it is.
    pub id: TaskId,
    /// Its name; empty if it has none.
    pub name: Name,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// The thread that it keeps.
    pub thread: String,
    /// How long the poll has lasted, to about 20 ms.
    pub polled_for: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            location,
            thread,
            polled_for,
            ..
        } = self;
        match name.is_unnamed() {
            true => write!(f, "the task spawned at {location}")?,
            false => write!(f, "task `{name}`, spawned at {location},")?,
        }
        write!(
            f,
            " has kept thread `{thread}` for {polled_for:.1?} without an await"
        )
    }
}

/// From which duration on a poll is spoken of, in whole milliseconds. Default: a second.
///
/// # Panics
///
/// When `threshold` is less than 100 ms: that would be the noise of a busy machine.
#[track_caller]
pub fn set_threshold(threshold: Duration) {
    assert!(
        threshold >= Duration::from_millis(100),
        "a watchdog's threshold of {threshold:?} is within the noise; the least is 100 ms"
    );
    let ms = u64::try_from(threshold.as_millis()).unwrap_or(u64::MAX);
    THRESHOLD_MS.store(ms, Relaxed);
}

/// Calls `listener` whenever a task is found stuck, on the watchdog's thread; it replaces the one
/// before. One that panics is not called again.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::{dump, watchdog};
///
/// watchdog::on_stuck(|stuck| eprintln!("{stuck}\n{}", dump()));
/// ```
pub fn on_stuck(listener: impl Fn(&Stuck) + Send + Sync + 'static) {
    let former = self::listener().replace(Arc::new(listener));
    drop(former);
}

fn listener() -> MutexGuard<'static, Option<Listener>> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the watchdog knows of one thread, as a pure function of what it reads there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Watch {
    poll: (usize, u64),
    /// When this poll was first seen.
    since: Option<Timestamp>,
    /// When it is to be spoken of next, counted from there.
    next: Duration,
}

/// The poll that is seen has lasted for so long.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    Stuck(Duration),
    /// The one that was spoken of is over.
    Over(Duration),
}

impl Watch {
    fn look(&mut self, poll: (usize, u64), now: Timestamp, threshold: Duration) -> Option<Finding> {
        let lasted = self.since.map_or(Duration::ZERO, |since| now.since(since));
        if poll != self.poll || poll.0 == 0 {
            let was_told = self.next > Duration::ZERO;
            *self = Self {
                poll,
                since: (poll.0 != 0).then_some(now),
                next: Duration::ZERO,
            };
            return was_told.then_some(Finding::Over(lasted));
        }
        if lasted < threshold.max(self.next) {
            return None;
        }
        self.next = lasted.saturating_mul(2);
        Some(Finding::Stuck(lasted))
    }
}

/// Starts the thread, if it isn't there.
pub(super) fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        coarse::set(Timestamp::real());
        let thread = std::thread::Builder::new().name("shibuya-watchdog".into());
        match thread.spawn(watch) {
            Ok(thread) => {
                let _ = THREAD.set(thread.thread().clone());
            }
            Err(error) => tracing::warn!(%error, "no thread for the watchdog: nobody looks"),
        }
    });
}

/// A poll begins: nothing is idle any more.
#[inline]
pub(super) fn stay_awake() {
    if IS_IDLE.load(Relaxed) {
        wake();
    }
}

#[cold]
fn wake() {
    IS_IDLE.store(false, Relaxed);
    coarse::set(Timestamp::real());
    if let Some(thread) = THREAD.get() {
        thread.unpark();
    }
}

fn watch() {
    let mut threads: Vec<Watched> = Vec::new();
    let mut quiet = 0;
    loop {
        // A poll that begins between the two is met by the next look, a second later at most.
        std::thread::park_timeout(match IS_IDLE.load(Relaxed) {
            true => IDLE_TICK,
            false => TICK,
        });
        let now = Timestamp::real();
        coarse::set(now);
        let threshold = Duration::from_millis(THRESHOLD_MS.load(Relaxed));
        threads.retain(|thread| thread.desk.strong_count() > 0);
        quiet += 1;
        for desk in desk::all() {
            let place = threads.iter().position(|thread| thread.is_of(&desk));
            let place = place.unwrap_or_else(|| {
                threads.push(Watched::new(&desk));
                threads.len() - 1
            });
            let look = || threads[place].look(&desk, now, threshold);
            // Whoever takes the log may panic; the watch goes on.
            if catch_unwind(AssertUnwindSafe(look)).unwrap_or(true) {
                quiet = 0;
            }
        }
        IS_IDLE.store(quiet >= QUIET, Relaxed);
    }
}

/// A thread that is watched, and what was told of it.
struct Watched {
    desk: Weak<Desk>,
    watch: Watch,
    told: Option<Stuck>,
}

impl Watched {
    fn new(desk: &Arc<Desk>) -> Self {
        Self {
            desk: Arc::downgrade(desk),
            watch: Watch::default(),
            told: None,
        }
    }

    fn is_of(&self, desk: &Arc<Desk>) -> bool {
        std::ptr::eq(self.desk.as_ptr(), Arc::as_ptr(desk))
    }

    /// Gives whether something was polled there.
    fn look(&mut self, desk: &Desk, now: Timestamp, threshold: Duration) -> bool {
        let (poll, before) = (desk.poll(), self.watch.poll);
        match self.watch.look(poll, now, threshold) {
            Some(Finding::Stuck(polled_for)) => {
                if let Some(stuck) = self.told.take().or_else(|| find(poll, desk)) {
                    let stuck = Stuck {
                        polled_for,
                        ..stuck
                    };
                    tell(&stuck);
                    self.told = Some(stuck);
                }
            }
            Some(Finding::Over(lasted)) => {
                if let Some(stuck) = self.told.take() {
                    let Stuck {
                        name,
                        location,
                        thread,
                        ..
                    } = stuck;
                    tracing::warn!(task = %name, spawned = %location, thread, ?lasted, "not stuck any more");
                }
            }
            None => {}
        }
        poll.0 != 0 || poll != before
    }
}

fn find(poll: (usize, u64), desk: &Desk) -> Option<Stuck> {
    let (id, name, location) = walk::find(poll.0)?;
    // If the poll is over by now, another may have been made in the place of what it was of.
    (desk.poll() == poll).then(|| Stuck {
        id,
        name,
        location,
        thread: desk.thread.clone(),
        polled_for: Duration::ZERO,
    })
}

fn tell(stuck: &Stuck) {
    let Stuck {
        name,
        location,
        thread,
        polled_for,
        ..
    } = stuck;
    tracing::warn!(task = %name, spawned = %location, thread, ?polled_for, "stuck: it keeps its thread");
    let Some(listener) = listener().clone() else {
        return;
    };
    if catch_unwind(AssertUnwindSafe(|| listener(stuck))).is_err() {
        let mut slot = self::listener();
        let is_same = slot.as_ref().is_some_and(|now| Arc::ptr_eq(now, &listener));
        let panicked = if is_same { slot.take() } else { None };
        drop(slot);
        drop(panicked);
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is said when each of these polls is seen, a quarter of a second apart.
    fn said(polls: &[(usize, u64)]) -> Vec<(usize, Finding)> {
        let mut watch = Watch::default();
        let mut now = Timestamp::from_nanos(5);
        let mut said = Vec::new();
        for (at, &poll) in polls.iter().enumerate() {
            said.extend(watch.look(poll, now, SECOND).map(|finding| (at, finding)));
            now = now.after(SECOND / 4);
        }
        said
    }

    #[test]
    fn who_polls_anew_each_time_is_not_stuck() {
        assert_eq!(said(&[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]), []);
        assert_eq!(said(&[(0, 7); 30]), [], "nothing is polled");
    }

    #[test]
    fn one_poll_is_told_at_the_threshold_and_whenever_it_has_doubled() {
        use Finding::{Over, Stuck};
        let mut polls = vec![(1, 1); 20];
        polls.extend([(0, 1), (2, 2), (2, 2)]);
        assert_eq!(
            said(&polls),
            [
                (4, Stuck(SECOND)),
                (8, Stuck(2 * SECOND)),
                (16, Stuck(4 * SECOND)),
                (20, Over(5 * SECOND))
            ]
        );
    }

    #[test]
    fn the_next_poll_of_the_same_task_begins_anew() {
        use Finding::{Over, Stuck};
        let mut polls = vec![(1, 1); 5];
        polls.extend(vec![(1, 2); 5]);
        assert_eq!(
            said(&polls),
            [
                (4, Stuck(SECOND)),
                (5, Over(SECOND * 5 / 4)),
                (9, Stuck(SECOND))
            ]
        );
    }
}
