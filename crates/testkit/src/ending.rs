use std::fmt;

/// How one run of the future under test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending<T> {
    /// The harness dropped the future.
    Dropped(DropPoint),
    /// The future completed, and was dropped after that.
    Completed(T),
}

impl<T> Ending<T> {
    /// The output, if the future completed.
    pub fn completed(self) -> Option<T> {
        match self {
            Ending::Completed(output) => Some(output),
            Ending::Dropped(_) => None,
        }
    }

    /// Where the future was dropped, if it was.
    pub fn drop_point(&self) -> Option<DropPoint> {
        match self {
            Ending::Dropped(point) => Some(*point),
            Ending::Completed(_) => None,
        }
    }

    /// Whether the future was dropped before it completed.
    pub fn is_dropped(&self) -> bool {
        self.drop_point().is_some()
    }
}

/// The point in a future's life at which the harness drops it. Polls count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropPoint {
    /// Created, never polled.
    BeforeFirstPoll,
    /// This poll returned `Pending`; the drop follows at once.
    AfterPoll(usize),
    /// This poll returned `Pending`, the wake that it waited for has come, and the next poll never does.
    AfterWake(usize),
}

impl fmt::Display for DropPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropPoint::BeforeFirstPoll => write!(f, "before the first poll"),
            DropPoint::AfterPoll(poll) => write!(f, "after poll {poll}"),
            DropPoint::AfterWake(poll) => write!(f, "after the wake that follows poll {poll}"),
        }
    }
}
