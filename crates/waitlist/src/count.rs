/// Counts where it happens; in a crate without a feature `metrics` it is nothing at all.
///
/// The names are those of the calling crate's module `metrics`, and so is the feature:
///
/// - `count!(NAME)` adds one to a counter,
/// - `count!(NAME: value)` notes a value in a histogram,
/// - `count!(NAME += value)` and `count!(NAME = value)` change a gauge,
///
/// each with labels behind it: `count!(NAME, "reason" = reason)`.
///
/// For Shibuya's own crates. Not part of the public API.
#[doc(hidden)]
#[macro_export]
#[allow(clippy::crate_in_macro_def)] // it is the caller's that is meant
macro_rules! count {
    ($name:ident $(, $label:literal = $of:expr)*) => {{
        #[cfg(feature = "metrics")]
        ::metrics::counter!(crate::metrics::$name $(, $label => $of)*).increment(1);
    }};
    ($name:ident: $value:expr $(, $label:literal = $of:expr)*) => {{
        #[cfg(feature = "metrics")]
        ::metrics::histogram!(crate::metrics::$name $(, $label => $of)*).record($value);
    }};
    ($name:ident += $value:expr $(, $label:literal = $of:expr)*) => {{
        #[cfg(feature = "metrics")]
        ::metrics::gauge!(crate::metrics::$name $(, $label => $of)*).increment($value);
    }};
    ($name:ident = $value:expr $(, $label:literal = $of:expr)*) => {{
        #[cfg(feature = "metrics")]
        ::metrics::gauge!(crate::metrics::$name $(, $label => $of)*).set($value);
    }};
}
