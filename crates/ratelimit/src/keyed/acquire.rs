use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::raw::{Timer, Timestamp};

use super::{Keyed, Look, Visit};
use crate::Denied;
use crate::acquire::Turn;
use crate::meter::Ask;
use crate::queue::Queue;
use crate::stamp;
use crate::tally::{RATE, Tally};

pin_project! {
    /// Waits for its turn with a key, from [`Keyed::acquire`]. It is `'static`.
    ///
    /// Dropping it leaves the line, as with [`Acquire`](crate::Acquire).
    ///
    /// # Panics
    ///
    /// When it has to wait outside of a Tokio runtime with timers, or is polled after it completed.
    #[must_use = "futures do nothing unless polled"]
    pub struct AcquireKeyed<K, S = RandomState>
    where
        K: Hash,
        K: Eq,
        S: BuildHasher,
    {
        // `None` once it was polled.
        limit: Option<(Keyed<K, S>, K)>,
        n: u32,
        max: Duration,
        deadline: Timestamp,
        // Left before the visit ends.
        turn: Option<Turn<Arc<Queue>>>,
        visit: Option<Visit<K, S>>,
        #[pin]
        timer: Timer,
    }
}

impl<K: Hash + Eq, S: BuildHasher> AcquireKeyed<K, S> {
    pub(super) fn new(limit: Keyed<K, S>, key: K, n: u32, max: Duration) -> Self {
        Self {
            limit: Some((limit, key)),
            n,
            max,
            deadline: Timestamp::NEVER,
            turn: None,
            visit: None,
            timer: Timer::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Keyed<K, S> {
    /// Takes it at once, or gives the queue to wait in.
    fn enter(&self, key: &K, n: u32, now: Timestamp) -> Result<Option<Visit<K, S>>, Denied> {
        let now = stamp::units(now);
        let ask = Ask {
            slack: stamp::length(self.0.settings.slack),
            ..Ask::at_once(n, now)
        };
        let hash = self.hash(key);
        match self.look(hash, key, ask) {
            Look::Taken => return Ok(None),
            Look::Denied(denied) => return Err(denied),
            Look::Queued(visit) => return Ok(Some(visit)),
            Look::NotYet(_) => {}
        }
        let quota = self.quota(key);
        let mut shard = self.shard(hash);
        match shard.get(hash, key) {
            Some(entry) if entry.has_queue() => {
                return Ok(Some(Visit::again(self, &mut shard, hash, key)));
            }
            Some(_) => {}
            // It was forgotten meanwhile.
            None => self.insert(&mut shard, hash, key, now, now)?,
        }
        Ok(Some(Visit::first(self, &mut shard, hash, key, quota)))
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> Future for AcquireKeyed<K, S> {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some((limit, key)) = this.limit.take() {
            let now = Timestamp::now();
            *this.deadline = now.after(*this.max);
            let visit = match limit.enter(&key, *this.n, now) {
                Ok(Some(visit)) => visit,
                at_once => return Poll::Ready(at_once.map(drop).tally(RATE)),
            };
            *this.turn = Some(Turn::new(visit.queue().clone(), *this.n));
            *this.visit = Some(visit);
        }
        let turn = this
            .turn
            .as_mut()
            .expect("the future was polled after it completed");
        let answer = ready!(turn.poll_until(*this.deadline, *this.max, this.timer, cx));
        *this.turn = None;
        *this.visit = None;
        Poll::Ready(answer)
    }
}

impl<K: Hash + Eq, S: BuildHasher> fmt::Debug for AcquireKeyed<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireKeyed")
            .field("n", &self.n)
            .field("waits", &self.turn.is_some())
            .finish_non_exhaustive()
    }
}
