//! Tasks that stay on the thread that spawns them, and so need not be `Send`.

use std::future::Future;
use std::panic::Location;

use crate::task::home::Here;
use crate::task::spawn::TaskBuilder;
use crate::{Task, TaskGroup};

impl<E: Send + 'static> TaskGroup<E> {
    /// Spawns a task that stays on this thread, in the [`LocalSet`](tokio::task::LocalSet) or the
    /// [local runtime](tokio::runtime::LocalRuntime) that runs here. Neither its future nor its value
    /// need be `Send`; its error must be, as the group may give it to any thread.
    ///
    /// In all else it is a task like those of [`spawn`](Self::spawn). It is polled only while the
    /// `LocalSet` is, and dropped nowhere else: so a group waits for its local tasks until the
    /// `LocalSet` is polled or dropped, on whichever thread the group itself runs. When the
    /// `LocalSet` is dropped, they end as cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalSet` and a local runtime. Then the future is dropped, and the group is as it
    /// was before. In a group that is over it does not matter where one is.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// use shibuya_taskgroup::TaskGroup;
    /// use tokio::task::LocalSet;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let total = Rc::new(Cell::new(0)); // no lock and no atomics: all runs on this thread
    /// let group = TaskGroup::<std::num::ParseIntError>::run(async |g| {
    ///     for text in ["1", "20", "300"] {
    ///         let total = total.clone();
    ///         g.spawn_local(async move { Ok(total.set(total.get() + text.parse::<i32>()?)) });
    ///     }
    ///     Ok(())
    /// });
    /// LocalSet::new().run_until(group).await.unwrap();
    /// assert_eq!(total.get(), 321);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local<T, F>(&self, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.unnamed(Location::caller()).spawn_local(fut)
    }
}

impl<E: Send + 'static> TaskBuilder<'_, E> {
    /// Spawns it on this thread; see [`TaskGroup::spawn_local`].
    ///
    /// # Panics
    ///
    /// Outside of a [`LocalSet`](tokio::task::LocalSet) and a
    /// [local runtime](tokio::runtime::LocalRuntime).
    #[track_caller]
    pub fn spawn_local<T, F>(self, fut: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        let turn = self.turn();
        self.spawn_by(Here, turn, fut)
    }
}
