use std::fmt::{self, Debug};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the values that go through the code under test: which were created, which are alive, which were delivered.
///
/// A clone watches the same probes. Probes are numbered from 0 in the order of their creation.
///
/// # Examples
///
/// ```
/// use shibuya_testkit::Probes;
///
/// let probes = Probes::new();
/// let mut queue = Vec::from([probes.probe("a"), probes.probe("b")]);
///
/// assert_eq!(queue.pop().unwrap().deliver(), "b");
/// probes.assert_none_lost(); // "a" is still in the queue
/// assert_eq!(probes.alive(), 1);
///
/// drop(queue);
/// probes.assert_all_dropped();
/// assert_eq!(probes.lost(), [0]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Probes {
    /// By number.
    fates: Arc<Mutex<Vec<Fate>>>,
}

/// What became of one number.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// The probe and its clones.
    alive: usize,
    delivered: bool,
}

impl Probes {
    /// No probes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new probe around `value`.
    pub fn probe<T>(&self, value: T) -> Probe<T> {
        let mut fates = self.lock();
        let number = fates.len();
        fates.push(Fate {
            alive: 1,
            delivered: false,
        });
        drop(fates);
        Probe {
            value,
            life: Life {
                number,
                probes: self.clone(),
            },
        }
    }

    /// How many probes were created, clones aside.
    pub fn created(&self) -> usize {
        self.lock().len()
    }

    /// How many probes are alive, each clone counted.
    pub fn alive(&self) -> usize {
        self.lock().iter().map(|fate| fate.alive).sum()
    }

    /// How many probes are gone with all their clones, delivered or not.
    pub fn dropped(&self) -> usize {
        self.numbers(|fate| fate.alive == 0).len()
    }

    /// The numbers that were delivered.
    pub fn delivered(&self) -> Vec<usize> {
        self.numbers(|fate| fate.delivered)
    }

    /// The numbers that are gone without having been delivered.
    pub fn lost(&self) -> Vec<usize> {
        self.numbers(|fate| fate.alive == 0 && !fate.delivered)
    }

    /// Checks that no probe is alive: nothing leaked.
    ///
    /// # Panics
    ///
    /// With the numbers of those that live.
    #[track_caller]
    pub fn assert_all_dropped(&self) {
        let alive = self.numbers(|fate| fate.alive > 0);
        assert!(
            alive.is_empty(),
            "{} of {} probes are still alive: {alive:?}",
            alive.len(),
            self.created()
        );
    }

    /// Checks that each probe is alive or was delivered.
    ///
    /// # Panics
    ///
    /// With the numbers of those that were lost.
    #[track_caller]
    pub fn assert_none_lost(&self) {
        let lost = self.lost();
        assert!(
            lost.is_empty(),
            "{} of {} probes were lost: {lost:?}",
            lost.len(),
            self.created()
        );
    }

    fn numbers(&self, which: impl Fn(&Fate) -> bool) -> Vec<usize> {
        self.lock()
            .iter()
            .enumerate()
            .filter(|(_, fate)| which(fate))
            .map(|(number, _)| number)
            .collect()
    }

    /// A failed assertion elsewhere must not turn into a second panic in a destructor.
    fn lock(&self) -> MutexGuard<'_, Vec<Fate>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that tells its [`Probes`] when it is delivered and when it is dropped.
///
/// A clone has the same number, as a broadcast message has; so whoever hands out two clones delivers twice.
pub struct Probe<T = ()> {
    value: T,
    life: Life,
}

/// One life of a number. Not in `Probe` itself, whose value must be movable out of it.
struct Life {
    number: usize,
    probes: Probes,
}

impl<T> Probe<T> {
    /// The probe's place in the order of creation, from 0.
    pub fn number(&self) -> usize {
        self.life.number
    }

    /// The value, which has arrived where it was meant to.
    ///
    /// # Panics
    ///
    /// If the same number was delivered before.
    #[track_caller]
    pub fn deliver(self) -> T {
        let twice = {
            let mut fates = self.life.probes.lock();
            std::mem::replace(&mut fates[self.life.number].delivered, true)
        };
        assert!(!twice, "probe {} was delivered twice", self.life.number);
        self.value
    }
}

impl<T: Clone> Clone for Probe<T> {
    fn clone(&self) -> Self {
        Probe {
            value: self.value.clone(),
            life: self.life.again(),
        }
    }
}

impl<T> Deref for Probe<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Probe<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Debug> Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("number", &self.life.number)
            .field("value", &self.value)
            .finish()
    }
}

impl Life {
    fn again(&self) -> Self {
        self.probes.lock()[self.number].alive += 1;
        Life {
            number: self.number,
            probes: self.probes.clone(),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.probes.lock()[self.number].alive -= 1;
    }
}
