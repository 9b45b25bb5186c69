mod get;

pub use get::Get;

pub struct Queue;

struct Secret;

impl Queue {
    pub async fn put(&self) {}

    async fn private(&self) {}

    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn get(&self) -> Get<'_> {
        Get { queue: self }
    }
}

impl Secret {
    pub async fn get(&self) {}
}

impl Service for Queue {
    type Future = crate::queue::Put;

    fn call(&mut self) -> Self::Future {
        Put
    }
}

pub struct Put;

impl std::future::Future for Put {
    type Output = ();
}
