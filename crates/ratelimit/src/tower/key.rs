use std::fmt;

/// A limit for each key, and what says which key a request has.
#[derive(Clone, Copy)]
pub struct ByKey<L, F> {
    pub(super) limits: L,
    pub(super) key: F,
}

impl<L: fmt::Debug, F> fmt::Debug for ByKey<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
