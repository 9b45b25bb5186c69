use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What a task panicked with.
pub struct Panic {
    message: Option<Box<str>>,
    // The mutex makes it `Sync`, so that errors that hold it travel as `Box<dyn Error + Send + Sync>`.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&'static str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.map(Box::from),
            payload: Mutex::new(payload),
        }
    }

    /// The message, if the panic had one, as `panic!("..")` gives it.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// What was passed to `panic_any`, or the message.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on panicking here, with the same payload.
    ///
    /// # Panics
    ///
    /// Always: that is what it is for.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_payload())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic")
            .field(&self.message().unwrap_or(".."))
            .finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked"),
        }
    }
}
