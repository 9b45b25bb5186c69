//! `std`'s locks and atomics, or loom's under `--cfg shibuya_loom`.
//!
//! For Shibuya's own crates, so that all of them are checked against the same primitives. Not part of the public API.

#[cfg(shibuya_loom)]
use loom::sync as imp;
#[cfg(not(shibuya_loom))]
use std::sync as imp;
use std::sync::PoisonError;

pub use imp::MutexGuard;
pub use imp::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

/// In pauses of the processor: from one microsecond, about, to ten.
#[cfg(not(shibuya_loom))]
const STAND_BACK: [u32; 4] = [32, 64, 128, 256];

/// A mutex that ignores poison: whoever panics under it leaves the data valid.
#[derive(Debug, Default)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    /// A new, unlocked mutex.
    #[cfg(not(shibuya_loom))]
    pub const fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// A new, unlocked mutex. Loom's can't be made in a constant.
    #[cfg(shibuya_loom)]
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// Blocks the thread until the mutex is free.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.lock_contended(),
        }
    }

    /// Stands back before it tries again, twice as long each time, and has the thread put to sleep only then. What is locked
    /// here is short: whoever has its memory in the cache does a lot with it before it has to go to the other core.
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, T> {
        #[cfg(not(shibuya_loom))]
        for pauses in STAND_BACK {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guard, if the mutex is free at once.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        use std::sync::TryLockError;
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
