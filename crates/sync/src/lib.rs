#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod barrier;
mod batcher;
mod batches;
mod condvar;
mod event;
mod gathering;
mod keyed;
mod lines;
mod pace;
mod single_flight;

pub use barrier::{Arrival, Barrier, BarrierWait, Broken, Party};
pub use batcher::{AddError, Batch, Batcher, TryAddError};
pub use batches::{Batches, batches};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{Event, EventWait};
pub use keyed::{KeyedGuard, KeyedLock, KeyedMutex};
pub use single_flight::SingleFlight;

// What needs no other, in one place with it.
pub use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore};
