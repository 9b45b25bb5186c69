use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shibuya_cancel::raw::{Timestamp, bound};
use shibuya_cancel::{deadline, timeout};
use shibuya_waitlist::primitives::Mutex;
use shibuya_waitlist::{Latch, WaitList};
use tokio::runtime::Handle;

use super::backend::{Answer, Backend, Charge, Take, Verdict};
use super::error::InvalidDistributed;
use super::fail::Fail;
use super::grant::{Grant, Origin};
use super::hand::{Held, Lot};
use super::health::Health;
use super::lease::Lease;
use super::line::{Line, Place, Table};
use super::snapshot::{Counts, DistributedSnapshot, Event, Level};
use crate::{Denied, Outage, Quota};

/// A rate limit for each key that many processes share, by asking a [`Backend`].
///
/// How it works, what it guarantees and what it costs is told in [the module](super).
///
/// Dropping it gives back what is leased, as [`close`](Self::close) does, in a task of its own if it is dropped within a runtime.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::distributed::{Distributed, Fail, Lease, Memory};
/// use shibuya_ratelimit::{Denied, Quota};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limit = Distributed::new(Memory::new(), Quota::per_second(50).burst(2))
///     .lease(Lease::auto())
///     .on_error(Fail::LocalShare(0.25))
///     .timeout(Duration::from_millis(100));
///
/// assert!(limit.try_acquire("alice").await.is_ok());
/// assert!(limit.try_acquire("alice").await.is_ok());
/// assert!(matches!(limit.try_acquire("alice").await, Err(Denied::RetryAfter(_))));
/// assert!(limit.try_acquire("bob").await.is_ok());
///
/// limit.acquire("alice").await.unwrap(); // 20 ms later
/// # }
/// ```
pub struct Distributed<B: Backend + 'static> {
    /// Shared with the task that gives back what is leased.
    backend: Arc<B>,
    quota: Quota,
    quota_for: Option<QuotaFor>,
    lease: Lease,
    fail: Fail,
    timeout: Duration,
    table: Table,
    health: Mutex<Health>,
    counts: Counts,
    /// Open when this is closed.
    end: WaitList<Latch<()>>,
}

type QuotaFor = Box<dyn Fn(&[u8]) -> Option<Quota> + Send + Sync>;

/// How long an answer may take unless told.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How many keys are remembered unless told.
const MAX_KEYS: usize = 1 << 16;

impl<B: Backend + 'static> Distributed<B> {
    /// Each key may take `quota`, in all processes together. Without further words nothing is leased, requests are refused
    /// when the store is out, an answer may take 250 ms, and 65,536 keys are remembered.
    pub fn new(backend: B, quota: Quota) -> Self {
        Self {
            backend: Arc::new(backend),
            quota,
            quota_for: None,
            lease: Lease::NONE,
            fail: Fail::Closed,
            timeout: TIMEOUT,
            table: Table::new(MAX_KEYS),
            health: Mutex::default(),
            counts: Counts::default(),
            end: WaitList::new(Latch::new()),
        }
    }

    /// Gives keys quotas of their own; with `None` a key has the one that all have. It is called for each request, and all
    /// processes must agree on it.
    pub fn quota_for(
        mut self,
        quota_for: impl Fn(&[u8]) -> Option<Quota> + Send + Sync + 'static,
    ) -> Self {
        self.quota_for = Some(Box::new(quota_for));
        self
    }

    /// Takes more from the store than what is asked for, to have it at hand.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// What becomes of requests while the store gives no answers.
    ///
    /// # Panics
    ///
    /// When a share is not above 0 and at most 1.
    #[track_caller]
    pub fn on_error(self, fail: Fail) -> Self {
        or_panic(self.try_on_error(fail))
    }

    /// Like [`on_error`](Self::on_error), for a share that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidDistributed::Share`].
    pub fn try_on_error(mut self, fail: Fail) -> Result<Self, InvalidDistributed> {
        self.fail = fail.check()?;
        Ok(self)
    }

    /// How long the store may take for an answer, and for the connection if there is none. After that it counts as out.
    ///
    /// # Panics
    ///
    /// When it is zero.
    #[track_caller]
    pub fn timeout(self, limit: Duration) -> Self {
        or_panic(self.try_timeout(limit))
    }

    /// Like [`timeout`](Self::timeout), for a time that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidDistributed::ZeroTimeout`].
    pub fn try_timeout(mut self, limit: Duration) -> Result<Self, InvalidDistributed> {
        if limit.is_zero() {
            return Err(InvalidDistributed::ZeroTimeout);
        }
        self.timeout = limit;
        Ok(self)
    }

    /// How many keys this process remembers refusals, leases and waiters of. It asks the store for those beyond, each
    /// time, and has no [share](Fail::LocalShare) for them.
    ///
    /// # Panics
    ///
    /// When it is 0.
    #[track_caller]
    pub fn max_keys(self, n: usize) -> Self {
        or_panic(self.try_max_keys(n))
    }

    /// Like [`max_keys`](Self::max_keys), for a number that comes from outside.
    ///
    /// # Errors
    ///
    /// [`InvalidDistributed::NoKeys`].
    pub fn try_max_keys(mut self, n: usize) -> Result<Self, InvalidDistributed> {
        if n == 0 {
            return Err(InvalidDistributed::NoKeys);
        }
        self.table = Table::new(n);
        Ok(self)
    }

    /// Takes one if it is there. Waits for the store's answer, and for nothing else; not at all if it has refused as much and the time
    /// that it named is not over, or if there is a lease.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before the store's answer came, the store has charged one or has not; nothing that was not
    /// charged is ever granted.
    ///
    /// # Errors
    ///
    /// [`Denied::RetryAfter`]; also while others of this process wait for the key. [`Denied::Unavailable`] when the store gives no
    /// answer and the limit [fails closed](Fail::Closed), and [`Denied::Closed`].
    pub async fn try_acquire(&self, key: impl AsRef<[u8]>) -> Result<Grant, Denied> {
        self.try_take(key.as_ref(), 1).await
    }

    /// Takes `n` or nothing, as [`try_acquire`](Self::try_acquire) takes one.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before the store's answer came, the store has charged `n` or has not; nothing that was not
    /// charged is ever granted.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and [`Denied::ExceedsBurst`] when `n` can never be had.
    pub async fn try_acquire_n(&self, key: impl AsRef<[u8]>, n: u32) -> Result<Grant, Denied> {
        self.try_take(key.as_ref(), n).await
    }

    /// Takes one, and waits for it if need be.
    ///
    /// Those of this process who wait for a key come in turn. The first of them sleeps until the time that the store has named, and takes what
    /// is there for those behind, too. Between processes there is no order.
    ///
    /// Dropping it leaves the line; those behind move up.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost while it waits. If it is dropped while the store is asked, the store has charged what was asked for or has not.
    ///
    /// # Errors
    ///
    /// [`Denied::Hopeless`], at once, when the turn would come after the deadline of the [scope](shibuya_cancel) it is in.
    /// [`Denied::Unavailable`] when the store gives no answer and the limit [fails closed](Fail::Closed), and [`Denied::Closed`].
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    pub async fn acquire(&self, key: impl AsRef<[u8]>) -> Result<Grant, Denied> {
        self.wait(key.as_ref(), 1, Timestamp::NEVER).await
    }

    /// Takes `n` at once, as [`acquire`](Self::acquire) takes one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost while it waits. If it is dropped while the store is asked, the store has charged what was asked for or has not.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::ExceedsBurst`] when `n` can never be had.
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    pub async fn acquire_n(&self, key: impl AsRef<[u8]>, n: u32) -> Result<Grant, Denied> {
        self.wait(key.as_ref(), n, Timestamp::NEVER).await
    }

    /// Takes `n` at once, and waits no longer than `max` for it; not at all if it is known to be in vain.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost while it waits. If it is dropped while the store is asked, the store has charged what was asked for or has not.
    ///
    /// # Errors
    ///
    /// As [`acquire_n`](Self::acquire_n). It is [`Denied::Hopeless`] also when the store has not answered by then.
    ///
    /// # Panics
    ///
    /// When it must wait outside of a Tokio runtime, or in one without timers.
    pub async fn acquire_within(
        &self,
        key: impl AsRef<[u8]>,
        n: u32,
        max: Duration,
    ) -> Result<Grant, Denied> {
        let latest = Timestamp::now().after(max);
        self.wait(key.as_ref(), n, latest).await
    }

    /// How a key stands in the store.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Denied::Unavailable`] when the store gives no answer, however the limit fails.
    pub async fn peek(&self, key: impl AsRef<[u8]>) -> Result<Level, Denied> {
        let call = self.call(key.as_ref(), 0, Timestamp::NEVER);
        let verdict = self.ask(&call, Take::Peek).await.map_err(no_answer)?;
        Ok(Level {
            limit: call.quota.burst_size(),
            remaining: verdict.remaining,
            reset_after: verdict.reset_after,
        })
    }

    /// Takes back what was granted for `key` and not used. What has been earned again since then does not count twice.
    ///
    /// A store keeps a single time for each key, and none of other refunds: where grants are held for long, and others
    /// of the same burst were given back before, what comes back may be more than what is left of it. A
    /// [`RateLimiter`](crate::RateLimiter) has a ledger for that.
    ///
    /// Who waits for it in this process or another comes at the time it was told before.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before the store's answer came, the grant was taken back or counts as used.
    ///
    /// # Errors
    ///
    /// [`Denied::Unavailable`] when the store gives no answer; the grant counts as used then, unless the store did it.
    pub async fn refund(&self, key: impl AsRef<[u8]>, grant: Grant) -> Result<(), Denied> {
        let call = self.call(key.as_ref(), grant.n(), Timestamp::NEVER);
        let line = self.table.find(call.key);
        let (n, charge, now) = (grant.n(), grant.charge(), Timestamp::now());
        let take = Take::Refund { n, charge };
        match (grant.origin(), &line) {
            (Origin::Unlimited, _) | (Origin::LocalShare, None) => return Ok(()),
            (Origin::LocalShare, Some(line)) => {
                let share = self.share(call.quota);
                line.with(now, |hand| hand.take_share(take, share, now));
                return Ok(());
            }
            (Origin::Lease, Some(line))
                if line.with(now, |hand| hand.put_back(grant.as_lot(), now)) =>
            {
                return Ok(());
            }
            _ => {}
        }
        if n > 0 {
            self.ask(&call, take).await.map_err(no_answer)?;
        }
        if let Some(line) = line {
            line.hand().forget_refusal();
        }
        Ok(())
    }

    /// Refuses all who wait and all who come later, and gives back to the store what is leased.
    ///
    /// # Cancel safety
    ///
    /// It is closed from the first poll on. What was not given back yet counts as used.
    pub async fn close(&self) {
        self.end.lock().open(());
        give_back(&*self.backend, self.empty(), self.timeout).await;
    }

    /// What it has done in this process, and how it stands.
    pub fn snapshot(&self) -> DistributedSnapshot {
        let lines = self.table.lines();
        DistributedSnapshot {
            keys: lines.len(),
            waiting: lines.iter().map(|line| line.waiting()).sum(),
            leased: lines.iter().map(|line| line.hand().at_hand()).sum(),
            outage: self.health.lock().outage(),
            ..self.counts.snapshot()
        }
    }

    /// The quota of a key.
    pub fn quota(&self, key: impl AsRef<[u8]>) -> Quota {
        let own = self.quota_for.as_ref().and_then(|of| of(key.as_ref()));
        own.unwrap_or(self.quota)
    }

    fn call<'k>(&self, key: &'k [u8], n: u32, latest: Timestamp) -> Call<'k> {
        Call {
            key,
            n,
            quota: self.quota(key),
            latest,
        }
    }

    /// What is refused whatever the store says.
    fn check(&self, call: &Call<'_>) -> Result<(), Denied> {
        let (asked, burst) = (call.n, call.quota.burst_size());
        if self.end.lock().value().is_some() {
            return Err(Denied::Closed);
        }
        match asked > burst && !call.quota.allows_debt() {
            true => Err(Denied::ExceedsBurst { asked, burst }),
            false => Ok(()),
        }
    }

    async fn try_take(&self, key: &[u8], n: u32) -> Result<Grant, Denied> {
        let call = self.call(key, n, Timestamp::NEVER);
        self.check(&call)?;
        let line = match self.lease.is_some() {
            true => Some(self.table.enter(key)),
            false => self.table.find(key),
        };
        if let Some(after) = line.as_ref().and_then(|line| call.behind_others(line)) {
            self.counts.note(Event::DeniedFromMemory);
            return Err(Denied::RetryAfter(after));
        }
        self.attempt(&call, line.as_deref()).await
    }

    async fn wait(&self, key: &[u8], n: u32, latest: Timestamp) -> Result<Grant, Denied> {
        let call = self.call(key, n, latest.min(bound().at()));
        self.check(&call)?;
        let line = self.table.enter(key);
        if call.behind_others(&line).is_none() {
            match self.attempt(&call, Some(&line)).await {
                Err(Denied::RetryAfter(_)) => {}
                decided => return decided,
            }
        }
        let now = Timestamp::now();
        let outlook = {
            let hand = line.hand();
            hand.outlook(n, hand.wanted(), call.quota, now)
        };
        call.hope(outlook, now)?;

        let mut place = Place::new(&line, n);
        call.in_time(place.turn()).await??;
        loop {
            match self.attempt(&call, Some(&line)).await {
                Err(Denied::RetryAfter(after)) => {
                    let now = Timestamp::now();
                    call.hope(after, now)?;
                    self.sleep_until(now.after(after)).await?;
                }
                decided => return decided,
            }
        }
    }

    async fn sleep_until(&self, due: Timestamp) -> Result<(), Denied> {
        let end = self.end.wait(());
        let ended = match due.to_instant() {
            Some(due) => deadline(due, end).await.is_ok(),
            None => end.await.is_ok(),
        };
        match ended {
            true => Err(Denied::Closed),
            false => Ok(()),
        }
    }

    /// One look at what is at hand, and at the store if need be.
    async fn attempt(&self, call: &Call<'_>, line: Option<&Line>) -> Result<Grant, Denied> {
        if call.n == 0 {
            return Ok(Grant::new(Origin::Store, 0, Charge(0)));
        }
        let Some(line) = line else {
            return self.take_from_store(call, None, 0).await;
        };
        if let Some(decided) = self.take_from_hand(call, line) {
            return decided;
        }
        if !self.lease.is_some() {
            return self.take_from_store(call, Some(line), 0).await;
        }
        let _refill = call.in_time(line.refill()).await??;
        // Somebody else's lease may have brought it.
        if let Some(decided) = self.take_from_hand(call, line) {
            return decided;
        }
        let now = Timestamp::now();
        let size = self.lease.size(call.quota, line.hand().demand(now));
        self.take_from_store(call, Some(line), size).await
    }

    fn take_from_hand(&self, call: &Call<'_>, line: &Line) -> Option<Result<Grant, Denied>> {
        let now = Timestamp::now();
        match line.with(now, |hand| hand.take(call.n, call.quota, call.latest, now)) {
            Held::Granted(lot) => {
                self.counts.note(Event::GrantedFromLease);
                Some(Ok(Grant::leased(lot)))
            }
            Held::Denied(after) => {
                self.counts.note(Event::DeniedFromMemory);
                Some(Err(Denied::RetryAfter(after)))
            }
            Held::Unknown => None,
        }
    }

    /// Takes what this request and those behind it want, or a lease of that size if it is more; the rest stays at hand. From the answer to
    /// where its parts are kept nothing is awaited, so that nothing is lost in between.
    async fn take_from_store(
        &self,
        call: &Call<'_>,
        line: Option<&Line>,
        lease: u32,
    ) -> Result<Grant, Denied> {
        let wanted = line.map_or(0, |line| call.wanted_by_all(line));
        let most = lease.max(wanted).min(call.quota.burst_size());
        let (least, most) = (call.n, most.max(call.n));
        let answer = self.ask(call, Take::Acquire { least, most }).await;
        let now = Timestamp::now();
        match answer.map(|verdict| verdict.answer) {
            Ok(Answer::Granted { n, charge }) if n >= least => {
                self.counts.note(Event::Granted);
                if let Some(line) = line {
                    let [one, for_lease] = [1, lease.saturating_sub(1)].map(|n| call.earned_in(n));
                    line.with(now, |hand| {
                        hand.granted(least, n - least, charge, now);
                        // That was all it had. What it earns in a round trip is not worth one.
                        if n < lease {
                            hand.refused(1, one, for_lease, now);
                        }
                    });
                }
                Ok(Grant::new(Origin::Store, least, charge))
            }
            Ok(Answer::Denied { retry_after }) => {
                self.counts.note(Event::Denied);
                let for_lease = call.earned_in(lease.saturating_sub(least));
                let remember = |line: &Line| {
                    line.with(now, |hand| {
                        hand.refused(least, retry_after, for_lease, now);
                    });
                };
                match line {
                    Some(line) => remember(line),
                    None => remember(&self.table.enter(call.key)),
                }
                let worthwhile = retry_after.saturating_add(for_lease);
                match now.after(worthwhile) <= call.latest {
                    true => Err(Denied::RetryAfter(worthwhile)),
                    false => Err(Denied::RetryAfter(retry_after)),
                }
            }
            // An answer to something else.
            Ok(_) => self.without_store(call, line, Outage::Refused),
            Err(NoAnswer::Outage(outage)) => self.without_store(call, line, outage),
            Err(NoAnswer::TooLate { needs, remaining }) => {
                Err(Denied::Hopeless { needs, remaining })
            }
        }
    }

    /// What the mode of failure says.
    fn without_store(
        &self,
        call: &Call<'_>,
        line: Option<&Line>,
        outage: Outage,
    ) -> Result<Grant, Denied> {
        let n = call.n;
        match self.fail {
            Fail::Open => {
                self.counts.note(Event::FailedOpen);
                Ok(Grant::new(Origin::Unlimited, n, Charge(0)))
            }
            Fail::Closed => {
                self.counts.note(Event::FailedClosed);
                Err(Denied::Unavailable(outage))
            }
            Fail::LocalShare(_) => match line {
                Some(line) => self.take_from_share(call, line, outage),
                None => self.take_from_share(call, &self.table.enter(call.key), outage),
            },
        }
    }

    fn take_from_share(
        &self,
        call: &Call<'_>,
        line: &Line,
        outage: Outage,
    ) -> Result<Grant, Denied> {
        let (share, now) = (self.share(call.quota), Timestamp::now());
        // It has no memory of a key that there was no room for, and may never have so many.
        let may_be_had = call.n <= share.burst_size() || share.allows_debt();
        if !line.is_kept() || !may_be_had {
            self.counts.note(Event::FailedClosed);
            return Err(Denied::Unavailable(outage));
        }
        let take = Take::exactly(call.n);
        match line
            .with(now, |hand| hand.take_share(take, share, now))
            .answer
        {
            Answer::Denied { retry_after } => {
                self.counts.note(Event::DeniedFromShare);
                Err(Denied::RetryAfter(retry_after))
            }
            Answer::Granted { n, charge } => {
                self.counts.note(Event::GrantedFromShare);
                Ok(Grant::new(Origin::LocalShare, n, charge))
            }
            Answer::Done => unreachable!("it was asked for {take:?}"),
        }
    }

    fn share(&self, quota: Quota) -> Quota {
        match self.fail {
            Fail::LocalShare(part) => quota.share(part),
            _ => quota,
        }
    }

    /// One round trip, unless the store is known to be out.
    async fn ask(&self, call: &Call<'_>, take: Take) -> Result<Verdict, NoAnswer> {
        let now = Timestamp::now();
        let remaining = call.latest.since(now);
        if remaining.is_zero() {
            let needs = self.timeout;
            return Err(NoAnswer::TooLate { needs, remaining });
        }
        self.health.lock().admit(now).map_err(NoAnswer::Outage)?;
        self.counts.note(Event::RoundTrip);
        let limit = self.timeout.min(remaining);
        let asked = self.backend.take(call.key, call.quota, take);
        match timeout(limit, asked).await {
            Ok(Ok(verdict)) => {
                self.note_answer();
                Ok(verdict)
            }
            Ok(Err(error)) => {
                let outage = error.outage();
                self.note_outage(outage, error.source());
                Err(NoAnswer::Outage(outage))
            }
            // The store still had time.
            Err(_) if limit < self.timeout => {
                let (needs, remaining) = (self.timeout, limit);
                Err(NoAnswer::TooLate { needs, remaining })
            }
            Err(_) => {
                self.note_outage(Outage::TimedOut, None);
                Err(NoAnswer::Outage(Outage::TimedOut))
            }
        }
    }

    fn note_answer(&self) {
        let back = self.health.lock().answered(Timestamp::now());
        if let Some(out_for) = back {
            tracing::info!(?out_for, "the store of a rate limit answers again");
        }
    }

    fn note_outage(&self, outage: Outage, source: Option<&(dyn Error + 'static)>) {
        self.counts.note(Event::Outage);
        // An error is an answer, too; the others may get a better one.
        let is_news = match outage {
            Outage::Unreachable | Outage::TimedOut => {
                self.health.lock().failed(outage, Timestamp::now())
            }
            _ => self.health.lock().complained(Timestamp::now()),
        };
        if is_news {
            let on_error = self.fail;
            tracing::warn!(%outage, source, ?on_error, "a rate limit could not be asked");
        }
    }

    /// Nobody waits any more, and nothing is leased.
    fn empty(&self) -> Vec<(Box<[u8]>, Quota, VecDeque<Lot>)> {
        let lines = self.table.drain().into_iter();
        let leases = lines.map(|(key, line)| {
            line.close();
            let quota = self.quota(&key);
            let lots = line.hand().empty();
            (key, quota, lots)
        });
        leases.filter(|(.., lots)| !lots.is_empty()).collect()
    }
}

impl<B: Backend + 'static> Drop for Distributed<B> {
    fn drop(&mut self) {
        let leases = self.empty();
        if let (false, Ok(runtime)) = (leases.is_empty(), Handle::try_current()) {
            let (backend, timeout) = (self.backend.clone(), self.timeout);
            runtime.spawn(async move { give_back(&*backend, leases, timeout).await });
        }
    }
}

impl<B: Backend + 'static> fmt::Debug for Distributed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distributed")
            .field("quota", &self.quota)
            .field("lease", &self.lease)
            .field("fail", &self.fail)
            .field("keys", &self.table.len())
            .finish_non_exhaustive()
    }
}

/// At the caller's line.
#[track_caller]
fn or_panic<T>(result: Result<T, InvalidDistributed>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// One after the other, and no further if the store is out.
async fn give_back(
    backend: &impl Backend,
    leases: Vec<(Box<[u8]>, Quota, VecDeque<Lot>)>,
    limit: Duration,
) {
    for (key, quota, lots) in leases {
        for Lot { n, charge, .. } in lots {
            let take = Take::Refund { n, charge };
            if !matches!(
                timeout(limit, backend.take(&key, quota, take)).await,
                Ok(Ok(_))
            ) {
                return;
            }
        }
    }
}

/// A request.
struct Call<'k> {
    key: &'k [u8],
    n: u32,
    quota: Quota,
    /// When it is of no use any more.
    latest: Timestamp,
}

impl Call<'_> {
    /// How long it will take at the least if others wait; `None` if nobody does.
    fn behind_others(&self, line: &Line) -> Option<Duration> {
        let hand = line.hand();
        let wanted = hand.wanted();
        let outlook = || hand.outlook(self.n, wanted, self.quota, Timestamp::now());
        (wanted > 0).then(|| outlook().max(self.quota.interval()))
    }

    /// By this request, and by others of this process that wait.
    fn wanted_by_all(&self, line: &Line) -> u32 {
        let in_line = line.hand().wanted();
        let for_refill = line.waiting_for_refill() as u64 * u64::from(self.n);
        let wanted = in_line.max(u64::from(self.n).saturating_add(for_refill));
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    fn earned_in(&self, n: u32) -> Duration {
        self.quota.interval().saturating_mul(n)
    }

    /// Whether it makes sense to wait so long.
    fn hope(&self, needs: Duration, now: Timestamp) -> Result<(), Denied> {
        let remaining = self.latest.since(now);
        match now.after(needs) > self.latest {
            true => Err(Denied::Hopeless { needs, remaining }),
            false => Ok(()),
        }
    }

    /// Waits no longer than makes sense.
    async fn in_time<T>(&self, fut: impl Future<Output = T>) -> Result<T, Denied> {
        let Some(latest) = self.latest.to_instant() else {
            return Ok(fut.await);
        };
        let late = |_| Denied::Hopeless {
            needs: self.quota.interval(),
            remaining: Duration::ZERO,
        };
        deadline(latest, fut).await.map_err(late)
    }
}

/// Why there is no verdict.
enum NoAnswer {
    Outage(Outage),
    TooLate {
        needs: Duration,
        remaining: Duration,
    },
}

fn no_answer(why: NoAnswer) -> Denied {
    match why {
        NoAnswer::Outage(outage) => Denied::Unavailable(outage),
        NoAnswer::TooLate { needs, remaining } => Denied::Hopeless { needs, remaining },
    }
}
