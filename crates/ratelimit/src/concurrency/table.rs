//! Which keys are remembered, and which have to go. No lock, and the time is asked for only where it says something.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ConcurrencyLimiter;

/// The limiters of those keys that somebody uses, or that learnt something.
pub(super) struct Table<K> {
    entries: HashMap<K, Entry>,
    /// How many of them nobody uses.
    idle: usize,
    /// At so many keys it is looked whose time is over.
    sweep_at: usize,
}

struct Entry {
    limiter: Arc<ConcurrencyLimiter>,
    /// `None` while somebody uses it.
    idle_since: Option<Instant>,
}

/// How many keys there may be, and how long one is remembered that nobody uses.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) max_keys: usize,
    pub(super) idle_for: Duration,
}

/// What was taken out: to be dropped without the lock, since a key, or an algorithm, may run anything then.
pub(super) struct Removed<K> {
    keys: Vec<K>,
    limiters: Vec<Arc<ConcurrencyLimiter>>,
}

/// Fewer keys than that are not worth a look.
const SWEEP_MIN: usize = 64;

/// A table with room for no more than this is not worth shrinking.
const SHRINK_MIN: usize = 64;

/// The part of the keys that goes at once where there are too many: whoever looks at all of them does it for many.
const EVICTED: usize = 16;

impl<K> Removed<K> {
    pub(super) const fn new() -> Self {
        Self {
            keys: Vec::new(),
            limiters: Vec::new(),
        }
    }
}

impl<K: Hash + Eq> Table<K> {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            idle: 0,
            sweep_at: SWEEP_MIN,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A share of the limiter of `key`, which is in use from now on.
    pub(super) fn share(&mut self, key: &K) -> Option<Arc<ConcurrencyLimiter>> {
        let entry = self.entries.get_mut(key)?;
        self.idle -= usize::from(entry.idle_since.take().is_some());
        Some(entry.limiter.clone())
    }

    /// A share of the limiter of `key` for a look, which doesn't count as use.
    pub(super) fn peek<Q>(&self, key: &Q) -> Option<Arc<ConcurrencyLimiter>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.get(key).map(|entry| entry.limiter.clone())
    }

    /// Gives up a share, and with the last one the key, unless it learnt something.
    pub(super) fn give_up<Q>(
        &mut self,
        key: &Q,
        share: Arc<ConcurrencyLimiter>,
        now: impl FnOnce() -> Instant,
        removed: &mut Removed<K>,
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = match self.entries.get_mut(key) {
            Some(entry) if Arc::ptr_eq(&entry.limiter, &share) => entry,
            // It was evicted while somebody looked at it.
            _ => return removed.limiters.push(share),
        };
        drop(share);
        // The first shares are made under the lock around the table, further ones from those, and all are given up under it:
        // so it is known when this was the last.
        if Arc::strong_count(&entry.limiter) > 1 || entry.idle_since.is_some() {
            return;
        }
        if entry.limiter.is_adaptive() {
            entry.idle_since = Some(now());
            self.idle += 1;
        } else if let Some((key, entry)) = self.entries.remove_entry(key) {
            removed.keys.push(key);
            removed.limiters.push(entry.limiter);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let (len, room) = (self.entries.len(), self.entries.capacity());
        if room > SHRINK_MIN && len < room / 8 {
            self.entries.shrink_to(2 * len);
        }
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    /// Takes in a new key, which is in use from now on. Those go whose time is over, and if that is not enough, a
    /// part of those that nobody uses, longest first. Gives whether there was room.
    pub(super) fn insert(
        &mut self,
        key: &K,
        limiter: Arc<ConcurrencyLimiter>,
        rules: Rules,
        now: impl FnOnce() -> Instant,
        removed: &mut Removed<K>,
    ) -> bool {
        if self.len() >= self.sweep_at.min(rules.max_keys) {
            let now = now();
            self.remove(usize::MAX, removed, |idle_since| {
                now.saturating_duration_since(idle_since) >= rules.idle_for
            });
            self.sweep_at = (2 * self.len()).max(SWEEP_MIN);
        }
        if self.len() >= rules.max_keys {
            self.evict(removed);
        }
        if self.len() >= rules.max_keys {
            return false;
        }
        let idle_since = None;
        self.entries.insert(
            key.clone(),
            Entry {
                limiter,
                idle_since,
            },
        );
        true
    }

    fn evict(&mut self, removed: &mut Removed<K>) {
        let entries = self.entries.values();
        let mut idle: Vec<Instant> = match self.idle {
            0 => return,
            _ => entries.filter_map(|entry| entry.idle_since).collect(),
        };
        let count = self.entries.len().div_ceil(EVICTED).min(idle.len());
        let (_, last, _) = idle.select_nth_unstable(count - 1);
        let last = *last;
        self.remove(count, removed, |idle_since| idle_since <= last);
    }

    /// Takes out up to `most` of those that nobody uses.
    fn remove(&mut self, most: usize, removed: &mut Removed<K>, goes: impl Fn(Instant) -> bool) {
        if self.idle == 0 {
            return;
        }
        let gone = self.entries.iter();
        let gone = gone.filter(|(_, entry)| entry.idle_since.is_some_and(&goes));
        let gone: Vec<K> = gone.map(|(key, _)| key.clone()).take(most).collect();
        self.idle -= gone.len();
        for key in gone {
            if let Some((same, entry)) = self.entries.remove_entry(&key) {
                removed.keys.extend([key, same]);
                removed.limiters.push(entry.limiter);
            }
        }
        self.shrink();
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;
    use crate::Vegas;

    const MS: Duration = Duration::from_millis(1);

    const RULES: Rules = Rules {
        max_keys: 100,
        idle_for: Duration::from_secs(1),
    };

    fn adaptive() -> Arc<ConcurrencyLimiter> {
        Arc::new(ConcurrencyLimiter::adaptive(Vegas::default()))
    }

    /// Of a new key, and which keys had to go for it.
    fn insert(table: &mut Table<u32>, key: u32, now: Instant) -> (bool, Vec<u32>) {
        let mut removed = Removed::new();
        let has_room = table.insert(&key, adaptive(), RULES, || now, &mut removed);
        let mut keys = removed.keys;
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), removed.limiters.len());
        (has_room, keys)
    }

    fn leave(table: &mut Table<u32>, key: u32, now: Instant) -> Vec<u32> {
        let share = table.peek(&key).unwrap();
        let mut removed = Removed::new();
        table.give_up(&key, share, || now, &mut removed);
        removed.keys
    }

    #[test]
    fn the_ones_that_are_idle_for_longest_make_room() {
        let start = Instant::now();
        let mut table = Table::new();
        for key in 0..100 {
            assert_eq!(insert(&mut table, key, start), (true, vec![]));
        }
        for key in 1..100 {
            leave(&mut table, key, start + key * MS);
        }
        let later = start + 200 * MS;
        let gone = vec![1, 2, 3, 4, 5, 6, 7];
        assert_eq!(insert(&mut table, 100, later), (true, gone));
        assert_eq!((table.len(), table.idle), (94, 92));
    }

    #[test]
    fn of_those_that_became_idle_at_once_no_more_than_a_part_goes() {
        let start = Instant::now();
        let mut table = Table::new();
        for key in 0..100 {
            insert(&mut table, key, start);
            leave(&mut table, key, start);
        }
        assert_eq!(insert(&mut table, 100, start).1.len(), 7);
    }

    #[test]
    fn there_is_no_room_where_all_are_in_use() {
        let start = Instant::now();
        let mut table = Table::new();
        for key in 0..100 {
            insert(&mut table, key, start);
            leave(&mut table, key, start);
            assert!(table.share(&key).is_some());
        }
        let later = start + 9 * RULES.idle_for;
        assert_eq!(insert(&mut table, 100, later), (false, vec![]));
        leave(&mut table, 50, later);
        assert_eq!(insert(&mut table, 100, later), (true, vec![50]));
    }

    #[test]
    fn whose_time_is_over_goes_before_there_are_too_many() {
        let start = Instant::now();
        let mut table = Table::new();
        for key in 0..SWEEP_MIN as u32 {
            insert(&mut table, key, start);
            leave(&mut table, key, start + if key < 60 { 0 } else { 500 } * MS);
        }
        let (has_room, gone) = insert(&mut table, 99, start + 1100 * MS);
        assert_eq!((has_room, gone.len(), table.len()), (true, 60, 5));
    }

    #[test]
    fn a_fixed_limit_goes_with_its_last_share_and_one_that_adapts_stays() {
        let now = Instant::now();
        let mut table = Table::new();
        let fixed = Arc::new(ConcurrencyLimiter::fixed(1));
        let mut removed = Removed::new();
        assert!(table.insert(&1, fixed.clone(), RULES, || now, &mut removed));
        insert(&mut table, 2, now);
        assert_eq!(leave(&mut table, 1, now), [], "there is another share");
        table.give_up(&1, fixed, || now, &mut removed);
        assert_eq!(removed.keys, [1]);
        assert_eq!(leave(&mut table, 2, now), []);
        assert_eq!((table.len(), table.idle), (1, 1));
    }

    #[test]
    fn a_look_renews_nothing_and_brings_nothing_back() {
        let start = Instant::now();
        let mut table = Table::new();
        insert(&mut table, 1, start);
        leave(&mut table, 1, start);
        leave(&mut table, 1, start + 9 * MS);
        assert_eq!(table.entries[&1].idle_since, Some(start));
        let seen = table.peek(&1).unwrap();
        let mut removed = Removed::new();
        table.remove(1, &mut removed, |_| true);
        insert(&mut table, 1, start);
        table.give_up(&1, seen, || start, &mut removed);
        assert_eq!((table.len(), table.idle), (1, 0), "it is another one");
        assert_eq!(removed.limiters.len(), 2);
    }
}
