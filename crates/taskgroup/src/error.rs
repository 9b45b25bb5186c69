use std::fmt;
use std::panic::Location;
use std::time::Duration;

use shibuya_cancel::{Name, Reason, TaskId};

use crate::Panic;

/// Why a task group gave no value: one failure at the least, the first one first.
///
/// Its shape never depends on how many tasks failed.
pub struct GroupError<E>(Box<Report<E>>);

/// Boxed, so that a `Result` with it stays small.
pub(crate) struct Report<E> {
    pub(crate) name: Name,
    pub(crate) first: Failure<E>,
    pub(crate) later: Vec<Failure<E>>,
    pub(crate) dropped: usize,
    pub(crate) aborted: Vec<Straggler>,
}

/// One task that failed: which, where it was spawned, how long it had lived, and why.
#[derive(Debug)]
pub struct Failure<E> {
    pub(crate) id: TaskId,
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
    pub(crate) elapsed: Duration,
    pub(crate) cause: Cause<E>,
}

/// What made a task fail.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<E> {
    /// It returned this error.
    Error(E),
    /// It panicked.
    Panic(Panic),
    /// Its deadline, or the group's, passed before it was done.
    Deadline,
    /// The group was cancelled before its body had a value to give.
    Cancelled(Reason),
    /// It was a clean-up, and was cut when its budget, which was this, was used up.
    Budget(Duration),
}

/// A task that was still at work when the grace was over, and was dropped.
#[derive(Clone, Debug)]
pub struct Straggler {
    pub(crate) id: TaskId,
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
}

impl<E> GroupError<E> {
    pub(crate) fn new(report: Report<E>) -> Self {
        Self(Box::new(report))
    }

    /// The failure that came first, and cancelled the others.
    pub fn first(&self) -> &Failure<E> {
        &self.0.first
    }

    /// The first failure by value.
    pub fn into_first(self) -> Failure<E> {
        self.0.first
    }

    /// The first failure's error, where the first failure was one.
    ///
    /// # Errors
    ///
    /// The whole, as it is, where a panic, a deadline or a cancellation came first.
    pub fn into_first_error(self) -> Result<E, Self> {
        if self.first().error().is_none() {
            return Err(self);
        }
        match self.0.first.cause {
            Cause::Error(error) => Ok(error),
            _ => unreachable!("looked at above"),
        }
    }

    /// All failures that were kept, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Failure<E>> {
        std::iter::once(&self.0.first).chain(&self.0.later)
    }

    /// All failures that were kept, by value.
    pub fn into_failures(self) -> impl Iterator<Item = Failure<E>> {
        std::iter::once(self.0.first).chain(self.0.later)
    }

    /// The errors that the tasks returned, without panics, deadlines and cancellation.
    pub fn errors(&self) -> impl Iterator<Item = &E> {
        self.iter().filter_map(|failure| match &failure.cause {
            Cause::Error(error) => Some(error),
            _ => None,
        })
    }

    /// How many failures there were, kept or not.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        1 + self.0.later.len() + self.0.dropped
    }

    /// How many later failures were counted and not kept: a group keeps the first 64.
    pub fn omitted(&self) -> usize {
        self.0.dropped
    }

    /// Tasks that were still at work when the grace was over.
    pub fn aborted(&self) -> &[Straggler] {
        &self.0.aborted
    }

    /// The group's name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Whether nothing failed: the group was cancelled while its body still ran.
    pub fn is_cancelled(&self) -> bool {
        self.iter()
            .all(|failure| matches!(failure.cause, Cause::Cancelled(_)))
    }

    /// Whether a deadline came first.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.first.cause, Cause::Deadline)
    }

    /// Whether a panic came first.
    pub fn is_panic(&self) -> bool {
        matches!(self.0.first.cause, Cause::Panic(_))
    }

    /// The same failures by other names, where there are some.
    pub(crate) fn rename(mut self, other: impl Fn(&Failure<E>) -> Option<Name>) -> Self {
        let failures = std::iter::once(&mut self.0.first).chain(&mut self.0.later);
        for failure in failures {
            if let Some(name) = other(failure) {
                failure.name = name;
            }
        }
        self
    }
}

/// Takes a cancellation, which is no failure, as a value.
pub trait OrCancelled<T, E> {
    /// `Ok(value)` where the group was [only cancelled](GroupError::is_cancelled); all else stays.
    ///
    /// # Errors
    ///
    /// The group's, if anything in it failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_taskgroup::{OrCancelled, Reason, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let done = TaskGroup::<std::io::Error>::run(async |g| {
    ///     g.cancel(Reason::Requested);
    ///     std::future::pending().await // an accept loop, say
    /// });
    /// done.await.or_cancelled(()).unwrap();
    /// # }
    /// ```
    fn or_cancelled(self, value: T) -> Result<T, GroupError<E>>;
}

impl<T, E> OrCancelled<T, E> for Result<T, GroupError<E>> {
    fn or_cancelled(self, value: T) -> Self {
        match self {
            Err(error) if error.is_cancelled() => Ok(value),
            other => other,
        }
    }
}

impl<E> Failure<E> {
    /// The task's number, unique in the process.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task's name; the body of a group is called `body`.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where the task was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// From the spawn to the failure.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What made it fail.
    pub fn cause(&self) -> &Cause<E> {
        &self.cause
    }

    /// What made it fail, by value.
    pub fn into_cause(self) -> Cause<E> {
        self.cause
    }

    /// The error, if the task returned one.
    pub fn error(&self) -> Option<&E> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            _ => None,
        }
    }
}

impl Straggler {
    /// The task's number, unique in the process.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where the task was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl<E> Cause<E> {
    /// In words, with the error as `show` has it.
    fn text(&self, show: impl FnOnce(&E) -> String) -> String {
        match self {
            Self::Error(error) => show(error),
            Self::Panic(panic) => panic.to_string(),
            Self::Deadline => "deadline passed".to_owned(),
            Self::Cancelled(reason) => format!("cancelled: {reason}"),
            Self::Budget(budget) => format!("cut: its budget of {budget:?} was used up"),
        }
    }
}

impl<E> Failure<E> {
    fn text(&self, show: impl FnOnce(&E) -> String) -> String {
        let (label, cause) = (Label(&self.name, self.location), self.cause.text(show));
        format!("{label} after {:.1?}: {cause}", self.elapsed)
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(E::to_string))
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(E::to_string))
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Label(&self.name, self.location))
    }
}

/// A name, or where the unnamed comes from.
struct Label<'a>(&'a Name, &'static Location<'static>);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_unnamed() {
            write!(f, "task at {}", self.1)
        } else {
            write!(f, "`{}` ({})", self.0, self.1)
        }
    }
}

impl<E> GroupError<E> {
    /// A line for the group, and a tree of what failed in it.
    fn write_tree(
        &self,
        f: &mut fmt::Formatter<'_>,
        line: impl Fn(&Failure<E>) -> String,
    ) -> fmt::Result {
        f.write_str("task group")?;
        if !self.0.name.is_unnamed() {
            write!(f, " `{}`", self.0.name)?;
        }
        match self.len() {
            1 if self.is_cancelled() => f.write_str(" was cancelled")?,
            1 => f.write_str(": 1 failure")?,
            n => write!(f, ": {n} failures")?,
        }
        let mut lines: Vec<String> = self.iter().map(line).collect();
        if self.0.dropped > 0 {
            lines.push(format!("and {} more", self.0.dropped));
        }
        let aborted = self.0.aborted.iter();
        lines.extend(aborted.map(|task| format!("aborted after the grace: {task}")));
        for (i, line) in lines.iter().enumerate() {
            let last = i + 1 == lines.len();
            let (branch, indent) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            // An error that is a tree itself hangs below its branch.
            let mut inner = line.lines();
            write!(f, "\n{branch}{}", inner.next().unwrap_or_default())?;
            for line in inner {
                write!(f, "\n{indent}{line}")?;
            }
        }
        Ok(())
    }
}

/// A line for the group, and a tree of what failed in it.
impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, ToString::to_string)
    }
}

/// The same tree, with the errors' own `Debug`: it is what `unwrap` and a `main` that returns the
/// error print. All fields with `{:#?}`.
impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return self.write_tree(f, |failure| failure.text(|error| format!("{error:?}")));
        }
        f.debug_struct("GroupError")
            .field("name", &self.0.name)
            .field("failures", &self.iter().collect::<Vec<_>>())
            .field("omitted", &self.0.dropped)
            .field("aborted", &self.0.aborted)
            .finish()
    }
}

/// The errors of the tasks are in the text already, so there is no `source` to print them twice.
impl<E: fmt::Debug + fmt::Display> std::error::Error for GroupError<E> {}

/// A task that [`try_spawn`](crate::TaskGroup::try_spawn) did not take, handed back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TrySpawnError<F> {
    /// As many tasks run as the group's limit allows.
    #[error("the group runs as many tasks as its limit allows")]
    Full(F),
    /// The group is over, or cancelled.
    #[error("the group is closed")]
    Closed(F),
}

impl<F> TrySpawnError<F> {
    /// The future that was not spawned.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(fut) | Self::Closed(fut) => fut,
        }
    }

    /// Whether the limit was the reason.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the group is over, or cancelled.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "Full(..)"
        } else {
            "Closed(..)"
        })
    }
}
