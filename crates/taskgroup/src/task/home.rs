//! Where a task runs: on any thread of the group's runtime, or on the one that spawns it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::Name;
use crate::group::limit::Slotted;
use crate::task::child::Child;
use crate::task::spawn::{Plain, Timed};

/// Takes in `C`, the whole of what Tokio runs for a task.
///
/// A parameter of the trait and not of its method, since only so each home says for itself whether
/// what it takes must be `Send`.
pub(crate) trait Home<C> {
    /// The name is for who looks from outside.
    fn spawn(self, runtime: &Handle, name: &Name, child: C) -> JoinHandle<C::Output>
    where
        C: Future;
}

/// A home for `F` in whatever the group wraps it: with and without a timeout, in line and not.
pub(crate) trait HomeOf<F>:
    Home<Child<Plain<F>>>
    + Home<Child<Timed<F>>>
    + Home<Child<Slotted<Plain<F>>>>
    + Home<Child<Slotted<Timed<F>>>>
{
}

impl<F, H> HomeOf<F> for H where
    H: Home<Child<Plain<F>>>
        + Home<Child<Timed<F>>>
        + Home<Child<Slotted<Plain<F>>>>
        + Home<Child<Slotted<Timed<F>>>>
{
}

/// The threads of the group's runtime.
pub(crate) struct Anywhere;

impl<C> Home<C> for Anywhere
where
    C: Future<Output: Send + 'static> + Send + 'static,
{
    #[track_caller]
    fn spawn(self, runtime: &Handle, name: &Name, child: C) -> JoinHandle<C::Output> {
        #[cfg(all(tokio_unstable, feature = "console"))]
        if !name.is_unnamed() {
            let spawned = tokio::task::Builder::new()
                .name(&name.to_string())
                .spawn_on(child, runtime);
            return spawned.expect("Tokio's builder can't fail here");
        }
        let _ = name;
        runtime.spawn(child)
    }
}

/// The `LocalSet`, or local runtime, of this thread.
pub(crate) struct Here;

impl<C> Home<C> for Here
where
    C: Future<Output: 'static> + 'static,
{
    /// Where there is no such thing, the child is dropped in the unwinding, and counted out like any.
    #[track_caller]
    fn spawn(self, _: &Handle, _: &Name, child: C) -> JoinHandle<C::Output> {
        // Tokio has no way to ask beforehand, and its panic points into Tokio.
        match catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_local(child))) {
            Ok(handle) => handle,
            Err(_) => panic!("`spawn_local` outside of a `LocalSet` or a local runtime"),
        }
    }
}
