use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::mem::{replace, take};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shibuya_waitlist::{Serve, Wait, WaitList};

use crate::lines::{Lines, Place};

/// A lock for each key: those who want the same key take turns, others don't meet.
///
/// For work that must not happen twice at a time per user, file or order. Fair: whoever asks first
/// for a key has it first. A key takes memory only while somebody holds it or waits for it.
///
/// Clones of a key are made, so let it be a number, an `Arc<str>` or the like. It is hashed, compared
/// and cloned under a lock. What is protected lies elsewhere: a database, a folder, a remote service.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_sync::KeyedMutex;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let locks = Arc::new(KeyedMutex::new());
/// let anna = locks.lock("anna").await;
/// let ben = locks.lock("ben").await; // another key: no wait
/// assert!(locks.try_lock("anna").is_none());
/// drop(anna);
/// assert!(locks.try_lock("anna").is_some());
/// drop(ben);
/// assert_eq!(locks.len(), 0);
/// # }
/// ```
pub struct KeyedMutex<K> {
    lines: Lines<K, Free>,
}

/// Whether nobody holds it.
struct Free(bool);

impl Serve for Free {
    type Request = ();
    type Grant = ();

    fn try_serve(&mut self, (): &mut ()) -> Option<()> {
        take(&mut self.0).then_some(())
    }

    fn take_back(&mut self, (): ()) {
        self.0 = true;
    }
}

impl<K: Hash + Eq + Clone> KeyedMutex<K> {
    /// No key is locked.
    pub fn new() -> Self {
        Self {
            lines: Lines::new(),
        }
    }

    /// Waits until nobody holds `key`, and holds it until the guard drops.
    ///
    /// The line is joined at the first poll. Dropping the future leaves it.
    ///
    /// # Cancel safety
    ///
    /// A key that was handed over and not looked at goes to the next in line.
    pub fn lock(&self, key: K) -> KeyedLock<'_, K> {
        KeyedLock {
            stage: Stage::New(self, key),
        }
    }

    /// Holds `key` if nobody does, or waits for it.
    pub fn try_lock(&self, key: K) -> Option<KeyedGuard<'_, K>> {
        let place = Place::new(&self.lines, key, || Free(true));
        let taken = place.line().try_acquire(());
        // A place that holds nothing just goes.
        taken.is_ok().then(|| KeyedGuard { place })
    }

    /// Whether somebody holds `key`.
    pub fn is_locked<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let line = self.lines.get(key);
        line.is_some_and(|line| !line.lock().0)
    }

    /// How many keys are held, or waited for.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for KeyedMutex<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedMutex")
            .field("keys", &self.lines.len())
            .finish()
    }
}

/// The future of [`KeyedMutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct KeyedLock<'a, K: Hash + Eq> {
    stage: Stage<'a, K>,
}

enum Stage<'a, K: Hash + Eq> {
    New(&'a KeyedMutex<K>, K),
    /// The wait goes before the place, whose share is the last to be given up.
    Waiting(Wait<Arc<WaitList<Free>>>, Place<'a, K, Free>),
    Done,
}

impl<'a, K: Hash + Eq + Clone> Future for KeyedLock<'a, K> {
    type Output = KeyedGuard<'a, K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (place, mut wait) = match replace(&mut self.stage, Stage::Done) {
            Stage::New(mutex, key) => {
                let place = Place::new(&mutex.lines, key, || Free(true));
                let wait = Wait::new(place.line().clone(), ());
                (place, wait)
            }
            Stage::Waiting(wait, place) => (place, wait),
            Stage::Done => panic!("`KeyedLock` polled after it was done"),
        };
        match Pin::new(&mut wait).poll(cx) {
            // A line is never closed.
            Poll::Ready(_) => Poll::Ready(KeyedGuard { place }),
            Poll::Pending => {
                self.stage = Stage::Waiting(wait, place);
                Poll::Pending
            }
        }
    }
}

/// Nothing in it is pinned; a key is only moved.
impl<K: Hash + Eq> Unpin for KeyedLock<'_, K> {}

impl<K: Hash + Eq> fmt::Debug for KeyedLock<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLock").finish_non_exhaustive()
    }
}

/// Holds a key of a [`KeyedMutex`] until it drops; then the next in line has it.
#[must_use = "the key is free again as soon as its guard drops"]
pub struct KeyedGuard<'a, K: Hash + Eq> {
    place: Place<'a, K, Free>,
}

impl<K: Hash + Eq> KeyedGuard<'_, K> {
    /// The key.
    pub fn key(&self) -> &K {
        self.place.key()
    }
}

impl<K: Hash + Eq> Drop for KeyedGuard<'_, K> {
    fn drop(&mut self) {
        self.place.line().lock().0 = true;
    }
}

impl<K: Hash + Eq + fmt::Debug> fmt::Debug for KeyedGuard<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedGuard").field(self.key()).finish()
    }
}
