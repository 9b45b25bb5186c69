use std::future::Future;
use std::sync::Arc;

use super::line::{Inlet, Numbered, Outlet, Place};
use super::monitor::Meter;

/// What the workers of a stage share. The last one to go ends the queue behind it.
pub(super) struct Stage<T, R, U, F> {
    pub(super) f: F,
    /// Which of its results go on.
    pub(super) keep: fn(R) -> Option<U>,
    pub(super) meter: Arc<Meter>,
    pub(super) inlet: Inlet<T>,
    pub(super) outlet: Outlet<U>,
}

impl<T, R, U, F> Stage<T, R, U, F> {
    /// What one worker does.
    pub(super) async fn work<Fut, E>(&self, at: &Place) -> Result<(), E>
    where
        F: Fn(T) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        while let Some(Numbered { place, value }) = self.inlet.next().await {
            at.set(place);
            let mut fate = self.meter.at_work();
            let result = (self.f)(value).await?;
            let Some(value) = (self.keep)(result) else {
                continue;
            };
            let Some(slot) = self.outlet.reserve().await else {
                break;
            };
            if slot.put(Numbered { place, value }).is_ok() {
                fate.went_on();
            }
        }
        Ok(())
    }
}
