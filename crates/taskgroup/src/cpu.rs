//! Work for a processor, as much at a time as there are processors.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::thread::available_parallelism;
use std::time::Duration;

use shibuya_cancel::raw::{Node, Role, bound, enter, scope};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::group::core::Guest;
use crate::group::limit::{Free, Slot, Slots, TakeSlot};
use crate::{CancelScope, Reason};

static DEFAULT: LazyLock<CpuPool> =
    LazyLock::new(|| CpuPool::new(available_parallelism().map_or(1, usize::from)));

/// Runs a closure that computes on one of Tokio's blocking threads, where it keeps no task waiting. In the
/// whole process there are no more at a time than the machine runs in parallel; the others stand in line,
/// first come first served.
///
/// Tokio's blocking threads are made for waiting: there are hundreds, and as many computations share the
/// processors until each takes as long as all. For a limit of your own make a [`CpuPool`].
///
/// The closure is given its scope, to [`check`](CancelScope::check) now and then. It is inside the scope in
/// force where the future is polled, and has its deadline. Inside of a group, the group waits for it.
///
/// **Dropping the returned future** before the closure began takes it out of the line. A closure that
/// runs can't be stopped: it is told through its scope, goes on, and keeps its place among those that
/// run until it ends.
///
/// A closure that waits for another of the same pool, through `Handle::block_on` say, may wait for its own
/// place for ever.
///
/// # Cancel safety
///
/// Not meant to be taken up again: a value that nobody takes is dropped. No place is lost.
///
/// # Panics
///
/// With the closure's own panic. When polled outside of a Tokio runtime. On one that shuts down before the
/// closure began it stays pending, as who awaits it is about to be dropped.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::{Cancelled, cpu};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let primes = cpu(|scope| {
///     let mut primes: Vec<u32> = Vec::new();
///     for n in 2..1000 {
///         scope.check()?; // whoever wanted them has gone
///         if primes.iter().all(|prime| n % prime != 0) {
///             primes.push(n);
///         }
///     }
///     Ok::<_, Cancelled>(primes.len())
/// });
/// assert_eq!(primes.await, Ok(168));
/// # }
/// ```
#[track_caller]
pub fn cpu<T, F>(f: F) -> Cpu<T, F>
where
    F: FnOnce(&CancelScope) -> T + Send + 'static,
    T: Send + 'static,
{
    DEFAULT.run(f)
}

/// So many places for closures that compute, and the line of those that wait for one.
///
/// It has no threads of its own: they are those of the Tokio runtime that the future is polled in. Clones
/// share the places. Dropping them changes nothing for those that run or wait.
///
/// # Examples
///
/// Half of what there is, so that the other half stays free:
///
/// ```
/// use shibuya_taskgroup::CpuPool;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let thumbnails = CpuPool::new(4);
/// let sum = thumbnails.run(|_| (1..=1000).sum::<u32>()).await;
/// assert_eq!(sum, 500_500);
/// # }
/// ```
#[derive(Clone)]
pub struct CpuPool {
    slots: Arc<Slots>,
    permits: usize,
}

impl CpuPool {
    /// A pool in which at most `permits` closures run at a time.
    ///
    /// # Panics
    ///
    /// When `permits` is 0: nothing would ever run.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        assert!(
            permits > 0,
            "a pool with 0 permits never runs a closure; the least is 1"
        );
        Self {
            slots: Free::slots(permits),
            permits,
        }
    }

    /// Runs a closure once it has its turn; see [`cpu`].
    ///
    /// # Cancel safety
    ///
    /// As [`cpu`].
    ///
    /// # Panics
    ///
    /// As [`cpu`].
    #[track_caller]
    pub fn run<T, F>(&self, f: F) -> Cpu<T, F>
    where
        F: FnOnce(&CancelScope) -> T + Send + 'static,
        T: Send + 'static,
    {
        Cpu {
            stage: Stage::Waiting {
                turn: TakeSlot::new(self.slots.clone()),
                f: Some(f),
            },
            location: Location::caller(),
        }
    }

    /// How many closures may run at a time.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// How many run now, or are about to.
    pub fn running(&self) -> usize {
        self.permits - self.slots.lock().free()
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.slots.len()
    }
}

impl fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuPool")
            .field("permits", &self.permits)
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// The future of [`cpu`] and of [`CpuPool::run`].
#[must_use = "futures do nothing unless polled"]
pub struct Cpu<T, F> {
    stage: Stage<T, F>,
    location: &'static Location<'static>,
}

enum Stage<T, F> {
    Waiting {
        turn: TakeSlot,
        f: Option<F>,
    },
    Running {
        value: oneshot::Receiver<Computed<T>>,
        node: Arc<Node>,
    },
    Done,
}

/// The value, or what the closure panicked with.
type Computed<T> = Result<T, Box<dyn Any + Send>>;

impl<T, F> Future for Cpu<T, F>
where
    F: FnOnce(&CancelScope) -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Stage::Waiting { turn, f } = &mut this.stage {
            let Ok(runtime) = Handle::try_current() else {
                panic!(
                    "work for a processor needs a Tokio runtime: the one made at {} is polled outside of any",
                    this.location
                )
            };
            let slot = ready!(Pin::new(turn).poll(cx));
            let f = f.take().expect("it waits until it has its turn");
            this.stage = start(&runtime, f, slot);
        }
        let Stage::Running { value, .. } = &mut this.stage else {
            panic!("`Cpu` polled after it was done");
        };
        match ready!(Pin::new(value).poll(cx)) {
            Ok(computed) => {
                this.stage = Stage::Done;
                Poll::Ready(computed.unwrap_or_else(|payload| resume_unwind(payload)))
            }
            // The runtime shut down before the closure began, and drops us next.
            Err(_) => Poll::Pending,
        }
    }
}

impl<T, F> Drop for Cpu<T, F> {
    fn drop(&mut self) {
        if let Stage::Running { value, node } = &mut self.stage {
            // One that has a thread to come by finds that nobody waits.
            value.close();
            node.abort(Reason::Dropped);
        }
    }
}

/// The closure is moved, never pinned here.
impl<T, F> Unpin for Cpu<T, F> {}

impl<T, F> fmt::Debug for Cpu<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Waiting { .. } => "waiting",
            Stage::Running { .. } => "running",
            Stage::Done => "done",
        };
        f.debug_struct("Cpu")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

/// Hands the closure to a thread, in a scope of its own inside the one in force here.
fn start<T, F>(runtime: &Handle, f: F, slot: Slot) -> Stage<T, F>
where
    F: FnOnce(&CancelScope) -> T + Send + 'static,
    T: Send + 'static,
{
    // Nobody drops what runs on a thread when the time has come.
    let bound = bound().unenforced();
    let role = Role::Scope(None);
    let (node, guest) = match scope() {
        Some(outer) => {
            let guest = Guest::enter(&outer);
            (Node::child(outer, bound, Duration::ZERO, role), guest)
        }
        None => (Node::root(bound, Duration::ZERO, role), None),
    };
    // The thread can't be dropped.
    node.shield();
    let (give, value) = oneshot::channel();
    let job = Job {
        f,
        give,
        node: node.clone(),
        _slot: slot,
        _guest: guest,
    };
    drop(runtime.spawn_blocking(move || job.run()));
    Stage::Running { value, node }
}

/// What the thread is given. Its fields are dropped in this order: nothing of it is left when its place is
/// free, or when the group around it may end.
struct Job<T, F> {
    f: F,
    give: oneshot::Sender<Computed<T>>,
    node: Arc<Node>,
    _slot: Slot,
    _guest: Option<Guest>,
}

impl<T, F: FnOnce(&CancelScope) -> T> Job<T, F> {
    fn run(self) {
        // Locals are dropped from the last to the first.
        let Self {
            _guest,
            _slot,
            mut node,
            give,
            f,
        } = self;
        let scope = CancelScope::from(node.clone());
        let bound = node.bound();
        let _inside = enter(&mut node, bound);
        // Who waited for it may be gone before it got its thread.
        if give.is_closed() {
            return drop(f);
        }
        let computed = catch_unwind(AssertUnwindSafe(|| f(&scope)));
        // A value that nobody takes is dropped here, where the closure ran.
        drop(give.send(computed));
    }
}
