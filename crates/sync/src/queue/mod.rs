//! A queue for many producers and many consumers, which knows when its work is done.
//!
//! [`Queue`] is one handle, cheap to clone, for all who put and all who take. It is first in, first out, or [last
//! in, first out](Builder::lifo), or [least first](Builder::priority), or [by a key](Builder::priority_by_key), or [by levels
//! that age](Builder::aging). [`get`](Queue::get) gives an [`Item`], which is done when it is dropped, and
//! [`join`](Queue::join) waits until all that was put is done.
//!
//! # Examples
//!
//! ```
//! use shibuya_sync::queue::Queue;
//!
//! #[tokio::main]
//! async fn main() {
//!     let pages = Queue::bounded(100);
//!     let workers: Vec<_> = (0..3)
//!         .map(|_| {
//!             let pages = pages.clone();
//!             tokio::spawn(async move {
//!                 let mut read = 0;
//!                 while let Ok(page) = pages.get().await {
//!                     if *page < 10 {
//!                         // What an item leads to is put before the item is done, so `join` waits for it, too.
//!                         pages.put(*page + 10).await.unwrap();
//!                     }
//!                     read += 1;
//!                 }
//!                 read
//!             })
//!         })
//!         .collect();
//!
//!     for page in 0..10 {
//!         pages.put(page).await.unwrap();
//!     }
//!     pages.join().await.unwrap();
//!     pages.shutdown(); // the workers see the end
//!
//!     let mut read = 0;
//!     for worker in workers {
//!         read += worker.await.unwrap();
//!     }
//!     assert_eq!(read, 20);
//! }
//! ```

mod builder;
mod error;
mod handle;
mod item;
mod order;
mod sink;
mod slot;
mod state;
mod stats;
mod stream;

pub use builder::Builder;
pub use error::{
    Aborted, BuildError, Closed, GetTimeoutError, PutTimeoutError, TryGetError, TryPutError,
};
pub use handle::Queue;
pub use item::Item;
pub use sink::QueueSink;
pub use slot::Slot;
pub use stats::Stats;
pub use stream::QueueStream;
