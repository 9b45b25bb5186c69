use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::count;
use shibuya_waitlist::primitives::AtomicU64;

/// How much of what is sent may be retries, counted over all calls that share it.
///
/// When a server fails, each of its clients' calls turns into several, and the load that results is what keeps
/// it down. Under a budget each call pays in a fraction of a retry, and each retry takes out a whole one; so with
/// a ratio of 0.2 the load grows by a fifth at the most. A few each second are free, for a client that
/// calls rarely. When it is spent, a failed call gives its own error at once.
///
/// It is a constant that a `static` holds, or is shared in an `Arc`. A retry that was granted and never began,
/// since its call was dropped, is given back. The algorithm is that of
/// [Finagle](https://twitter.github.io/finagle/guide/Clients.html#retries), with a fixed ceiling in place of its
/// window.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_retry::{Budget, Policy, Reason, Retryable};
///
/// static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_millis(9));
/// static BUDGET: Budget = Budget::ratio(0.2).burst(10).min_per_sec(0);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut sent = 0;
/// for _ in 0..100 {
///     let call = || {
///         sent += 1;
///         std::future::ready(Err::<(), _>("down"))
///     };
///     call.retry(&POLICY).budget(&BUDGET).await.unwrap_err();
/// }
/// assert_eq!(sent, 100 + 10 + 20 - 1); // the calls, the burst, a fifth; the first call found it full
/// # }
/// ```
pub struct Budget {
    rules: Rules,
    /// In millionths of a retry, up to the burst.
    balance: AtomicU64,
    /// Until when the free ones are used up, on the scale of [`Timestamp`].
    used_until: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
}

/// What it was built with, in millionths of a retry.
#[derive(Clone, Copy)]
struct Rules {
    deposit: u64,
    burst: u64,
    min_per_sec: u32,
    timeout: u64,
    hedge: u64,
}

const RETRY: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// What an attempt more is for, which says what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// A retry after an error: one.
    Error,
    /// A retry after an attempt that took too long: one, or what [`Budget::timeout_cost`] says.
    Timeout,
    /// An attempt beside another one: one, or what [`Budget::hedge_cost`] says.
    Hedge,
}

/// Rounded up, so that a ratio above zero is never none.
const fn millionths(ratio: f64) -> u64 {
    let exact = ratio * RETRY as f64;
    let whole = exact as u64;
    if (whole as f64) < exact {
        whole + 1
    } else {
        whole
    }
}

/// Loom's atomics can't be made in a constant.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(shibuya_loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(shibuya_loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}

impl Budget {
    const_fn! {
        /// Lets the retries be up to `ratio` times the calls, from 0 to 1, beside a burst of 100 and 10 free ones
        /// each second.
        ///
        /// # Panics
        ///
        /// When `ratio` is not a number from 0 to 1. For one that comes from a configuration see
        /// [`try_ratio`](Self::try_ratio).
        #[track_caller]
        pub fn ratio(ratio: f64) -> Self {
            match Self::try_ratio(ratio) {
                Ok(budget) => budget,
                Err(_) => panic!("the ratio of a retry budget must be a number from 0 to 1, such as 0.2"),
            }
        }
    }

    const_fn! {
        /// Like [`ratio`](Self::ratio), for a number that comes from outside.
        ///
        /// # Errors
        ///
        /// [`InvalidRatio`] when it is not a number from 0 to 1.
        pub fn try_ratio(ratio: f64) -> Result<Self, InvalidRatio> {
            if !(ratio >= 0.0 && ratio <= 1.0) {
                return Err(InvalidRatio(ratio));
            }
            Ok(Self {
                rules: Rules {
                    deposit: millionths(ratio),
                    burst: 100 * RETRY,
                    min_per_sec: 10,
                    timeout: RETRY,
                    hedge: RETRY,
                },
                balance: AtomicU64::new(100 * RETRY),
                used_until: AtomicU64::new(0),
                granted: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            })
        }
    }

    const_fn! {
        /// How many retries it holds when it is full, as it is in the beginning: what may come in a burst.
        /// With 0 it holds nothing, whatever is paid in, and grants the free ones alone.
        pub fn burst(mut self, retries: u32) -> Self {
            self.rules.burst = retries as u64 * RETRY;
            self.balance = AtomicU64::new(self.rules.burst);
            self
        }
    }

    const_fn! {
        /// How many retries a second are free, for a client that calls too rarely to pay for them.
        pub fn min_per_sec(mut self, retries: u32) -> Self {
            self.rules.min_per_sec = retries;
            self
        }
    }

    const_fn! {
        /// How many retries one after a timeout counts for. A server that does not answer in time is more likely
        /// overloaded than one that answers with an error.
        pub fn timeout_cost(mut self, retries: u32) -> Self {
            self.rules.timeout = retries as u64 * RETRY;
            self
        }
    }

    const_fn! {
        /// How many retries an attempt beside another one counts for.
        pub fn hedge_cost(mut self, retries: u32) -> Self {
            self.rules.hedge = retries as u64 * RETRY;
            self
        }
    }

    /// A call begins: it pays in. A full budget costs it one look.
    #[inline]
    pub fn deposit(&self) {
        if self.balance.load(Relaxed) < self.rules.burst {
            self.pay_in(self.rules.deposit);
        }
    }

    /// Takes out what one more attempt costs, if there is enough. Dropped unspent it goes back.
    #[must_use = "dropping it gives it back"]
    pub fn try_withdraw(&self, cost: Cost) -> Option<Withdrawal<'_>> {
        self.withdraw(cost, Timestamp::now)
    }

    /// Asks for the time only if the free ones are needed.
    pub(crate) fn withdraw(
        &self,
        cost: Cost,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Withdrawal<'_>> {
        let amount = match cost {
            Cost::Error => RETRY,
            Cost::Timeout => self.rules.timeout,
            Cost::Hedge => self.rules.hedge,
        };
        let source = self
            .take_out(amount)
            .or_else(|| self.take_free(amount, now()));
        match source {
            Some(source) => {
                self.granted.fetch_add(1, Relaxed);
                Some(Withdrawal {
                    budget: self,
                    source: Some(source),
                })
            }
            None => {
                self.refused.fetch_add(1, Relaxed);
                count!(BUDGET_REFUSED);
                None
            }
        }
    }

    fn take_out(&self, amount: u64) -> Option<Source> {
        let less = |balance: u64| balance.checked_sub(amount);
        self.balance.fetch_update(Relaxed, Relaxed, less).ok()?;
        Some(Source::Balance(amount))
    }

    /// As a rate: up to a second's worth may be used at once.
    fn take_free(&self, amount: u64, now: Timestamp) -> Option<Source> {
        let each = NANOS_PER_SEC.checked_div(self.rules.min_per_sec.into())?;
        let nanos = (u128::from(each) * u128::from(amount) / u128::from(RETRY)) as u64;
        let now = now.as_nanos();
        let limit = now.saturating_add(NANOS_PER_SEC.max(nanos));
        let later = |used_until: u64| {
            let used_until = used_until.max(now).saturating_add(nanos);
            (used_until <= limit).then_some(used_until)
        };
        self.used_until.fetch_update(Relaxed, Relaxed, later).ok()?;
        Some(Source::Free(nanos))
    }

    fn pay_in(&self, amount: u64) {
        let burst = self.rules.burst;
        let more = |balance: u64| Some(balance.saturating_add(amount).min(burst));
        let _ = self.balance.fetch_update(Relaxed, Relaxed, more);
    }

    fn give_back(&self, source: Source) {
        self.granted.fetch_sub(1, Relaxed);
        match source {
            Source::Balance(amount) => self.pay_in(amount),
            Source::Free(nanos) => {
                let sooner = |used_until: u64| Some(used_until.saturating_sub(nanos));
                let _ = self.used_until.fetch_update(Relaxed, Relaxed, sooner);
            }
        }
    }

    /// What it holds, and what became of those who asked.
    pub fn snapshot(&self) -> BudgetSnapshot {
        BudgetSnapshot {
            balance: self.balance.load(Relaxed) as f64 / RETRY as f64,
            burst: (self.rules.burst / RETRY) as u32,
            granted: self.granted.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What a budget holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BudgetSnapshot {
    /// How many retries it would pay for now, without the free ones.
    pub balance: f64,
    /// How many at the most.
    pub burst: u32,
    /// How often one was granted, and not given back.
    pub granted: u64,
    /// How often there was not enough.
    pub refused: u64,
}

/// What was taken from a [`Budget`] for one more attempt.
///
/// Dropping it gives it back; [`spend`](Self::spend) says that the attempt begins.
#[must_use = "dropping it gives it back"]
pub struct Withdrawal<'b> {
    budget: &'b Budget,
    /// `None` once it is spent.
    source: Option<Source>,
}

#[derive(Clone, Copy)]
enum Source {
    Balance(u64),
    Free(u64),
}

impl Withdrawal<'_> {
    /// The attempt begins.
    pub fn spend(mut self) {
        self.source = None;
    }
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(source) = self.source {
            self.budget.give_back(source);
        }
    }
}

impl fmt::Debug for Withdrawal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Withdrawal").finish_non_exhaustive()
    }
}

/// The ratio of a budget was not a number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the ratio of a retry budget is {0}: it must be a number from 0 to 1, such as 0.2")]
pub struct InvalidRatio(pub f64);
