//! The registry of public futures: which futures does a crate hand out, and which of them does no test cancel?
//!
//! [`public_futures`] reads the crate's sources, [`harnessed`] reads its tests, [`uncovered`] compares them. One test then
//! keeps the promise for good:
//!
//! ```no_run
//! #[test]
//! fn every_public_future_is_cancelled_at_every_poll() {
//!     let uncovered = shibuya_testkit::tidy::uncovered(env!("CARGO_MANIFEST_DIR")).unwrap();
//!     assert!(uncovered.is_empty(), "no test cancels these at every poll: {uncovered:#?}");
//! }
//! ```
//!
//! # Which futures are public
//!
//! What the sources declare with a plain `pub`: turn on rustc's `unreachable_pub` lint, and the word means what it says.
//! Items inside a macro, as in `pin_project! { pub struct X { … } }`, are read like others. What stands under `#[cfg(test)]`,
//! or comes out of a macro of your own, is not seen.
//!
//! | in the sources | its name | covered by |
//! |---|---|---|
//! | `pub async fn f` | `f` | `f` |
//! | `pub async fn m` in an `impl T` | `T::m` | `T::m` |
//! | `async fn m` in an `impl Trait for T` | `T::m`; `Trait::m` if `T` is not of this crate | its name |
//! | `async fn m { … }` with a body in a `pub trait Trait` | `Trait::m` | `Trait::m` |
//! | any of these without `async`, whose return type says `Future`, `Stream` or the like | the same | the same |
//! | `impl Future for X`, also `Stream` or `IntoFuture` | `X` | `X`, or any public function that returns an `X` |
//!
//! # Which futures are covered
//!
//! Those whose name is the first argument, a literal, of a call of [`cancel_at_every_poll`](crate::cancel_at_every_poll) or
//! [`Harness::new`](crate::Harness::new), anywhere in the crate's `src` and `tests`, also inside a macro's arguments.

mod declared;
mod futures;
mod harnessed;
mod sources;

use std::io;
use std::path::Path;

pub use futures::{PublicFuture, public_futures};
pub use harnessed::harnessed;

/// The public futures of the crate in `crate_dir` that no test drops at every poll.
///
/// # Errors
///
/// If a source file can't be read or parsed.
pub fn uncovered(crate_dir: impl AsRef<Path>) -> io::Result<Vec<PublicFuture>> {
    let [src, tests] = ["src", "tests"].map(|folder| crate_dir.as_ref().join(folder));
    let mut names = harnessed(&src)?;
    names.extend(harnessed(&tests)?);
    let mut futures = public_futures(&src)?;
    futures.retain(|future| !future.covered_by.iter().any(|name| names.contains(name)));
    Ok(futures)
}
