use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use shibuya_cancel::TaskId;
use shibuya_cancel::raw::{Label, Node, Timestamp, scope};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::cleanup::{BUDGET, caught, check_budget, within};
use crate::error::{Cause, Failure};
use crate::group::core::Core;
use crate::task::End;
use crate::task::shelter::{self, Hears, nearest_group};
use crate::{Name, Task};

type AnyError = Box<dyn Error + Send + Sync>;

/// Things to be released in the end, the last one first: what `asyncio.AsyncExitStack` is.
///
/// **Dropping it** releases what it holds, without waiting for that: in a task of the nearest group, which
/// waits for it, else of the runtime. What fails then is logged, and panics and cuts are failures of that group.
/// So a function that sets up several things holds them here, gives the `Resources` away when all are there,
/// and may return early with `?` before.
///
/// No cancellation, abort or deadline reaches a release; each has a budget instead, by default 5 seconds.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
///
/// use shibuya_taskgroup::Resources;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut resources = Resources::new();
/// let log = resources.hold("log", Mutex::new(vec![]), |_| async { Ok::<_, io::Error>(()) });
/// let said = log.clone();
/// let page = resources.hold("page", "a page", move |page| async move {
///     said.lock().unwrap().push(format!("{page} was released"));
///     Err(io::Error::other("not gladly"))
/// });
/// assert_eq!(page.len(), 6);
///
/// let error = resources.release().await.unwrap_err();
/// assert_eq!(*error.first().name(), "page");
/// assert_eq!(*log.lock().unwrap(), ["a page was released"]);
/// # }
/// ```
#[must_use = "dropping it releases what it holds"]
pub struct Resources {
    held: Vec<Held>,
    budget: Duration,
    location: &'static Location<'static>,
    /// For a drop outside of any runtime.
    runtime: Option<Handle>,
}

struct Held {
    name: Name,
    location: &'static Location<'static>,
    budget: Duration,
    release: Box<dyn FnOnce() -> BoxFuture<'static, Result<(), AnyError>> + Send>,
}

impl Resources {
    /// None yet.
    #[expect(
        clippy::new_without_default,
        reason = "it depends on the caller's runtime"
    )]
    #[track_caller]
    pub fn new() -> Self {
        Self {
            held: Vec::new(),
            budget: BUDGET,
            location: Location::caller(),
            runtime: Handle::try_current().ok(),
        }
    }

    /// How long each release may take before it is cut, of what is held from now on. Default: 5 seconds.
    ///
    /// # Panics
    ///
    /// With a budget of zero: nothing would ever be released.
    #[track_caller]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = check_budget(budget);
        self
    }

    /// Holds `value` until all is released, and gives access to it.
    ///
    /// `release` gets the same [`Arc`]: [`Arc::into_inner`] has the value for one that consumes it, if
    /// everybody else let theirs go by then.
    ///
    /// # Panics
    ///
    /// Never. A panic of `release` is a failure of the [`release`](Self::release) of all.
    #[track_caller]
    pub fn hold<T, F, Fut, R>(&mut self, name: impl Into<Name>, value: T, release: F) -> Arc<T>
    where
        T: Send + Sync + 'static,
        F: FnOnce(Arc<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), R>> + Send + 'static,
        R: Into<AnyError>,
    {
        let value = Arc::new(value);
        let held = value.clone();
        self.held.push(Held {
            name: name.into(),
            location: Location::caller(),
            budget: self.budget,
            release: Box::new(move || {
                Box::pin(async move { release(held).await.map_err(Into::into) })
            }),
        });
        value
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Releases all, the last one first, one after the other, also after one that failed.
    ///
    /// It begins at once, in a task of the nearest group, which waits for it, or outside of any of the runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future leaves the releases running. What fails then is logged, and panics and
    /// cuts are failures of that group.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] with all that failed, panicked or was cut.
    ///
    /// # Panics
    ///
    /// When called outside of a Tokio runtime and of any group. When awaited on another runtime than that of
    /// the releases, after that one has shut down.
    #[track_caller]
    pub fn release(mut self) -> Release {
        match self.start() {
            Some(place) => Release { place },
            None => panic!("to release {} resources needs a Tokio runtime", self.len()),
        }
    }

    /// Begins, where there is somebody to do it.
    fn start(&mut self) -> Option<Place> {
        let group = nearest_group(scope().as_ref());
        let runtime = self.runtime.clone().or_else(|| Handle::try_current().ok());
        if group.is_none() && runtime.is_none() {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        let work = release_all(held, group.clone());
        Some(match (group, runtime) {
            (Some(group), _) => {
                let label = Label::new(Name::from("release"), self.location);
                Place::Group(shelter::spawn(group, label, Hears::Nothing, work))
            }
            (None, runtime) => Place::Runtime(runtime.expect("looked at above").spawn(work)),
        })
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        if !self.is_empty() && self.start().is_none() {
            let count = self.len();
            tracing::error!("{count} resources are lost: there is no runtime to release them");
        }
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.held.iter().map(|held| &held.name);
        f.debug_list().entries(names).finish()
    }
}

async fn release_all(
    mut held: Vec<Held>,
    group: Option<Arc<Node>>,
) -> Result<Failures, Cause<Infallible>> {
    let mut failures = Failures {
        unheard: Vec::new(),
        group,
    };
    while let Some(held) = held.pop() {
        let began = Timestamp::now();
        let work = within(held.budget, async { (held.release)().await });
        let cause = match caught(work).await {
            Ok(Ok(())) => continue,
            Ok(Err(cause)) => cause,
            Err(panic) => Cause::Panic(panic),
        };
        failures.unheard.push(Failure {
            id: TaskId::next(),
            name: held.name,
            location: held.location,
            elapsed: Timestamp::now().since(began),
            cause,
        });
    }
    Ok(failures)
}

/// What failed, until somebody hears of it.
struct Failures {
    unheard: Vec<Failure<AnyError>>,
    group: Option<Arc<Node>>,
}

/// Nobody will: panics and cuts are the group's, whatever its errors are, if it still waits for anything.
impl Drop for Failures {
    fn drop(&mut self) {
        for failure in self.unheard.drain(..) {
            tracing::error!(%failure, "a release failed");
            let Some((group, core)) = self.group.as_ref().and_then(|g| Some((g, Core::of(g)?)))
            else {
                continue;
            };
            let cause = match failure.cause {
                Cause::Panic(panic) => Cause::Panic(panic),
                Cause::Budget(budget) => Cause::Budget(budget),
                _ => continue,
            };
            if core.adopt() {
                let name = format!("release {}", failure.name).into();
                let failure = Failure {
                    name,
                    cause,
                    id: failure.id,
                    location: failure.location,
                    elapsed: failure.elapsed,
                };
                core.fail(group, failure, false);
                core.leave(group);
            }
        }
    }
}

/// The future of [`Resources::release`]: the releases run without it, too.
pub struct Release {
    place: Place,
}

enum Place {
    Group(Task<Failures, Infallible>),
    Runtime(JoinHandle<Result<Failures, Cause<Infallible>>>),
}

impl Future for Release {
    type Output = Result<(), ReleaseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failures = match &mut self.place {
            Place::Group(task) => match ready!(task.poll_end(cx)) {
                End::Value(failures) => Some(failures),
                End::Failed | End::Cancelled(_) => None,
            },
            Place::Runtime(handle) => match ready!(Pin::new(handle).poll(cx)) {
                Ok(Ok(failures)) => Some(failures),
                Ok(Err(_)) | Err(_) => None,
            },
        };
        // Panics are caught in it, so it was dropped.
        let mut failures =
            failures.expect("the runtime of the releases shut down before they were done");
        let failures = std::mem::take(&mut failures.unheard);
        Poll::Ready(match failures.is_empty() {
            true => Ok(()),
            false => Err(ReleaseError { failures }),
        })
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Release(..)")
    }
}

/// What failed, panicked or was cut while [`Resources`] were released: at least one.
pub struct ReleaseError {
    failures: Vec<Failure<AnyError>>,
}

impl ReleaseError {
    /// The failure that came first: of what was held last.
    pub fn first(&self) -> &Failure<AnyError> {
        &self.failures[0]
    }

    /// All of them, in the order in which they came. Each has the name that its resource was held by.
    pub fn iter(&self) -> impl Iterator<Item = &Failure<AnyError>> {
        self.failures.iter()
    }

    /// All of them, by value.
    pub fn into_failures(self) -> impl Iterator<Item = Failure<AnyError>> {
        self.failures.into_iter()
    }

    /// How many.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.failures.len()
    }
}

/// A line for all of it, and one for each failure.
impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => f.write_str("1 resource was not released well")?,
            n => write!(f, "{n} resources were not released well")?,
        }
        let last = self.len() - 1;
        for (at, failure) in self.iter().enumerate() {
            let branch = if at == last { "└─" } else { "├─" };
            write!(f, "\n{branch} {failure}")?;
        }
        Ok(())
    }
}

/// The same text: it is what `unwrap` prints.
impl fmt::Debug for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The errors are in the text already, so there is no `source` to print them twice.
impl Error for ReleaseError {}
