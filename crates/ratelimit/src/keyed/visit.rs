use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::Keyed;
use super::shard::{Queued, Shard};
use crate::Quota;
use crate::queue::Queue;
use crate::stamp;

/// The queue of a key, which is there as long as somebody has it at hand. The last one to leave puts what the key owes back into its
/// word.
pub(super) struct Visit<K: Hash + Eq, S: BuildHasher> {
    keyed: Keyed<K, S>,
    hash: u64,
    key: K,
    queue: Arc<Queue>,
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Visit<K, S> {
    /// Of a key that has a queue.
    pub(super) fn again(keyed: &Keyed<K, S>, shard: &mut Shard<K>, hash: u64, key: &K) -> Self {
        // Cloned first: what panics has changed nothing.
        let key = key.clone();
        let queued = shard.queues.get_mut(&key).expect("its entry says so");
        queued.visitors += 1;
        Self {
            keyed: keyed.clone(),
            hash,
            queue: queued.queue.clone(),
            key,
        }
    }

    /// Of a key that has an entry and no queue.
    pub(super) fn first(
        keyed: &Keyed<K, S>,
        shard: &mut Shard<K>,
        hash: u64,
        key: &K,
        quota: Quota,
    ) -> Self {
        let settings = &keyed.0.settings;
        let (key, kept) = (key.clone(), key.clone());
        let entry = shard.get(hash, &key).expect("it was put there");
        let slack = stamp::length(settings.slack);
        let queue = Queue::new(quota, entry.tat(), slack, settings.max_waiters);
        entry.set_queued();
        let queued = Queued {
            queue: queue.clone(),
            visitors: 1,
        };
        shard.queues.insert(kept, queued);
        Self {
            keyed: keyed.clone(),
            hash,
            queue,
            key,
        }
    }
}

impl<K: Hash + Eq, S: BuildHasher> Visit<K, S> {
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl<K: Hash + Eq, S: BuildHasher> Drop for Visit<K, S> {
    fn drop(&mut self) {
        // Dropped when the lock is free.
        let _over;
        let mut shard = self.keyed.shard(self.hash);
        let queued = shard.queues.get_mut(&self.key).expect("it is visited");
        queued.visitors -= 1;
        if queued.visitors == 0 {
            _over = shard.queues.remove_entry(&self.key);
            shard.restore(self.hash, &self.key, self.queue.meter.read().1);
        }
    }
}
