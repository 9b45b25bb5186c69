//! How many calls may be under way at once: a number, or one that is found as it goes.
//!
//! A rate says how many calls may *begin* in a second. That does not protect a server that has become slow: at a hundred
//! a second, calls of ten milliseconds are one at a time, and calls of ten seconds are a thousand. A concurrency
//! limit says how many may be *under way*, whatever each takes; by Little's law the rate follows from it. A client should have
//! one for each server that it depends on, and a server one for all that it does at once.
//!
//! ```
//! use shibuya_ratelimit::ConcurrencyLimiter;
//!
//! static SEARCH: ConcurrencyLimiter = ConcurrencyLimiter::fixed(64).max_waiters(1000);
//!
//! async fn search(query: &str) -> Result<String, Box<dyn std::error::Error>> {
//!     let permit = SEARCH.acquire().await?; // in line, until the deadline in force
//!     let answer = format!("found {query}"); // the call
//!     permit.success();
//!     Ok(answer)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! assert_eq!(search("shoes").await.unwrap(), "found shoes");
//! # }
//! ```
//!
//! # Which limit?
//!
//! The one that a load test shows: where more calls at once bring no more answers, but slower ones. Where nobody knows it, or
//! where it changes with the hour, the neighbours and each release, an algorithm finds it, by what the calls
//! tell:
//!
//! | | it goes by | for | keeps at the server |
//! |---|---|---|---|
//! | [`Gradient2`] | how much slower than usual calls are, on the average | most servers; calls of different lengths | some queue: calls take up to half as long again |
//! | [`Vegas`] | how much slower than ever they are, at best | calls of the same length each | a queue of a few calls |
//! | [`Aimd`] | refusals, or a timeout | servers that say when it is too much | what the server allows, and now and then more |
//!
//! All of them grow only while at least half of the limit is in use, stay within
//! [bounds](Gradient2Builder::limits), and take an [`overloaded`](Permit::overloaded) for what it is. [`Algorithm`] is the trait
//! for one of your own. None of them has a clock, so tests need not wait.
//!
//! # What a permit is told
//!
//! - [`success`](Permit::success): it was served. How long that took, from the permit on, is what the algorithms learn from. Tell
//!   it when the answer is there, not when all of a body was read by a slow reader.
//! - [`overloaded`](Permit::overloaded): it was refused for the load, such as with 503, or timed out.
//! - [`ignore`](Permit::ignore), or a drop: it says nothing. So a call that is cancelled, or panics, frees its slot and teaches nothing.
//!
//! # Guarantees
//!
//! - Never more than the limit are let through at once. A limit that shrinks lets those go on who are under way; one that
//!   grows lets others through at once.
//! - Who waits is let through in the order of the first polls, and `try_acquire` passes nobody. A waiter that is dropped leaves the line, or gives
//!   the slot that it was handed to the next.
//! - No waiting past the deadline in force ([`shibuya_cancel`]): it ends with [`Denied::TimedOut`](crate::Denied::TimedOut).
//! - No task and no timer of its own: a timer is armed for a call that waits under a deadline that nobody else enforces.
//! - A fixed limit never asks for the time.
//!
//! # A rate, too
//!
//! A call that must keep to a rate as well takes its slot first, and gives it back as ignored if the rate denies it: the other
//! way round, a token of the rate would be spent on a call that then waits in line. [`Throttle`](crate::Throttle) does that.
//!
//! # What it does not do
//!
//! - Calls of different weight: each takes one slot. For bytes or rows there is `tokio::sync::Semaphore`.
//! - Priorities: there is one line.
//! - Limits that several processes share: each finds its own, which is what the algorithms are made for.

mod acquire;
mod aimd;
mod algorithm;
mod bounds;
mod error;
mod floor;
mod gradient2;
mod keyed;
mod limiter;
mod permit;
mod probe;
mod slots;
mod table;
mod vegas;
mod window;

pub use acquire::AcquirePermit;
pub use aimd::{Aimd, AimdBuilder};
pub use algorithm::{Algorithm, Outcome, Sample};
pub use error::InvalidLimit;
pub use gradient2::{Gradient2, Gradient2Builder};
pub use keyed::{KeyedConcurrency, KeyedLimiter};
pub use limiter::{ConcurrencyLimiter, ConcurrencySnapshot};
pub use permit::Permit;
pub use vegas::{Vegas, VegasBuilder};
