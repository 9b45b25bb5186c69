use std::thread;

/// A value whose destructor panics, for testing how code survives that.
///
/// It keeps quiet while its thread is panicking already: a second panic would abort the process.
///
/// # Examples
///
/// ```
/// use shibuya_testkit::PanicOnDrop;
/// use std::panic::catch_unwind;
///
/// let bomb = PanicOnDrop::new("boom");
/// let payload = catch_unwind(|| drop(bomb)).unwrap_err();
/// assert_eq!(payload.downcast_ref::<String>().unwrap(), "boom");
///
/// PanicOnDrop::new("a dud").disarm();
/// ```
#[derive(Debug)]
#[must_use = "it panics as soon as it is dropped"]
pub struct PanicOnDrop {
    /// `None` once disarmed.
    message: Option<String>,
}

impl PanicOnDrop {
    /// A value that panics with `message` when it is dropped.
    pub fn new(message: impl Into<String>) -> Self {
        PanicOnDrop {
            message: Some(message.into()),
        }
    }

    /// Drops the value without a panic.
    pub fn disarm(mut self) {
        self.message = None;
    }
}

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        match self.message.take() {
            Some(message) if !thread::panicking() => panic!("{message}"),
            _ => {}
        }
    }
}
