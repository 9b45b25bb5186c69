//! A crate to be read, not compiled.

mod queue;
#[path = "elsewhere.rs"]
mod moved;
#[cfg(test)]
mod tests;

pub use queue::{Get, Queue};

/// Waits.
///
/// # Cancel safety
///
/// Nothing is lost.
pub async fn documented() {}

/// Says nothing about `# Cancel safety` in a heading.
pub async fn undocumented() {}

pub(crate) async fn internal() {}

async fn private() {}

pub fn not_a_future() -> u32 {
    0
}

pub fn hidden_in_the_return_type() -> impl Future<Output = ()> + Send {
    async {}
}

pub fn boxed() -> Result<futures::future::BoxFuture<'static, ()>, Error> {
    Ok(Box::pin(async {}))
}

pub mod inline {
    pub async fn inside() {}
}

#[cfg(all(test, unix))]
mod more_tests {
    pub async fn helper() {
        cancel_at_every_poll("documented", make, check).await;
    }
}

pub trait Ext {
    /// Documented once.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn required(&self);

    async fn provided(&self) {}
}

impl Ext for Queue {
    async fn required(&self) {}
}

impl<T> Ext for T {
    async fn required(&self) {}
}

trait Sealed {
    async fn sealed(&self);
}

impl Sealed for Queue {
    async fn sealed(&self) {}
}
