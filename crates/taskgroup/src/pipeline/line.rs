//! What stands between the stages, and who stands at them.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shibuya_cancel::TaskId;
use shibuya_sync::Queue;

use crate::task::spawn::TaskBuilder;
use crate::{Failure, Name, Task, TaskGroup};

/// A value on its way, and the place in the input of the item that it was.
pub(super) struct Numbered<T> {
    pub(super) place: usize,
    pub(super) value: T,
}

/// The end of a queue where values come in. When it goes, no more will come.
pub(super) struct Outlet<T>(pub(super) Queue<Numbered<T>>);

impl<T> Outlet<T> {
    /// Waits for room, and only then asks for the value: who puts holds none that it can't let go of.
    /// Gives `None` when nobody takes any more.
    pub(super) async fn reserve(&self) -> Option<shibuya_sync::queue::Slot<Numbered<T>>> {
        self.0.reserve().await.ok()
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// The end of a queue where values go out. When it goes, what is left is dropped with it: a monitor may
/// keep the queue for long.
pub(super) struct Inlet<T>(pub(super) Queue<Numbered<T>>);

impl<T> Inlet<T> {
    pub(super) async fn next(&self) -> Option<Numbered<T>> {
        self.0.pop().await.ok()
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        drop(self.0.shutdown_now());
    }
}

/// All who are at work.
pub(super) struct Line<'g, E> {
    group: &'g TaskGroup<E>,
    tasks: Vec<Task<(), E>>,
    posts: Vec<Post>,
}

/// Where somebody is at work, and on what: for the name of a failure.
pub(super) struct Post {
    task: TaskId,
    stage: Name,
    at: Place,
}

/// The place in the input of the item that is worked on.
#[derive(Clone)]
pub(super) struct Place(Arc<AtomicUsize>);

const NONE: usize = usize::MAX;

impl Place {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(NONE)))
    }

    pub(super) fn set(&self, place: usize) {
        self.0.store(place, Relaxed);
    }

    /// What a failure here is called.
    pub(super) fn name(&self, stage: &Name) -> Name {
        match self.0.load(Relaxed) {
            NONE => stage.clone(),
            place => format!("{stage}, item {place}").into(),
        }
    }
}

impl<'g, E: Send + 'static> Line<'g, E> {
    pub(super) fn new(group: &'g TaskGroup<E>) -> Self {
        let (tasks, posts) = (Vec::new(), Vec::new());
        Self {
            group,
            tasks,
            posts,
        }
    }

    pub(super) fn spawn<Fut>(
        &mut self,
        stage: Name,
        location: &'static Location<'static>,
        work: impl FnOnce(Place) -> Fut,
    ) where
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let at = Place::new();
        let task = TaskBuilder::new(self.group, stage.clone(), location).spawn(work(at.clone()));
        let task_id = task.id();
        self.tasks.push(task);
        self.posts.push(Post {
            task: task_id,
            stage,
            at,
        });
    }

    pub(super) fn into_parts(self) -> (Vec<Task<(), E>>, Vec<Post>) {
        (self.tasks, self.posts)
    }
}

/// Calls a worker's failure after its stage and its item.
pub(super) fn name_of<E>(posts: &[Post], failure: &Failure<E>) -> Option<Name> {
    let post = posts.iter().find(|post| post.task == failure.id())?;
    Some(post.at.name(&post.stage))
}
