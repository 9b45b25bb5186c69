//! A part of a keyed limit's memory: a word for each key, with a cap on how many.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::needs_drop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use hashbrown::HashTable;

use shibuya_waitlist::primitives::{Mutex, MutexGuard};

use super::Full;
use crate::queue::Queue;
use crate::stamp::{self, NEAR, Units};

pub(crate) struct Shard<K> {
    entries: HashTable<Entry<K>>,
    /// What is known of the keys that somebody waits for, instead of their word.
    pub(crate) queues: HashMap<K, Queued>,
    /// To be dropped when the lock is free, since a key's destructor may come back here.
    removed: Vec<K>,
    max: usize,
    /// The bucket at which the next sweep goes on.
    cursor: usize,
    /// No entry can go before. Known only after all were looked at.
    full_until: Units,
}

/// The theoretical arrival time of a key as a stamp, and whether it has a queue.
pub(crate) struct Entry<K> {
    key: K,
    word: u64,
}

pub(crate) struct Queued {
    pub(crate) queue: Arc<Queue>,
    /// How many have it at hand. The last one puts its state back into the entry.
    pub(crate) visitors: usize,
}

const QUEUED: u64 = 1 << stamp::BITS;

/// Buckets that each new key looks at for one that can go. At least as many must go, over time, as come.
const SWEEP: usize = 4;

/// Of how many the one with the least debt has to go.
const SAMPLE: usize = 32;

/// A table this much larger than what is in it is made smaller.
const SPARSE: usize = 4;

impl<K> Entry<K> {
    pub(crate) fn tat(&self) -> Units {
        stamp::unpack(self.word & !QUEUED)
    }

    /// Its time where it is near and nobody waits: a stamp that is the time itself.
    #[inline]
    pub(crate) fn near(&mut self) -> Option<&mut u64> {
        (self.word < NEAR).then_some(&mut self.word)
    }

    pub(crate) fn set_tat(&mut self, tat: Units) {
        self.word = stamp::pack(tat);
    }

    pub(crate) fn has_queue(&self) -> bool {
        self.word & QUEUED != 0
    }

    pub(crate) fn set_queued(&mut self) {
        self.word |= QUEUED;
    }

    /// A key that owes nothing is as one that was never seen.
    fn can_go(&self, now: Units) -> bool {
        !self.has_queue() && self.tat() <= now
    }
}

impl<K: Hash + Eq> Shard<K> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: HashTable::new(),
            queues: HashMap::new(),
            removed: Vec::new(),
            max,
            cursor: 0,
            full_until: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(crate) fn get(&mut self, hash: u64, key: &K) -> Option<&mut Entry<K>> {
        self.entries.find_mut(hash, |entry| entry.key == *key)
    }

    pub(crate) fn remove(&mut self, hash: u64, key: &K) {
        if let Ok(entry) = self.entries.find_entry(hash, |entry| entry.key == *key) {
            let entry = entry.remove().0;
            self.full_until = 0;
            self.drop_later(entry.key);
        }
    }

    fn remove_bucket(&mut self, bucket: usize) {
        if let Ok(entry) = self.entries.get_bucket_entry(bucket) {
            let entry = entry.remove().0;
            self.drop_later(entry.key);
        }
    }

    fn drop_later(&mut self, key: K) {
        if needs_drop::<K>() {
            self.removed.push(key);
        }
    }

    /// The key has no queue any more.
    pub(crate) fn restore(&mut self, hash: u64, key: &K, tat: Units) {
        let entry = self.get(hash, key).expect("it stays as long as its queue");
        entry.set_tat(tat);
        self.full_until = 0;
    }

    /// Puts in a key that is not there. `Err` with the time from which on there may be room.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        key: K,
        tat: Units,
        now: Units,
        on_full: Full,
        hasher: impl Fn(&K) -> u64,
    ) -> Result<(), Units> {
        self.sweep(SWEEP, now);
        if self.len() >= self.max {
            if let Err(until) = self.make_room(now, on_full) {
                self.drop_later(key);
                return Err(until);
            }
        }
        self.shrink(&hasher);
        let word = stamp::pack(tat);
        let entry = Entry { key, word };
        self.entries
            .insert_unique(hash, entry, |entry| hasher(&entry.key));
        Ok(())
    }

    /// Removes what owes nothing any more from the next buckets. Whose debt is least of those that stay, and when it is paid.
    fn sweep(&mut self, buckets: usize, now: Units) -> Option<(usize, Units)> {
        let mut least = None;
        for _ in 0..buckets.min(self.entries.num_buckets()) {
            self.cursor = (self.cursor + 1) % self.entries.num_buckets();
            let Ok(entry) = self.entries.get_bucket_entry(self.cursor) else {
                continue;
            };
            if entry.get().can_go(now) {
                self.remove_bucket(self.cursor);
            } else if !entry.get().has_queue() {
                let candidate = (self.cursor, entry.get().tat());
                least = match least {
                    Some((_, tat)) if tat <= candidate.1 => least,
                    _ => Some(candidate),
                };
            }
        }
        least
    }

    fn make_room(&mut self, now: Units, on_full: Full) -> Result<(), Units> {
        if let Full::EvictLeastDebt = on_full {
            let mut least = self.sweep(SAMPLE, now);
            if self.len() >= self.max && least.is_none() {
                // Those that were looked at have queues.
                least = self.sweep(usize::MAX, now);
            }
            if self.len() < self.max {
                return Ok(());
            }
            let (bucket, _) = least.ok_or(now)?;
            self.remove_bucket(bucket);
            return Ok(());
        }
        if now >= self.full_until {
            let least = self.sweep(usize::MAX, now);
            if self.len() < self.max {
                return Ok(());
            }
            self.full_until = least.map_or(Units::MAX, |(_, tat)| tat);
        }
        // Those that have queues may be gone at any time, which is heard of then.
        match self.queues.is_empty() {
            true => Err(self.full_until),
            false => Err(now),
        }
    }

    /// Gives back what a flood has left behind.
    fn shrink(&mut self, hasher: impl Fn(&K) -> u64) {
        let needed = SPARSE * (self.len() + SAMPLE);
        if self.entries.capacity() > 2 * needed {
            self.entries.shrink_to(needed, |entry| hasher(&entry.key));
            self.cursor = 0;
        }
    }
}

/// A shard under its lock.
pub(crate) struct Locked<'a, K>(Option<MutexGuard<'a, Shard<K>>>);

impl<'a, K> Locked<'a, K> {
    #[inline]
    pub(crate) fn new(shard: &'a Mutex<Shard<K>>) -> Self {
        Self(Some(shard.lock()))
    }
}

const LOCKED: &str = "it is locked until it is dropped";

impl<K> Deref for Locked<'_, K> {
    type Target = Shard<K>;

    #[inline]
    fn deref(&self) -> &Shard<K> {
        self.0.as_ref().expect(LOCKED)
    }
}

impl<K> DerefMut for Locked<'_, K> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Shard<K> {
        self.0.as_mut().expect(LOCKED)
    }
}

impl<K> Drop for Locked<'_, K> {
    #[inline]
    fn drop(&mut self) {
        let mut shard = self.0.take().expect(LOCKED);
        if !shard.removed.is_empty() {
            let removed = std::mem::take(&mut shard.removed);
            drop(shard);
            drop(removed);
        }
    }
}
