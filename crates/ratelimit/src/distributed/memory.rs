use std::collections::HashMap;
use std::sync::Arc;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::Mutex;

use super::backend::{Backend, BackendError, Take, Verdict};
use super::local::{Units, at, decide};
use crate::Quota;

/// A [`Backend`] in this process, on Tokio's clock: for tests, and for programs that are to share a limit later.
///
/// It forgets no key. For limits that stay in one process take the local limiter, which does.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_ratelimit::distributed::{Distributed, Memory};
/// use shibuya_ratelimit::Quota;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = Arc::new(Memory::new());
/// let quota = Quota::per_minute(1).burst(3);
/// let (here, there) = (Distributed::new(store.clone(), quota), Distributed::new(store, quota));
/// assert!(here.try_acquire_n("key", 2).await.is_ok());
/// assert!(there.try_acquire_n("key", 2).await.is_err());
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<Box<[u8]>, Units>>);

impl Memory {
    /// All limits are full.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Memory {
    async fn take(&self, key: &[u8], quota: Quota, take: Take) -> Result<Verdict, BackendError> {
        let now = at(Timestamp::now());
        let mut keys = self.0.lock();
        let tat = keys.entry(key.into()).or_insert(now);
        let (next, verdict) = decide(*tat, now, quota, take);
        *tat = next;
        Ok(verdict)
    }
}

/// One store for several.
impl<B: Backend> Backend for Arc<B> {
    async fn take(&self, key: &[u8], quota: Quota, take: Take) -> Result<Verdict, BackendError> {
        (**self).take(key, quota, take).await
    }
}
