//! Several futures of one output, run as tasks, and how they end in the order in which they do: what
//! `as_completed`, `race` and `select_first` stand on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;
use shibuya_cancel::raw::with_scope;

use crate::group::run::Run;
use crate::several::arrivals::Arrivals;
use crate::several::input::{InputKind, Many, Tuple, for_each_tuple};
use crate::several::settled::Settled;
use crate::task::spawn::TaskBuilder;
use crate::{Name, Outcome, Panic, Reason, TaskGroup};

/// How futures ended, each with its place in the input.
pub(crate) type Ended<T, E> = Arrivals<(usize, Outcome<T, E>)>;

/// Spawns all that it was made of.
pub(crate) type SpawnAll =
    Box<dyn FnOnce(&TaskGroup<Infallible>, &'static Location<'static>) + Send>;

/// What [`as_completed`](crate::as_completed), [`race`](crate::race()) and
/// [`select_first`](crate::select_first) take: whatever iterates over futures, or a tuple of 2 to 12 of
/// them with one output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number of futures with one output",
    label = "neither iterates over futures of a `Result` nor is a tuple of 2 to 12 with one output",
    note = "the futures, their values and their errors are `Send` and `'static`: they run on tasks"
)]
pub trait IntoFutures<K: InputKind> {
    /// What each gives.
    type Value;
    /// What each may fail with.
    type Error;

    #[doc(hidden)]
    fn into_tasks(self, to: &Arc<Ended<Self::Value, Self::Error>>) -> SpawnAll;
}

impl<T, E, I> IntoFutures<Many> for I
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Value = T;
    type Error = E;

    fn into_tasks(self, to: &Arc<Ended<T, E>>) -> SpawnAll {
        let numbered = self.into_iter().enumerate();
        let told: Vec<_> = numbered
            .map(|(number, fut)| Told::new(number, fut, to.clone()))
            .collect();
        Box::new(move |g, location| {
            for fut in told {
                fut.spawn(g, location);
            }
        })
    }
}

macro_rules! into_tasks_tuple {
    ($([$F:ident $T:ident $E:ident $i:tt])+) => {
        impl<T, E, $($F),+> IntoFutures<Tuple> for ($($F,)+)
        where
            T: Send + 'static,
            E: Send + 'static,
            $($F: Future<Output = Result<T, E>> + Send + 'static,)+
        {
            type Value = T;
            type Error = E;

            fn into_tasks(self, to: &Arc<Ended<T, E>>) -> SpawnAll {
                let told = ($(Told::new($i, self.$i, to.clone()),)+);
                Box::new(move |g, location| {
                    $(told.$i.spawn(g, location);)+
                })
            }
        }
    };
}

for_each_tuple!(into_tasks_tuple);

pub(crate) struct Completions<T, E> {
    /// The group, until all of it is gone.
    run: Option<BoxFuture<'static, ()>>,
    /// Its handle, once it runs.
    group: Arc<OnceLock<TaskGroup<Infallible>>>,
    ended: Arc<Ended<T, E>>,
    /// Taken from the list, and not yet given.
    taken: VecDeque<(usize, Outcome<T, E>)>,
}

impl<T, E> Completions<T, E> {
    pub(crate) fn new<I, K>(
        name: &'static str,
        location: &'static Location<'static>,
        futures: I,
    ) -> Self
    where
        I: IntoFutures<K, Value = T, Error = E>,
        K: InputKind,
    {
        let ended = Arc::new(Ended::new());
        let spawn_all = futures.into_tasks(&ended);
        let group = Arc::new(OnceLock::new());
        let handle = group.clone();
        let body = async move |g| {
            spawn_all(&g, location);
            let _ = handle.set(g);
            Ok(())
        };
        let run = Run::new(TaskGroup::builder().name(name), body, location);
        // Whatever becomes of the group, each of its tasks tells how it ended.
        let run = async move { drop(run.await) };
        Self {
            run: Some(Box::pin(run)),
            group,
            ended,
            taken: VecDeque::new(),
        }
    }

    /// The next that ended; `None` when all are given and gone.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, Outcome<T, E>)>> {
        loop {
            if let Some(next) = self.taken.pop_front() {
                return Poll::Ready(Some(next));
            }
            if self.ended.poll_take(&mut self.taken, 1, cx).is_ready() {
                continue;
            }
            if self.run.is_none() {
                return Poll::Ready(None);
            }
            ready!(self.poll_gone(cx));
        }
    }

    /// Has those that are left dropped. What they come to is nobody's.
    pub(crate) fn stop(&mut self) {
        self.ended.close();
        self.taken.clear();
        if let Some(group) = self.group.get() {
            group.cancel(Reason::Requested);
        }
    }

    /// Ready when all are gone.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(run) = &mut self.run {
            ready!(run.as_mut().poll(cx));
            self.run = None;
        }
        Poll::Ready(())
    }
}

impl<T, E> Drop for Completions<T, E> {
    fn drop(&mut self) {
        self.ended.close();
    }
}

/// Nothing in it is pinned but what has a box of its own.
impl<T, E> Unpin for Completions<T, E> {}

pin_project! {
    /// A future that tells once how it ended, whichever way it does, and not before it is gone.
    struct Told<F, T, E> {
        number: usize,
        #[pin]
        fut: Option<Settled<F>>,
        to: Arc<Ended<T, E>>,
    }

    impl<F, T, E> PinnedDrop for Told<F, T, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.fut.is_none() {
                return;
            }
            let gone = catch_unwind(AssertUnwindSafe(|| this.fut.set(None)));
            let reason = || with_scope(|scope| scope.and_then(|node| node.reason()));
            let outcome = match gone {
                Ok(()) => Outcome::Cancelled(reason().unwrap_or(Reason::Dropped)),
                Err(payload) => Outcome::Panicked(Panic::new(payload)),
            };
            this.to.push((*this.number, outcome));
        }
    }
}

impl<F, T, E> Told<F, T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn new(number: usize, fut: F, to: Arc<Ended<T, E>>) -> Self {
        let fut = Some(Settled::new(fut));
        Self { number, fut, to }
    }

    fn spawn(self, g: &TaskGroup<Infallible>, location: &'static Location<'static>) {
        let name = Name::future(self.number);
        drop(TaskBuilder::new(g, name, location).spawn(self));
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Told<F, T, E> {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let fut = this.fut.as_mut().as_pin_mut();
        let Ok(outcome) = ready!(fut.expect("polled until it is done").poll(cx));
        this.fut.set(None);
        this.to.push((*this.number, outcome));
        Poll::Ready(Ok(()))
    }
}
