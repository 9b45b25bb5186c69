//! Counts where it happens; without the feature `metrics` it is nothing at all.

/// `count!(NAME)` adds one to a counter of [`metrics`](crate::metrics), `count!(NAME: value)` notes a value.
#[cfg(feature = "metrics")]
macro_rules! count {
    ($name:ident) => {
        ::metrics::counter!(crate::metrics::$name).increment(1)
    };
    ($name:ident, $label:literal = $value:expr) => {
        ::metrics::counter!(crate::metrics::$name, $label => $value).increment(1)
    };
    ($name:ident: $value:expr) => {
        ::metrics::histogram!(crate::metrics::$name).record($value)
    };
}

#[cfg(not(feature = "metrics"))]
macro_rules! count {
    ($($what:tt)*) => {};
}

pub(crate) use count;
