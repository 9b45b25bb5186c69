use std::fmt;
use std::future::Future;
use std::hash::Hash;

use shibuya_waitlist::{Serve, Wait};

use crate::lines::{Lines, Place};

/// One call per key at a time: who asks for a key while its call is under way gets that call's result.
///
/// For what is costly and the same for all who ask at once: a page, a token, a row that fell out of
/// the cache. It is no cache: once a call has ended, the next one who asks makes a new one.
///
/// A caller that is dropped while it makes the call hands over to the next one who waits, who makes the
/// call anew; so does one that panics. The result is cloned for each: where that is dear, or an error
/// can't be cloned, let it be an `Arc`. Those clones are made under a lock, and a key is hashed,
/// compared and cloned under one. A call must not ask for its own key: it would wait for itself.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
///
/// use shibuya_sync::SingleFlight;
///
/// static CALLS: AtomicU32 = AtomicU32::new(0);
///
/// async fn load(page: &str) -> usize {
///     CALLS.fetch_add(1, SeqCst);
///     tokio::task::yield_now().await;
///     page.len()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pages = SingleFlight::new();
/// let (a, b, c) = tokio::join!(
///     pages.run("/home", || load("/home")),
///     pages.run("/home", || load("/home")),
///     pages.run("/about", || load("/about")),
/// );
/// assert_eq!((a, b, c), (5, 5, 6));
/// assert_eq!(CALLS.load(SeqCst), 2);
/// # }
/// ```
///
/// An error that can't be cloned is shared by all who asked:
///
/// ```
/// use std::io;
/// use std::sync::Arc;
///
/// use shibuya_sync::SingleFlight;
///
/// struct Pages {
///     flights: SingleFlight<String, Result<Arc<str>, Arc<io::Error>>>,
/// }
///
/// impl Pages {
///     async fn get(&self, path: &str) -> Result<Arc<str>, Arc<io::Error>> {
///         let read = async || {
///             let text = tokio::fs::read_to_string(path).await.map_err(Arc::new)?;
///             Ok(text.into())
///         };
///         self.flights.run(path.to_owned(), read).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pages = Pages { flights: SingleFlight::new() };
/// let (a, b) = tokio::join!(pages.get("no/such/page"), pages.get("no/such/page"));
/// let (a, b) = (a.unwrap_err(), b.unwrap_err());
/// assert_eq!(a.kind(), io::ErrorKind::NotFound);
/// assert!(Arc::ptr_eq(&a, &b));
/// # }
/// ```
pub struct SingleFlight<K, V: Clone> {
    lines: Lines<K, Flight<V>>,
}

/// The call for one key.
struct Flight<V> {
    is_led: bool,
    result: Option<V>,
}

/// What one who asks is told.
enum Turn<V> {
    Lead,
    Share(V),
}

impl<V> Flight<V> {
    fn new() -> Self {
        Self {
            is_led: false,
            result: None,
        }
    }
}

impl<V: Clone> Serve for Flight<V> {
    type Request = ();
    type Grant = Turn<V>;

    fn try_serve(&mut self, (): &mut ()) -> Option<Turn<V>> {
        if let Some(result) = &self.result {
            return Some(Turn::Share(result.clone()));
        }
        let leads = !std::mem::replace(&mut self.is_led, true);
        leads.then_some(Turn::Lead)
    }

    fn take_back(&mut self, turn: Turn<V>) {
        if let Turn::Lead = turn {
            self.is_led = false;
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlight<K, V> {
    /// No call is under way.
    pub fn new() -> Self {
        Self {
            lines: Lines::new(),
        }
    }

    /// The result of the call for `key` that is under way, or of `call`, which is made if there is
    /// none.
    ///
    /// Dropping the future of the one who makes the call drops the call; the next who waits makes it
    /// anew. Dropping that of one who waits harms nobody.
    ///
    /// # Cancel safety
    ///
    /// Nobody is left waiting for a call that nobody makes.
    ///
    /// # Panics
    ///
    /// As `call` does, for the one who makes it alone.
    pub async fn run<F, Fut>(&self, key: K, call: F) -> V
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        let place = Place::new(&self.lines, key, Flight::new);
        // A line is never closed.
        let turn = Wait::new(place.line().clone(), ()).await;
        if let Ok(Turn::Share(result)) = turn {
            return result;
        }
        let lead = Lead { place: &place };
        let result = call().await;
        lead.land(result.clone());
        result
    }

    /// How many calls are under way.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no call is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The one that makes the call. Its drop hands over to the next.
struct Lead<'a, K: Hash + Eq, V: Clone> {
    place: &'a Place<&'a Lines<K, Flight<V>>, K, Flight<V>>,
}

impl<K: Hash + Eq, V: Clone> Lead<'_, K, V> {
    fn land(self, result: V) {
        // First, so that nobody who comes after this gets an old result.
        self.place.lines().retire(self.place);
        self.place.line().lock().result = Some(result);
    }
}

impl<K: Hash + Eq, V: Clone> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        self.place.line().lock().is_led = false;
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V: Clone> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("calls", &self.lines.len())
            .finish()
    }
}
