use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use shibuya_waitlist::primitives::Mutex;
use shibuya_waitlist::{Serve, WaitList};

/// A wait list for each key that somebody is interested in, and for no other.
pub(crate) struct Lines<K, S: Serve>(Mutex<HashMap<K, Arc<WaitList<S>>>>);

/// Where the lines are: borrowed, or shared.
pub(crate) trait Home<K, S: Serve> {
    fn lines(&self) -> &Lines<K, S>;
}

impl<K, S: Serve> Home<K, S> for &Lines<K, S> {
    fn lines(&self) -> &Lines<K, S> {
        self
    }
}

/// An interest in a key's line. The last one takes the line along.
pub(crate) struct Place<H: Home<K, S>, K: Hash + Eq, S: Serve> {
    home: H,
    key: K,
    /// `None` only within `drop`.
    line: Option<Arc<WaitList<S>>>,
}

/// A table with room for no more than this is not worth shrinking.
const SHRINK_MIN: usize = 64;

impl<K, S: Serve> Lines<K, S> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl<K: Hash + Eq, S: Serve> Lines<K, S> {
    /// The line of a key, if there is one.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<WaitList<S>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().get(key).cloned()
    }

    /// Whoever comes from now on finds a new line; those who share this one keep it.
    pub(crate) fn retire<H: Home<K, S>>(&self, place: &Place<H, K, S>) {
        let mut lines = self.0.lock();
        let is_current = |line: &Arc<_>| Arc::ptr_eq(line, place.line());
        let retired = match lines.get(&place.key).is_some_and(is_current) {
            true => lines.remove_entry(&place.key),
            false => None,
        };
        drop(lines);
        // A key's destructor may come back here.
        drop(retired);
    }
}

impl<H: Home<K, S>, K: Hash + Eq + Clone, S: Serve> Place<H, K, S> {
    /// A place in the line of `key`, which is made with `state` if there is none.
    pub(crate) fn new(home: H, key: K, state: impl FnOnce() -> S) -> Self {
        let mut table = home.lines().0.lock();
        let line = match table.get(&key) {
            Some(line) => line.clone(),
            None => {
                let line = Arc::new(WaitList::new(state()));
                table.insert(key.clone(), line.clone());
                line
            }
        };
        drop(table);
        let line = Some(line);
        Self { home, key, line }
    }
}

impl<H: Home<K, S>, K: Hash + Eq, S: Serve> Place<H, K, S> {
    pub(crate) fn lines(&self) -> &Lines<K, S> {
        self.home.lines()
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn line(&self) -> &Arc<WaitList<S>> {
        self.line
            .as_ref()
            .expect("a place has its line until it drops")
    }
}

impl<H: Home<K, S>, K: Hash + Eq, S: Serve> Drop for Place<H, K, S> {
    fn drop(&mut self) {
        let Some(own) = self.line.take() else { return };
        let mut table = self.home.lines().0.lock();
        let is_own = |line: &Arc<_>| Arc::ptr_eq(line, &own);
        if !table.get(&self.key).is_some_and(is_own) {
            // It is retired.
            drop(table);
            return drop(own);
        }
        // The table's share, and this one. Shares are made and given up under the lock, so one of them
        // is known to be the last.
        if Arc::strong_count(&own) > 2 {
            drop(own);
            return;
        }
        let entry = table.remove_entry(&self.key);
        if table.capacity() > SHRINK_MIN && table.len() < table.capacity() / 8 {
            let room = 2 * table.len();
            table.shrink_to(room);
        }
        drop(table);
        // A key's destructor, or a state's, may come back here.
        drop((own, entry));
    }
}
