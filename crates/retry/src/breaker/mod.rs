//! A circuit breaker: asks no more of who fails too often, until it is well again.

mod builder;
mod call;
mod probes;
mod window;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::count;
use shibuya_waitlist::primitives::{AtomicU64, Mutex};
use thiserror::Error;

pub use self::builder::{BreakerBuilder, InvalidBreaker};
pub use self::call::{BreakerCall, CallError};
use self::probes::{Finding, Probes};
use self::window::{Outcome, Tally, Window};

/// Lets calls through while enough of them succeed.
///
/// It is *closed* at first. When too many of the last calls failed, or were slow, it *opens*, and each call gets
/// [`Open`] at once, which spares the other side the load and the caller the wait. After a time it is
/// *half-open*: a few probes go through, and with the first that fails it opens again; when all have succeeded it
/// closes. The states are those of
/// [Release It!](https://pragprog.com/titles/mnee2/release-it-second-edition/).
///
/// A permit that is dropped without a word, as its call was cancelled, is no vote, and a probe's place is
/// free again. So is that of a probe that takes too long. What a call tells of a time before the breaker opened or
/// closed has no vote either. While it is closed, a success takes no lock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Breaker, BreakerState, CallError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker = Breaker::builder()
///     .window_calls(10)
///     .min_calls(4)
///     .open_for(Duration::from_millis(5))
///     .probes(1)
///     .build();
/// for _ in 0..4 {
///     let failed = breaker.call(async { Err::<(), _>("down") });
///     assert_eq!(failed.await, Err(CallError::Failed("down")));
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// let refused = breaker.call(async { Ok::<_, &str>("never asked") });
/// assert!(refused.await.unwrap_err().is_open());
///
/// tokio::time::sleep(Duration::from_millis(6)).await;
/// let probe = breaker.call(async { Ok::<_, &str>("up again") });
/// assert_eq!(probe.await, Ok("up again"));
/// assert_eq!(breaker.state(), BreakerState::Closed);
/// # }
/// ```
pub struct Breaker {
    rules: Rules,
    /// The mode in the low bits, and how often that has changed.
    state: AtomicU64,
    /// Until when it is open, on the scale of [`Timestamp`].
    open_until: AtomicU64,
    /// One for this closed time, and one for the next.
    windows: [Window; 2],
    probes: Mutex<Probes>,
    opened: AtomicU64,
    refused: AtomicU64,
}

struct Rules {
    min_calls: u32,
    failure_rate: f64,
    slow_call: Duration,
    slow_rate: f64,
    open_for: Duration,
    probes: u32,
    probe_lease: Duration,
}

impl Rules {
    /// Whether that is too much.
    fn are_broken_by(&self, tally: Tally) -> bool {
        let calls = f64::from(tally.calls);
        let is_slow = self.slow_call < Duration::MAX;
        tally.calls >= self.min_calls
            && (f64::from(tally.failed) / calls >= self.failure_rate
                || is_slow && f64::from(tally.slow) / calls >= self.slow_rate)
    }
}

/// Whether calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// All do.
    Closed,
    /// None does, for a time.
    Open,
    /// A few do, to see how it is.
    HalfOpen,
}

/// A mode, and a number that grows whenever it changes. A permit has the word of when it was given, and so says
/// whether it is still of this time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u64);

const MODE: u64 = 3;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;

impl Word {
    fn mode(self) -> u64 {
        self.0 & MODE
    }

    fn change(self, mode: u64) -> Self {
        Self((self.0 & !MODE).wrapping_add(MODE + 1) | mode)
    }

    /// A closed time has the window that the last one has not.
    fn window(self) -> usize {
        (self.0 >> 2) as usize & 1
    }
}

impl Breaker {
    /// What it is to go by.
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    fn new(rules: Rules, windows: [Window; 2]) -> Self {
        Self {
            rules,
            state: AtomicU64::new(CLOSED),
            open_until: AtomicU64::new(0),
            windows,
            probes: Mutex::new(Probes::new()),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn word(&self) -> Word {
        Word(self.state.load(Acquire))
    }

    /// Asks whether a call may go through. The permit must be told how that ends.
    ///
    /// # Errors
    ///
    /// [`Open`] while calls are refused.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Open> {
        let word = self.word();
        match word.mode() {
            CLOSED => Ok(Permit {
                breaker: self,
                word,
                probe: None,
                // Nobody asks for the time unless slowness counts.
                began: match self.rules.slow_call {
                    Duration::MAX => Timestamp::NEVER,
                    _ => Timestamp::now(),
                },
            }),
            _ => self.probe(),
        }
    }

    #[cold]
    fn probe(&self) -> Result<Permit<'_>, Open> {
        let now = Timestamp::now();
        let mut probes = self.probes.lock();
        let mut word = self.word();
        if word.mode() == OPEN {
            let until = Timestamp::from_nanos(self.open_until.load(Relaxed));
            if now < until {
                drop(probes);
                return Err(self.refuse(until.since(now)));
            }
            word = word.change(HALF_OPEN);
            probes.begin();
            self.state.store(word.0, Release);
        }
        if word.mode() == CLOSED {
            drop(probes);
            return self.try_acquire();
        }
        match probes.lease(self.rules.probes, self.rules.probe_lease, now) {
            Ok(number) => Ok(Permit {
                breaker: self,
                word,
                probe: Some(number),
                began: now,
            }),
            Err(retry_in) => {
                drop(probes);
                Err(self.refuse(retry_in))
            }
        }
    }

    fn refuse(&self, retry_in: Duration) -> Open {
        self.refused.fetch_add(1, Relaxed);
        count!(BREAKER_REFUSED);
        Open { retry_in }
    }

    /// A call of a closed time ended.
    fn record(&self, word: Word, outcome: Outcome) {
        if self.word() != word {
            return;
        }
        let window = &self.windows[word.window()];
        window.record(outcome, Timestamp::now);
        if (outcome.failed || outcome.slow)
            && self.rules.are_broken_by(window.tally(Timestamp::now))
        {
            let probes = self.probes.lock();
            let opens = self.word() == word;
            if opens {
                self.open(word);
            }
            drop(probes);
            if opens {
                self.say_open();
            }
        }
    }

    /// A probe ended, if anything was learnt from it.
    fn end_probe(&self, word: Word, number: NonZeroU64, failed: Option<bool>) {
        let mut probes = self.probes.lock();
        if self.word() != word {
            return;
        }
        let finding = probes.end(number, failed, self.rules.probes);
        match finding {
            Finding::Nothing => {}
            Finding::Ill => self.open(word),
            Finding::Well => {
                let closed = word.change(CLOSED);
                self.windows[closed.window()].clear();
                self.state.store(closed.0, Release);
            }
        }
        drop(probes);
        match finding {
            Finding::Nothing => {}
            Finding::Ill => self.say_open(),
            Finding::Well => {
                count!(BREAKER_CLOSED);
                tracing::info!("circuit breaker closed");
            }
        }
    }

    /// Under the lock of the probes.
    fn open(&self, word: Word) {
        let until = Timestamp::now().after(self.rules.open_for);
        self.open_until.store(until.as_nanos(), Relaxed);
        self.opened.fetch_add(1, Relaxed);
        self.state.store(word.change(OPEN).0, Release);
    }

    fn say_open(&self) {
        count!(BREAKER_OPENED);
        tracing::warn!(open_for = ?self.rules.open_for, "circuit breaker open");
    }

    /// Whether calls go through. Open it stays until the first call that asks after its time.
    pub fn state(&self) -> BreakerState {
        match self.word().mode() {
            CLOSED => BreakerState::Closed,
            OPEN => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// What it knows.
    pub fn snapshot(&self) -> BreakerSnapshot {
        let word = self.word();
        let tally = match word.mode() {
            CLOSED => self.windows[word.window()].tally(Timestamp::now),
            _ => Tally::default(),
        };
        BreakerSnapshot {
            state: self.state(),
            calls: tally.calls,
            failed: tally.failed,
            slow: tally.slow,
            opened: self.opened.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What a [`Breaker`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// Whether calls go through.
    pub state: BreakerState,
    /// The calls in the window; 0 unless it is closed.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
    /// How often it opened.
    pub opened: u64,
    /// How many calls it refused.
    pub refused: u64,
}

/// A call may go through: to be told how that ended.
///
/// Dropped without a word it is no vote, and a probe's place is free again.
#[must_use = "dropped without a word it is no vote"]
pub struct Permit<'b> {
    breaker: &'b Breaker,
    word: Word,
    /// Until it is told.
    probe: Option<NonZeroU64>,
    /// `NEVER` where slowness does not count.
    began: Timestamp,
}

impl Permit<'_> {
    /// The call succeeded.
    pub fn success(self) {
        self.tell(false);
    }

    /// The call failed, in a way that says something of the other side.
    pub fn failure(self) {
        self.tell(true);
    }

    /// The call says nothing of the other side: the same as dropping the permit.
    pub fn ignore(self) {}

    /// Whether this call is to show how the other side is.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    fn tell(mut self, failed: bool) {
        let limit = self.breaker.rules.slow_call;
        let slow = limit < Duration::MAX && Timestamp::now().since(self.began) > limit;
        match self.probe.take() {
            None => self.breaker.record(self.word, Outcome { failed, slow }),
            Some(number) => self
                .breaker
                .end_probe(self.word, number, Some(failed || slow)),
        }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(number) = self.probe {
            self.breaker.end_probe(self.word, number, None);
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}

/// The breaker lets no call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the circuit breaker is open; it may let a call through in {retry_in:.1?}")]
#[non_exhaustive]
pub struct Open {
    /// When a call may go through at the earliest: when the next probes are due, or when one that is under way
    /// is waited for no longer; zero if that may be at any time.
    pub retry_in: Duration,
}
