use crate::Serve;

/// A state that serves nobody until it is opened, and then everybody, each with a copy of one value.
///
/// # Examples
///
/// ```
/// use shibuya_waitlist::{Latch, WaitList};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// static DONE: WaitList<Latch<u32>> = WaitList::new(Latch::new());
///
/// let waiting = [(), ()].map(|()| tokio::spawn(DONE.wait(())));
/// DONE.lock().open(7);
/// for waiting in waiting {
///     assert_eq!(waiting.await.unwrap(), Ok(7));
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Latch<T>(Option<T>);

impl<T> Latch<T> {
    /// One that is shut.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Opens it for good. The first value stays; gives whether it is this one.
    pub fn open(&mut self, value: T) -> bool {
        let is_first = self.0.is_none();
        if is_first {
            self.0 = Some(value);
        }
        is_first
    }

    /// The value, once it is open.
    pub const fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Default for Latch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Serve for Latch<T> {
    type Request = ();
    type Grant = T;

    fn try_serve(&mut self, (): &mut ()) -> Option<T> {
        self.0.clone()
    }

    fn take_back(&mut self, _: T) {}
}
