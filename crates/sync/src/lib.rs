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
pub use keyed::{KeyedGuard, KeyedLock, KeyedMutex};
pub use queue::Queue;
pub use single_flight::SingleFlight;
pub use throttle::{Edge, Throttle, throttle};

// What needs no other, in one place with it.
pub use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore};
