//! One limit for many processes: [`Distributed`], and the stores that keep it.
//!
//! ```
//! use std::time::Duration;
//!
//! use shibuya_cancel::timeout;
//! use shibuya_ratelimit::distributed::{Distributed, Fail, Lease, Memory};
//! use shibuya_ratelimit::{Denied, Quota};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // With the feature `redis`: `RedisBackend::open("redis://127.0.0.1:6379")?`.
//! let store = Memory::new();
//! let limit = Distributed::new(store, Quota::per_second(100).burst(10))
//!     .lease(Lease::auto())
//!     .on_error(Fail::LocalShare(0.25));
//!
//! for _ in 0..10 {
//!     limit.try_acquire("user:7").await.unwrap();
//! }
//! let refused = limit.try_acquire("user:7").await.unwrap_err();
//! assert!(refused.retry_after().unwrap() <= Duration::from_millis(10));
//!
//! // It would wait in vain, so it does not.
//! let hurried = timeout(Duration::from_millis(50), limit.acquire_n("user:7", 10)).await;
//! assert!(matches!(hurried, Ok(Err(Denied::Hopeless { .. }))));
//!
//! limit.acquire("user:7").await.unwrap();
//! # }
//! ```
//!
//! # How it works
//!
//! The store keeps one time for each key: when its burst will be full again. To take `n` moves that time `n` intervals on, and is
//! refused if it would then lie more than a burst ahead. That is GCRA; it is done in one step, by the store, on the store's own clock. So
//! processes need not agree on the time, and there is no window at whose edge twice the rate gets through.
//!
//! # Guarantees
//!
//! As long as the store decides:
//!
//! - **A ceiling for all.** Up to any moment, all processes together were granted no more than `burst + t / interval`, where `t` is the
//!   time since the first request; whatever crashed, was cancelled, timed out or was leased. A charge comes before its grant, and
//!   a charge whose answer nobody saw counts as used. In any window of length `w`, it is no more than `burst + w / interval` where
//!   nothing is leased.
//! - **Leases are charged before they are spent.** A process that dies takes along what it had leased, and no more. What was leased and
//!   then granted later makes a window's sum larger by what is earned in 100 ms at the most, the age at which a lease ends. So does what was
//!   taken for waiters that left.
//! - **An honest refusal.** Who comes after [`RetryAfter`](crate::Denied::RetryAfter) is let through, unless somebody else was first.
//! - **Order.** Those of one process who wait for a key come in turn. `try_acquire` does not pass those who stand in line. Between
//!   processes there is no order: who asks first gets it.
//! - **No waiting in vain.** A turn that would come after the deadline of the [scope](shibuya_cancel), or after the time given to
//!   [`acquire_within`](Distributed::acquire_within), is an error at once.
//! - **A refund** gives back what was charged, less what has been earned again since. The store knows of no other refunds: where some of a
//!   burst come back at once and others much later, those may bring more than is left of them, and the ceilings above don't hold for that.
//!
//! # When the store is out
//!
//! A request that gets no answer within the [timeout](Distributed::timeout), or an error, is decided by [`Fail`]: let through, refused,
//! or held to this process's own share of the quota. Each is counted in the [snapshot](Distributed::snapshot), and the first of an outage, and its end, is an
//! event of `tracing`. While the store is silent or can't be reached, one request in 100 ms asks it, and the others are decided at
//! once; so an outage costs one of them a timeout now and then, and not each. The first answer ends it.
//!
//! # Costs
//!
//! A request is one round trip, with these exceptions:
//!
//! - **Refusals are remembered.** Until the time that the store has named, as much or more of the same key is refused without asking. A
//!   flood of requests over the limit costs one round trip for each interval.
//! - **Waiters ask together.** The first in line takes what is there for all behind it.
//! - **Leases**, if there are to be any: with [`Lease::auto`] a process takes at once what it has lately granted in 20 ms, up to a quarter of
//!   the burst divided by the number of processes. At 10,000 per second that is one round trip for up to 200 grants. Those who come
//!   while a lease is being taken wait for it. When the limit is reached, the store is asked again when there is a lease to take, and not
//!   for each single one; a refusal names that time, and only who has no time for it asks sooner.
//!
//! Choose the burst no smaller than what is earned in a few milliseconds: a timer of Tokio's is as coarse as one, and a round trip takes its time;
//! what is earned meanwhile and is more than the burst is lost.
//!
//! # What it does not do
//!
//! - Forget nothing: it is as durable as its store.
//! - Notice a refund of another process before the time that it was told.
//! - Share leases between keys.

mod backend;
mod error;
mod fail;
mod grant;
mod hand;
mod health;
mod lease;
mod limiter;
mod line;
mod local;
mod memory;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
mod snapshot;

pub use backend::{Answer, Backend, BackendError, Charge, Take, Verdict};
pub use error::InvalidDistributed;
pub use fail::Fail;
pub use grant::{Grant, Origin};
pub use lease::Lease;
pub use limiter::Distributed;
pub use memory::Memory;
pub use snapshot::{DistributedSnapshot, Level};
