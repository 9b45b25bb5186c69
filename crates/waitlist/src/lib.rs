#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod count;
mod error;
mod guard;
mod latch;
mod list;
#[doc(hidden)]
pub mod primitives;
mod serve;
mod slab;
mod wait;
mod wake;

pub use error::{Closed, TryError};
pub use guard::Guard;
pub use latch::Latch;
pub use list::WaitList;
pub use serve::Serve;
pub use wait::{List, Wait};
