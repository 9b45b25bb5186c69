//! Several futures or tasks at once, or one after the other: who waits for which of them.

mod arrivals;
mod as_completed;
mod completions;
mod fan;
mod gather;
mod input;
mod race;
mod sequence;
mod settled;
mod wait;

pub use self::as_completed::{AsCompleted, NextCompleted, as_completed};
pub use self::completions::IntoFutures;
pub use self::fan::fan_out_fan_in;
pub use self::gather::{Gather, IntoGather, IntoTryGather, TryGather, gather, try_gather};
pub use self::input::InputKind;
pub use self::race::{NoneSucceeded, Race, SelectFirst, race, select_first};
pub use self::sequence::{CollectSequence, Sequence, SequenceError, Step, sequence};
pub use self::wait::{Done, Until, Wait, wait};
