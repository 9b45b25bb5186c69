#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod barrier;
mod batcher;
mod batches;
mod condvar;
mod debounce;
mod event;
mod gathering;
mod keyed;
mod lines;
mod pace;
pub mod queue;
mod single_flight;
mod throttle;

pub use barrier::{Arrival, Barrier, BarrierWait, Broken, Party};
pub use batcher::{AddError, Batch, Batcher, TryAddError};
pub use batches::{Batches, batches};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use debounce::{Debounce, debounce};
pub use event::{Event, EventWait};
pub use keyed::{KeyedGuard, KeyedLock, KeyedMutex, OwnedKeyedGuard, OwnedKeyedLock};
pub use queue::Queue;
pub use single_flight::SingleFlight;
pub use throttle::{Edge, Throttle, throttle};

// What needs no other, in one place with it; and what its methods give, so that it can be named.
pub use tokio::sync::futures::{Notified, OwnedNotified};
pub use tokio::sync::{
    AcquireError, MappedMutexGuard, Mutex, MutexGuard, Notify, OnceCell, OwnedMappedMutexGuard,
    OwnedMutexGuard, OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard,
    OwnedSemaphorePermit, RwLock, RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard,
    Semaphore, SemaphorePermit, SetError, TryAcquireError, TryLockError,
};
