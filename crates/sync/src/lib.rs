#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod barrier;
mod condvar;
mod event;
mod keyed;
mod lines;
mod single_flight;

pub use barrier::{Arrival, Barrier, BarrierWait, Broken, Party};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{Event, EventWait};
pub use keyed::{KeyedGuard, KeyedLock, KeyedMutex};
pub use single_flight::SingleFlight;

// What needs no other, in one place with it.
pub use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore};
