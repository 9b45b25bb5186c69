use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::{AtomicU64, Mutex, MutexGuard};
use shibuya_waitlist::{Serve, WaitList};

use super::hand::Hand;
use crate::Denied;

/// Those of this process who are interested in one key.
#[derive(Debug)]
pub(super) struct Line {
    /// Who waits for the limit. The first of them asks, and sleeps when it is refused.
    turn: WaitList<Free>,
    /// Who takes the next lease: one at a time, while the others wait for what it brings.
    refill: WaitList<Free>,
    hand: Mutex<Hand>,
    /// For the table, which must not look into the hand under its own lock.
    matters_until: AtomicU64,
    /// Whether the table knows it.
    is_kept: bool,
}

/// A turn that nobody has.
#[derive(Debug)]
struct Free(bool);

impl Serve for Free {
    type Request = ();
    type Grant = ();

    fn try_serve(&mut self, (): &mut ()) -> Option<()> {
        std::mem::replace(&mut self.0, false).then_some(())
    }

    fn take_back(&mut self, (): ()) {
        self.0 = true;
    }
}

impl Line {
    fn new(is_kept: bool) -> Self {
        let now = Timestamp::now();
        Self {
            turn: WaitList::new(Free(true)),
            refill: WaitList::new(Free(true)),
            hand: Mutex::new(Hand::new(now)),
            matters_until: AtomicU64::new(now.as_nanos()),
            is_kept,
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(super) fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock()
    }

    /// Changes the hand. No other code runs under its lock.
    pub(super) fn with<R>(&self, now: Timestamp, change: impl FnOnce(&mut Hand) -> R) -> R {
        let mut hand = self.hand.lock();
        let result = change(&mut hand);
        let until = hand.matters_until(now);
        drop(hand);
        self.matters_until.store(until.as_nanos(), Relaxed);
        result
    }

    /// The right to take a lease, until it is dropped.
    pub(super) async fn refill(&self) -> Result<Refill<'_>, Denied> {
        self.refill.wait(()).await.map_err(|_| Denied::Closed)?;
        Ok(Refill(&self.refill))
    }

    /// How many wait for the lease that is being taken.
    pub(super) fn waiting_for_refill(&self) -> usize {
        self.refill.len()
    }

    /// How many wait for the limit, but for the first.
    pub(super) fn waiting(&self) -> usize {
        self.turn.len()
    }

    pub(super) fn close(&self) {
        self.turn.close();
        self.refill.close();
    }
}

pub(super) struct Refill<'a>(&'a WaitList<Free>);

impl Drop for Refill<'_> {
    fn drop(&mut self) {
        self.0.lock().0 = true;
    }
}

/// A place among those who wait for the limit of one key.
pub(super) struct Place<'a> {
    line: &'a Line,
    n: u32,
    is_first: bool,
}

impl<'a> Place<'a> {
    pub(super) fn new(line: &'a Line, n: u32) -> Self {
        line.hand().want(n);
        Self {
            line,
            n,
            is_first: false,
        }
    }

    /// Waits until those before have gone.
    pub(super) async fn turn(&mut self) -> Result<(), Denied> {
        self.line.turn.wait(()).await.map_err(|_| Denied::Closed)?;
        self.is_first = true;
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Before the next one comes to ask for all who wait.
        self.line.hand().want_no_more(self.n);
        if self.is_first {
            self.line.turn.lock().0 = true;
        }
    }
}

/// The keys that this process knows something of.
#[derive(Debug)]
pub(super) struct Table {
    lines: Mutex<Lines>,
    /// What comes beyond it is not remembered.
    max_keys: usize,
}

#[derive(Debug)]
struct Lines {
    by_key: HashMap<Box<[u8]>, Arc<Line>>,
    /// How many there are when it is time to look for those that don't matter any more: twice as many as were left the last
    /// time, so that it costs each newcomer a constant.
    sweep_at: usize,
    /// It was swept and stayed full: not to be tried again before that.
    full_until: Timestamp,
}

const SWEEP_MIN: usize = 64;

/// Long beside the time that it takes to look through all keys.
const FULL: Duration = Duration::from_millis(100);

impl Table {
    pub(super) fn new(max_keys: usize) -> Self {
        let lines = Lines {
            by_key: HashMap::new(),
            sweep_at: SWEEP_MIN,
            full_until: Timestamp::from_nanos(0),
        };
        Self {
            lines: Mutex::new(lines),
            max_keys,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.lock().by_key.len()
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<Arc<Line>> {
        self.lines.lock().by_key.get(key).cloned()
    }

    /// The line of a key; one that nobody else sees if there is no room.
    pub(super) fn enter(&self, key: &[u8]) -> Arc<Line> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.by_key.get(key) {
            return line.clone();
        }
        if lines.by_key.len() >= lines.sweep_at.min(self.max_keys) {
            lines.sweep(Timestamp::now(), self.max_keys);
        }
        let is_kept = lines.by_key.len() < self.max_keys;
        let line = Arc::new(Line::new(is_kept));
        if is_kept {
            lines.by_key.insert(key.into(), line.clone());
        }
        line
    }

    /// All of them.
    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        self.lines.lock().by_key.values().cloned().collect()
    }

    /// All of them, with their keys, which are forgotten.
    pub(super) fn drain(&self) -> Vec<(Box<[u8]>, Arc<Line>)> {
        self.lines.lock().by_key.drain().collect()
    }
}

impl Lines {
    fn sweep(&mut self, now: Timestamp, max_keys: usize) {
        if now < self.full_until {
            return;
        }
        // Shares are made under the lock, so one that is the only one stays so.
        self.by_key.retain(|_, line| {
            Arc::strong_count(line) > 1 || line.matters_until.load(Relaxed) > now.as_nanos()
        });
        self.sweep_at = SWEEP_MIN.max(2 * self.by_key.len());
        self.by_key.shrink_to(self.sweep_at);
        if self.by_key.len() >= max_keys {
            self.full_until = now.after(FULL);
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn refuse(line: &Line, ms: u64) {
        let now = Timestamp::now();
        line.with(now, |hand| {
            hand.refused(1, Duration::from_millis(ms), Duration::ZERO, now);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_forgotten_when_nothing_is_known_of_it() {
        let table = Table::new(1 << 20);
        for key in 0..10_000_u32 {
            refuse(&table.enter(&key.to_be_bytes()), 1);
            advance(Duration::from_millis(100)).await; // ten matter at a time
        }
        assert!(table.len() <= 2 * SWEEP_MIN, "{}", table.len());
        let used = table.enter(b"used");
        advance(Duration::from_secs(10)).await;
        for key in 0..1000_u32 {
            drop(table.enter(&key.to_be_bytes()));
        }
        assert!(Arc::ptr_eq(&used, &table.find(b"used").unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_stays_as_large_as_it_may() {
        let table = Table::new(100);
        for key in 0..1000_u32 {
            let line = table.enter(&key.to_be_bytes());
            refuse(&line, 5000);
            assert_eq!(line.is_kept(), key < 100);
        }
        assert_eq!(table.len(), 100);
        advance(Duration::from_secs(6)).await;
        assert!(table.enter(b"new").is_kept());
        assert_eq!(table.len(), 1);
    }

    /// Each newcomer would look through all keys.
    #[tokio::test(start_paused = true)]
    async fn a_full_table_is_not_swept_for_each_newcomer() {
        let table = Table::new(100);
        for key in 0..100_u32 {
            refuse(&table.enter(&key.to_be_bytes()), 1000);
        }
        let is_kept = async |after| {
            advance(after).await;
            table.enter(b"new").is_kept()
        };
        assert!(!is_kept(Duration::from_millis(950)).await);
        assert!(
            !is_kept(FULL * 3 / 4).await,
            "none matters any more, which nobody has looked for"
        );
        assert!(is_kept(FULL / 4).await);
    }
}
