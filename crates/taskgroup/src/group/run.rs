use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{
    Bound, Node, Role, Timer, Timestamp, bound, covers, enter, enter_deadline, scope,
};
use shibuya_cancel::{Reason, TaskId};
use tokio::runtime::Handle;

use crate::cleanup::{Drain, Next};
use crate::error::{Cause, Failure, GroupError, Report, Straggler};
use crate::group::builder::Builder;
use crate::group::core::{AnyError, Core};
use crate::group::limit::Free;
use crate::see::Polling;
use crate::{OnPanic, Panic, TaskGroup};

pin_project! {
    /// The future of [`TaskGroup::run`]: it drives the group's body and sees its tasks to their end.
    ///
    /// **Dropping it** cancels the group and has its tasks dropped at their next poll, without
    /// waiting for that.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<T, E, F, Fut> {
        start: Option<(Builder<E>, F)>,
        location: &'static Location<'static>,
        #[pin]
        body: Option<Fut>,
        value: Option<T>,
        node: Option<Arc<Node>>,
        // The group's own deadline; one from further out is enforced there.
        at: Timestamp,
        // First waits for the deadline, then for the end of the grace.
        #[pin]
        timer: Timer,
        grace_ends: Option<Timestamp>,
        on_panic: OnPanic,
        aborted: Vec<Straggler>,
        // All tasks have ended: neither deadline nor grace is for what comes after them.
        is_cleaning: bool,
        // The failure that says that the deadline passed.
        expired: Option<TaskId>,
        over: bool,
    }

    impl<T, E, F, Fut> PinnedDrop for Run<T, E, F, Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if *this.over {
                return;
            }
            let Some(node) = this.node.clone() else { return };
            node.abort(Reason::Dropped);
            // A panic in the body's destructor goes on, yet not before the tasks are accounted for.
            let dropped = drop_inside(this.body.as_mut(), &node);
            leave_behind(node);
            if let Err(payload) = dropped {
                if !std::thread::panicking() {
                    std::panic::resume_unwind(payload);
                }
            }
        }
    }
}

impl<T, E, F, Fut> fmt::Debug for Run<T, E, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl<T, E, F, Fut> Run<T, E, F, Fut> {
    pub(crate) fn new(builder: Builder<E>, body: F, location: &'static Location<'static>) -> Self {
        Self {
            on_panic: builder.on_panic,
            start: Some((builder, body)),
            location,
            body: None,
            value: None,
            node: None,
            at: Timestamp::NEVER,
            timer: Timer::new(),
            grace_ends: None,
            aborted: Vec::new(),
            is_cleaning: false,
            expired: None,
            over: false,
        }
    }
}

impl<T, E, F, Fut> Future for Run<T, E, F, Fut>
where
    E: Send + 'static,
    F: FnOnce(TaskGroup<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.over, "`Run` polled after it was done");
        self.as_mut().ensure_started();
        let node = self.node().clone();
        node.drive(cx.waker());
        if self.body.is_some() && !node.is_aborted() {
            self.as_mut().poll_body(&node, cx);
        }
        loop {
            if node.is_aborted() && self.body.is_some() {
                self.as_mut().cut_body(&node);
            }
            if self.body.is_none() {
                match core(&node).wind_up() {
                    Next::Nothing => return Poll::Ready(self.conclude()),
                    Next::Cleanup(cleanup) => {
                        *self.as_mut().project().is_cleaning = true;
                        cleanup.start(&node);
                    }
                    Next::Tasks => {}
                }
            }
            if node.is_aborted() || self.is_cleaning {
                // The last task to end wakes us.
                return Poll::Pending;
            }
            std::task::ready!(self.as_mut().poll_timer(&node, cx));
        }
    }
}

impl<T, E, F, Fut> Run<T, E, F, Fut>
where
    E: Send + 'static,
    F: FnOnce(TaskGroup<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Makes the group and its body, if that was not done yet.
    pub(crate) fn ensure_started(self: Pin<&mut Self>) {
        if self.node.is_none() {
            self.start();
        }
    }

    /// Of a group that was started.
    pub(crate) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("the group was started")
    }

    /// Has what is left dropped, as the end of the grace does.
    pub(crate) fn abort(self: Pin<&mut Self>, why: Reason) {
        let this = self.project();
        let node = this.node.as_ref().expect("the group was started");
        abort(node, this.aborted, why);
    }

    /// The tasks that the end of the grace found at work.
    pub(crate) fn aborted(&self) -> &[Straggler] {
        &self.aborted
    }

    /// Whether clean-ups run, after all tasks.
    pub(crate) fn is_cleaning(&self) -> bool {
        self.is_cleaning
    }

    /// Stops waiting for the tasks of an aborted group. What waits for them in its stead is what would
    /// if this was dropped.
    pub(crate) fn abandon(mut self: Pin<&mut Self>) -> Result<T, GroupError<E>> {
        let node = self.node().clone();
        let result = self.as_mut().result();
        *self.project().over = true;
        leave_behind(node);
        result
    }

    /// Makes the group's node, inside the scope in force here, and the body.
    fn start(self: Pin<&mut Self>) {
        let mut this = self.project();
        let (builder, body) = this.start.take().expect("`Run` polled after it was done");
        let Ok(runtime) = Handle::try_current() else {
            panic!(
                "a task group needs a Tokio runtime: the one made at {} is polled outside of any",
                this.location
            )
        };
        let now = Timestamp::now();
        *this.at = builder.at.min(now.after(builder.limit_time));
        let bound = Bound::new(*this.at, builder.grace.is_zero()).min(bound());
        let slots = builder.limit.map(Free::slots);
        let core = Core::new(
            builder.name,
            this.location,
            builder.on_error,
            slots,
            runtime,
        );
        let role = Role::Owned(Box::new(core));
        let node = match scope() {
            Some(outer) => Node::child(outer, bound, builder.grace, role),
            None => Node::root(bound, builder.grace, role),
        };
        let group = TaskGroup::new(node.clone());
        *this.node = Some(node.clone());
        if *this.at <= now {
            *this.expired = Some(expire(&node));
        }
        let mut scope = node.clone();
        let inside = enter(&mut scope, bound);
        let made = catch_unwind(AssertUnwindSafe(|| body(group)));
        drop(inside);
        match made {
            Ok(body) => this.body.set(Some(body)),
            Err(payload) => fail(&node, Cause::Panic(Panic::new(payload))),
        }
    }

    fn poll_body(self: Pin<&mut Self>, node: &Arc<Node>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let mut scope = node.clone();
        // The deadline cuts what is polled here and now; what the body borrows may outlive it.
        let at = *this.at;
        let cuts = node.grace().is_zero() && !covers(at, cx);
        let cut = cuts.then(|| enter_deadline(at, cx));
        let polling = Polling::begin(node);
        let inside = enter(&mut scope, node.bound().unenforced().min(bound()));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = this.body.as_mut().as_pin_mut().map(|body| body.poll(cx));
            if let Some(Poll::Ready(_)) = polled {
                this.body.set(None);
            }
            polled
        }));
        drop(inside);
        drop(polling);
        drop(cut);
        if !matches!(polled, Ok(Some(Poll::Pending))) {
            core(node).body_is_over();
        }
        match polled {
            Ok(Some(Poll::Ready(Ok(value)))) => *this.value = Some(value),
            Ok(Some(Poll::Ready(Err(error)))) => fail(node, Cause::Error(Box::new(error))),
            Ok(_) => {}
            Err(payload) => {
                fail(node, Cause::Panic(Panic::new(payload)));
                let _ = drop_inside(this.body, node);
            }
        }
    }

    fn cut_body(self: Pin<&mut Self>, node: &Arc<Node>) {
        core(node).body_is_over();
        if let Err(payload) = drop_inside(self.project().body, node) {
            fail(node, Cause::Panic(Panic::new(payload)));
        }
    }

    /// Ready when the deadline or the end of the grace has changed the group's state.
    fn poll_timer(self: Pin<&mut Self>, node: &Arc<Node>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if node.is_origin() {
            let ends = *this.grace_ends.get_or_insert_with(|| {
                this.timer.as_mut().disarm();
                Timestamp::now().after(node.grace())
            });
            std::task::ready!(this.timer.poll(ends, cx));
            abort(node, this.aborted, Reason::Requested);
            return Poll::Ready(());
        }
        if covers(*this.at, cx) {
            return Poll::Pending;
        }
        std::task::ready!(this.timer.poll(*this.at, cx));
        *this.expired = Some(expire(node));
        Poll::Ready(())
    }

    fn conclude(mut self: Pin<&mut Self>) -> Result<T, GroupError<E>> {
        let this = self.as_mut().project();
        *this.over = true;
        let node = this.node.as_ref().expect("the group was started");
        node.end();
        core(node).roster.clear();
        self.result()
    }

    /// What the group gives, with all failures until now.
    fn result(self: Pin<&mut Self>) -> Result<T, GroupError<E>> {
        let this = self.project();
        let node = this.node.as_ref().expect("the group was started");
        let core = core(node);
        let (mut failures, dropped) = core.take_failures();
        if this.value.is_some() && !node.is_aborted() {
            // All ended by themselves within the grace: late, and well.
            failures.retain(|failure| Some(failure.id) != *this.expired);
        }
        let mut kept = failures.into_iter().map(typed::<E>);
        let first = match kept.next() {
            Some(first) => first,
            None => match this.value.take() {
                Some(value) => return Ok(value),
                None => {
                    let reason = node.reason().unwrap_or(Reason::Requested);
                    typed(core.own_failure("body".into(), Cause::Cancelled(reason)))
                }
            },
        };
        let error = GroupError::new(Report {
            name: core.name.clone(),
            first,
            later: kept.collect(),
            dropped,
            aborted: this.aborted.clone(),
        });
        if *this.on_panic == OnPanic::Resume {
            return Err(error.resume_panic());
        }
        Err(error)
    }
}

impl<E> GroupError<E> {
    /// Goes on with the first panic, if there is one among the failures.
    fn resume_panic(self) -> Self {
        if !self
            .iter()
            .any(|failure| matches!(failure.cause, Cause::Panic(_)))
        {
            return self;
        }
        for failure in self.into_failures() {
            if let Cause::Panic(panic) = failure.cause {
                panic.resume();
            }
        }
        unreachable!("one of the failures is a panic")
    }
}

pub(crate) fn core(node: &Node) -> &Core {
    Core::of(node).expect("a group's node has a core")
}

/// The body's failure.
fn fail(node: &Node, cause: Cause<AnyError>) {
    if Core::is_echo(node, &cause) {
        return;
    }
    let core = core(node);
    core.fail(node, core.own_failure("body".into(), cause), false);
}

/// The deadline has passed: that is a failure, and it ends the group also where failures are
/// collected.
fn expire(node: &Node) -> TaskId {
    let core = core(node);
    let name = if core.name.is_unnamed() {
        "task group".into()
    } else {
        core.name.clone()
    };
    let failure = core.own_failure(name, Cause::Deadline);
    let id = failure.id;
    core.note(failure, false);
    node.cancel(Reason::Deadline);
    id
}

fn typed<E: 'static>(failure: Failure<AnyError>) -> Failure<E> {
    let Failure {
        id,
        name,
        location,
        elapsed,
        cause,
    } = failure;
    Failure {
        id,
        name,
        location,
        elapsed,
        cause: cause.typed(),
    }
}

/// Has what is left dropped, and notes it.
fn abort(node: &Node, aborted: &mut Vec<Straggler>, why: Reason) {
    *aborted = core(node).stragglers();
    for task in &*aborted {
        tracing::warn!(%task, "aborted: still at work when the grace was over");
    }
    node.abort(why);
}

/// Nobody drives the group here any more. It was aborted, and has no body.
fn leave_behind(node: Arc<Node>) {
    if core(&node).cleanups.close_if_empty() {
        core(&node).orphan(&node);
        node.end();
    } else {
        Drain::spawn(node);
    }
}

/// Destructors see the scope that they run in.
fn drop_inside<F>(mut fut: Pin<&mut Option<F>>, node: &Arc<Node>) -> std::thread::Result<()> {
    let mut scope = node.clone();
    let _inside = enter(&mut scope, node.bound());
    catch_unwind(AssertUnwindSafe(|| fut.set(None)))
}
