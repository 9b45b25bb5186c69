//! What runs, seen from outside: the tree of groups, tasks and steps, what ended lately, and a
//! watchdog for tasks that keep their thread.
//!
//! A poll leaves two words on its thread's [`desk`], for the watchdog's thread to look at; all else is
//! found by walking the nodes when somebody asks.

mod coarse;
mod desk;
mod ended;
#[cfg(feature = "serde")]
mod json;
mod snapshot;
mod text;
mod walk;
pub mod watchdog;

pub(crate) use desk::{Polling, ended};
pub use ended::{Ended, EndedAs};
pub use snapshot::{Counts, Kind, State, TaskInfo, TreeSnapshot};
pub use walk::dump;
