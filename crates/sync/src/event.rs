use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shibuya_waitlist::primitives::Mutex;
use shibuya_waitlist::{Latch, Wait, WaitList};

/// A flag that tasks wait for.
///
/// Once [`set`](Self::set), it lets through whoever waits and whoever comes, until it is
/// [cleared](Self::clear). Whoever waits when it is set gets through, however soon it is cleared again.
///
/// It is a few words. Those who wait together share one list, which is made when the first one waits
/// and grows with them. Share the event in an `Arc`, or as a static.
///
/// # Examples
///
/// ```
/// use shibuya_sync::Event;
///
/// static READY: Event = Event::new();
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let waiting = tokio::spawn(async {
///     READY.wait().await;
///     "go"
/// });
/// READY.set();
/// assert_eq!(waiting.await.unwrap(), "go");
/// READY.wait().await; // it stays set
/// # }
/// ```
pub struct Event(Mutex<Flag>);

struct Flag {
    set: bool,
    /// Those who wait for the next time. They are let through together, whatever comes after.
    round: Option<Arc<WaitList<Latch<()>>>>,
}

impl Event {
    /// An event that is not set.
    #[cfg(not(shibuya_loom))]
    pub const fn new() -> Self {
        Self(Mutex::new(Flag {
            set: false,
            round: None,
        }))
    }

    /// An event that is not set. Loom's locks can't be made in a constant.
    #[cfg(shibuya_loom)]
    pub fn new() -> Self {
        Self(Mutex::new(Flag {
            set: false,
            round: None,
        }))
    }

    /// Lets everybody through, from now on. Gives whether that is news.
    pub fn set(&self) -> bool {
        let mut flag = self.0.lock();
        let is_news = !std::mem::replace(&mut flag.set, true);
        let round = flag.round.take();
        drop(flag);
        if let Some(round) = round {
            round.lock().open(());
        }
        is_news
    }

    /// Lets nobody through who comes from now on. Gives whether it was set.
    pub fn clear(&self) -> bool {
        std::mem::take(&mut self.0.lock().set)
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.lock().set
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        let round = self.0.lock().round.clone();
        round.map_or(0, |round| round.len())
    }

    /// Waits until the event is set.
    ///
    /// The first poll takes part: an event that is set and cleared after it lets this one through.
    /// Dropping the future leaves the line.
    ///
    /// # Cancel safety
    ///
    /// There is nothing to lose: who is let through takes nothing from anybody.
    pub fn wait(&self) -> EventWait<'_> {
        EventWait {
            event: self,
            wait: None,
        }
    }

    /// The line to wait in, unless there is nothing to wait for.
    fn join(&self) -> Option<Wait<Arc<WaitList<Latch<()>>>>> {
        let mut flag = self.0.lock();
        if flag.set {
            return None;
        }
        let round = flag.round.get_or_insert_default();
        Some(Wait::new(round.clone(), ()))
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct EventWait<'a> {
    event: &'a Event,
    wait: Option<Wait<Arc<WaitList<Latch<()>>>>>,
}

impl Future for EventWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.wait.is_none() {
            self.wait = self.event.join();
        }
        match &mut self.wait {
            // A round is never closed: it is opened, once.
            Some(wait) => Pin::new(wait).poll(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}
