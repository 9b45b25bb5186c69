use std::fmt;
use std::future::IntoFuture;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bound::Bound;
use crate::clock::Timestamp;
use crate::node::Node;
use crate::role::Role;
use crate::run::Run;
use crate::{Reason, UntilCancelled, ambient};

/// One cancellation, with perhaps a deadline, that everything run inside obeys.
///
/// A scope is a child of the scope it is made in: it is cancelled with that one, never the other
/// way round, and its deadline is never later. Clones are handles of the same scope. Dropping
/// handles cancels nothing; dropping the future of [`run`](Self::run) drops what runs in it.
///
/// # Two phases
///
/// [`cancel`](Self::cancel) makes [`cancelled`](crate::cancelled) and [`check`](crate::check)
/// answer inside. What runs then has the scope's *grace* to end by itself (default: none) and is
/// dropped at the next poll after it. A scope that was cancelled from further out goes by the grace
/// of the scope where the cancellation began.
///
/// # Examples
///
/// ```
/// use shibuya_cancel::{CancelScope, Reason};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let scope = CancelScope::new();
/// let stop = scope.clone();
/// tokio::spawn(async move { stop.cancel(Reason::other("the user pressed stop")) });
/// let stopped = scope.run(std::future::pending::<()>()).await.unwrap_err();
/// assert_eq!(stopped.to_string(), "cancelled: the user pressed stop");
/// # }
/// ```
#[derive(Clone)]
pub struct CancelScope {
    node: Arc<Node>,
}

impl CancelScope {
    /// A scope inside the current one, without a deadline of its own and without grace.
    #[expect(
        clippy::new_without_default,
        reason = "a default should not depend on the caller's scope"
    )]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A scope that nothing further out cancels and no outer deadline bounds.
    pub fn root() -> Self {
        Self::builder().detached().build()
    }

    /// Sets deadline, grace and a token to follow.
    pub fn builder() -> Builder {
        Builder {
            at: Timestamp::NEVER,
            grace: Duration::ZERO,
            token: None,
            detached: false,
        }
    }

    /// The innermost scope in force here; `None` outside of any.
    ///
    /// In a task of a task group it is the task's own: cancelling it cancels that task.
    pub fn current() -> Option<Self> {
        let mut node = ambient::scope()?;
        // Each run and each step has a node to itself, below the scope that its user knows.
        while matches!(node.role(), Role::Run | Role::Step(_)) {
            node = node.parent()?.clone();
        }
        Some(Self { node })
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Runs `fut` in this scope. Several futures may run in one scope.
    ///
    /// A value that `fut` gives within the grace counts. Dropping the returned future drops `fut`
    /// and leaves the scope as it is.
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`: it holds nothing of its own that could be lost.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled) with the reason, when `fut` was dropped before it was done:
    /// at the next poll after a cancellation and the grace. In a scope that is cancelled already,
    /// without grace, `fut` is never polled.
    ///
    /// # Panics
    ///
    /// When a deadline or a grace must be waited for outside of a Tokio runtime.
    pub fn run<F: IntoFuture>(&self, fut: F) -> Run<F::IntoFuture> {
        Run::new(self.node.clone(), fut.into_future())
    }

    /// Cancels the scope and everything inside. The first reason stays.
    pub fn cancel(&self, reason: Reason) {
        self.node.cancel(reason);
    }

    /// Whether the scope was cancelled, itself or from further out.
    pub fn is_cancelled(&self) -> bool {
        self.follow_token();
        self.node.is_cancelled()
    }

    /// Why, once it is cancelled.
    pub fn reason(&self) -> Option<Reason> {
        self.follow_token();
        self.node.reason()
    }

    /// Waits until the scope is cancelled, and gives the reason.
    ///
    /// What [runs](Self::run) in the scope keeps its deadline and follows its token. Where nothing
    /// runs, neither of them ends this wait.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: a cancelled scope stays cancelled.
    pub fn cancelled(&self) -> UntilCancelled {
        UntilCancelled::new(Some(self.node.clone()))
    }

    /// Fails once the scope is cancelled, like [`check`](crate::check) for the current one.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled) with the reason.
    pub fn check(&self) -> Result<(), crate::Cancelled> {
        self.reason()
            .map_or(Ok(()), |reason| Err(crate::Cancelled::new(reason)))
    }

    /// When the scope ends at the latest: its own deadline or an outer one.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.bound().at().to_instant()
    }

    /// A token that is cancelled with this scope, for code that knows tokio-util's tokens.
    ///
    /// It hears of the cancellation for as long as a handle of the scope, or something inside, lives.
    /// What [runs](Self::run) in the scope keeps its deadline and follows its token: where nothing
    /// runs, neither of them cancels this one. Cancelling the token says nothing to the scope.
    pub fn token(&self) -> CancellationToken {
        self.node.token().child_token()
    }

    /// A scope that follows `token`: cancelled with it, for the reason [`Reason::Requested`].
    ///
    /// There is no task behind it: the token is followed while something [runs](Self::run) in the
    /// scope, and where the scope is asked by [`is_cancelled`](Self::is_cancelled),
    /// [`reason`](Self::reason) or [`check`](Self::check). Where nothing runs,
    /// [`cancelled`](Self::cancelled) and [`token`](Self::token) don't hear of it by themselves.
    pub fn from_token(token: CancellationToken) -> Self {
        Self::builder().token(token).build()
    }

    fn follow_token(&self) {
        if let Some(token) = linked_token(&self.node) {
            if token.is_cancelled() {
                self.node.cancel(Reason::Requested);
            }
        }
    }
}

// Whatever unwinds leaves the tree as it should be: its locks hold for a few lines that don't panic.
impl UnwindSafe for CancelScope {}
impl RefUnwindSafe for CancelScope {}

/// For crates that give nodes to tasks of their own.
impl From<Arc<Node>> for CancelScope {
    fn from(node: Arc<Node>) -> Self {
        Self { node }
    }
}

pub(crate) fn linked_token(node: &Node) -> Option<&CancellationToken> {
    match node.role() {
        Role::Scope(token) => token.as_ref(),
        _ => None,
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("reason", &self.node.reason())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`CancelScope`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `run`"]
pub struct Builder {
    at: Timestamp,
    grace: Duration,
    token: Option<CancellationToken>,
    detached: bool,
}

impl Builder {
    /// Cancels the scope at `at`; the earliest of several deadlines counts.
    ///
    /// What [runs](CancelScope::run) in the scope keeps the deadline. In one where nothing runs nobody
    /// watches the clock: it is cancelled as soon as something is run.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.at = self.at.min(Timestamp::from(at));
        self
    }

    /// Cancels the scope `limit` after this call.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.at = self.at.min(Timestamp::now().after(limit));
        self
    }

    /// How long what runs inside may go on once the scope was cancelled. Default: not at all.
    ///
    /// Each run counts it from the poll at which it sees the cancellation. When the first grace runs
    /// out, all runs are dropped.
    ///
    /// Counted in whole milliseconds, rounded up; from 49 days on it has no end.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Follows a token; see [`CancelScope::from_token`].
    pub fn token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Outside of the current scope and its deadline; see [`CancelScope::root`].
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// The scope.
    pub fn build(self) -> CancelScope {
        let role = Role::Scope(self.token);
        let own = Bound::new(self.at, false);
        let node = match ambient::scope().filter(|_| !self.detached) {
            Some(outer) => {
                let bound = own.min(ambient::bound().unenforced());
                Node::child(outer, bound, self.grace, role)
            }
            None if self.detached => Node::root(own, self.grace, role),
            None => Node::root(own.min(ambient::bound().unenforced()), self.grace, role),
        };
        CancelScope { node }
    }

    /// Builds the scope and runs `fut` in it; see [`CancelScope::run`].
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`: it holds nothing of its own that could be lost.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), as [`CancelScope::run`].
    pub fn run<F: IntoFuture>(self, fut: F) -> Run<F::IntoFuture> {
        self.build().run(fut)
    }
}
