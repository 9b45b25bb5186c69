use std::collections::HashSet;
use std::fmt;

use shibuya_cancel::Reason;

use crate::GroupError;
use crate::error::Straggler;

/// How a service ended: what its group gave, and how it went down.
#[derive(Debug)]
#[must_use = "the result may be a failure that nobody else hears of"]
pub struct Served<T, E> {
    /// As [`TaskGroup::run`](crate::TaskGroup::run) gives it.
    pub result: Result<T, GroupError<E>>,
    /// Who left, and who had to be made to.
    pub report: ShutdownReport,
}

/// What became of the tasks that lived when a service was cancelled.
#[derive(Clone, Debug)]
pub struct ShutdownReport {
    reason: Option<Reason>,
    finished: usize,
    aborted: Vec<Straggler>,
    stuck: Vec<Straggler>,
}

impl ShutdownReport {
    /// `present` lived when the group was cancelled; `aborted` had not ended when the grace was over, and
    /// of those, `stuck` never did.
    pub(crate) fn new(
        reason: Option<Reason>,
        present: &[Straggler],
        mut aborted: Vec<Straggler>,
        stuck: Vec<Straggler>,
    ) -> Self {
        let stays: HashSet<_> = stuck.iter().map(Straggler::id).collect();
        aborted.retain(|task| !stays.contains(&task.id()));
        let cut: HashSet<_> = aborted.iter().map(Straggler::id).collect();
        let finished = present
            .iter()
            .filter(|task| !cut.contains(&task.id()) && !stays.contains(&task.id()));
        Self {
            reason,
            finished: finished.count(),
            aborted,
            stuck,
        }
    }

    /// Why the service went down: [`Reason::Shutdown`] where it was asked to. `None` when its body and all
    /// tasks had ended before anybody asked.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// How many of the tasks that lived when it was cancelled ended by themselves, within the grace.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// The tasks that were still at work when the grace was over, and were dropped.
    pub fn aborted(&self) -> &[Straggler] {
        &self.aborted
    }

    /// The tasks that could not be dropped, and were left behind.
    pub fn stuck(&self) -> &[Straggler] {
        &self.stuck
    }

    /// Whether all ended by themselves.
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty() && self.stuck.is_empty()
    }
}

/// A line for all of it, and one for each task that had to be made to leave.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            None => return f.write_str("ended by itself"),
            Some(reason) => write!(f, "went down ({reason})")?,
        }
        let (finished, aborted, stuck) = (self.finished, self.aborted.len(), self.stuck.len());
        write!(f, ": {finished} finished, {aborted} aborted, {stuck} stuck")?;
        for task in &self.aborted {
            write!(f, "\naborted: {task}")?;
        }
        for task in &self.stuck {
            write!(f, "\nstuck: {task}")?;
        }
        Ok(())
    }
}
