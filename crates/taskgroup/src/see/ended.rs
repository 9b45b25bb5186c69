use std::fmt;
use std::panic::Location;
use std::time::Duration;

use shibuya_cancel::raw::{Label, Timestamp};
use shibuya_cancel::{Name, TaskId};

use super::coarse;

/// A task that ended lately.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Ended {
    /// Its number.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::id"))]
    pub id: TaskId,
    /// Its name; empty if it has none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::text"))]
    pub name: Name,
    /// Where it was spawned.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::text"))]
    pub location: &'static Location<'static>,
    /// The number of its group.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::id"))]
    pub group: TaskId,
    /// How it ended.
    pub ending: EndedAs,
    /// How long it lived, from its spawn to its end, to about 20 ms.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_ms", serialize_with = "super::json::ms")
    )]
    pub age: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) at: Timestamp,
}

impl Ended {
    #[inline]
    pub(super) fn new(task: &Label, group: TaskId, ending: EndedAs) -> Self {
        let at = coarse::now();
        Self {
            id: task.id,
            name: task.name.clone(),
            location: task.location,
            group,
            ending,
            age: at.since(task.created),
            at,
        }
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EndedAs {
    /// With a value.
    Done,
    /// With an error.
    Failed,
    /// By a panic.
    Panicked,
    /// It was dropped, or passed its cancellation on.
    Cancelled,
    /// It ran for longer than its timeout or budget.
    TimedOut,
}

/// The last tasks that ended on a thread.
pub(super) struct Ring {
    kept: Vec<Ended>,
    /// Where the next one goes: the end, or once all places are taken that of the oldest.
    next: usize,
}

/// So many are remembered per thread.
const KEPT: usize = 64;

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            kept: Vec::new(),
            next: 0,
        }
    }

    /// In the place of the oldest. All that is dropped here is a name.
    #[inline]
    pub(super) fn push(&mut self, ended: Ended) {
        match self.kept.get_mut(self.next) {
            Some(oldest) => *oldest = ended,
            None => self.kept.push(ended),
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// From the oldest to the last.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ended> {
        let (newer, older) = self.kept.split_at(self.next);
        older.iter().chain(newer)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.is_unnamed() {
            true => f.write_str("task")?,
            false => self.name.fmt(f)?,
        }
        let (file, line) = (self.location.file(), self.location.line());
        write!(f, ", {} ({file}:{line})", self.ending)
    }
}

impl fmt::Display for EndedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        })
    }
}
