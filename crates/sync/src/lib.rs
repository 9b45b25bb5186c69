#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod barrier;
mod event;
mod keyed;

pub use barrier::{Arrival, Barrier, BarrierWait, Broken, Party};
pub use event::{Event, EventWait};
pub use keyed::{KeyedGuard, KeyedLock, KeyedMutex};

// What needs no other, in one place with it.
pub use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore};
