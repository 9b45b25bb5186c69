//! Stages with workers of their own, and queues between them.

mod line;
mod monitor;
mod run;
mod source;
mod stage;
mod stream;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

pub use monitor::{PipelineMonitor, StageStats};
pub use run::{PipelineForEach, PipelineRun};
use shibuya_sync::Queue;
pub use source::{pipeline, pipeline_stream};
pub use stream::PipelineStream;

use self::line::{Inlet, Line, Numbered, Outlet};
use self::monitor::Meter;
use self::stage::Stage;
use crate::{GroupError, Name, TaskGroup};

/// A line of stages that has not begun, from [`pipeline()`] or [`pipeline_stream`].
///
/// Each [`stage`](Self::stage) has workers of its own and a buffer in front of them; where a buffer is
/// full, what comes before it waits. So the slowest stage sets the pace, and no more is pulled from the
/// source than there is place for: in each stage one item per worker, and its buffer.
///
/// [`run`](Self::run) collects the values, [`for_each`](Self::for_each) hands them to a function, and
/// [`stream`](Self::stream) gives them one by one. Dropping it drops the source; nothing was begun.
#[must_use = "a pipeline does nothing until it is run or consumed"]
pub struct Pipeline<T, E> {
    /// Spawns all workers so far, which leave what they give in the outlet.
    start: Start<T, E>,
    meters: Vec<Arc<Meter>>,
    /// What may wait for the consumer.
    buffer: usize,
}

type Start<T, E> = Box<dyn FnOnce(&mut Line<'_, E>, Outlet<T>) + Send>;

impl<T: Send + 'static, E: Send + 'static> Pipeline<T, E> {
    /// Adds a stage: `workers` tasks that call `f` with one item each, and a buffer in front of them for
    /// `buffer` items.
    ///
    /// With one worker the stage keeps the order of what comes in. With more, items leave it in the order
    /// in which they are done.
    ///
    /// # Panics
    ///
    /// When `workers` or `buffer` is 0: no item would ever come through.
    #[track_caller]
    pub fn stage<F, Fut, U>(
        self,
        name: impl Into<Name>,
        workers: usize,
        buffer: usize,
        f: F,
    ) -> Pipeline<U, E>
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
        U: Send + 'static,
    {
        self.add(name.into(), workers, buffer, f, Some)
    }

    /// Adds a stage that lets go of the items for which `f` gives `None`; else as [`stage`](Self::stage).
    ///
    /// # Panics
    ///
    /// As [`stage`](Self::stage).
    #[track_caller]
    pub fn filter_stage<F, Fut, U>(
        self,
        name: impl Into<Name>,
        workers: usize,
        buffer: usize,
        f: F,
    ) -> Pipeline<U, E>
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<U>, E>> + Send + 'static,
        U: Send + 'static,
    {
        self.add(name.into(), workers, buffer, f, |kept| kept)
    }

    #[track_caller]
    fn add<F, Fut, R, U>(
        self,
        name: Name,
        workers: usize,
        buffer: usize,
        f: F,
        keep: fn(R) -> Option<U>,
    ) -> Pipeline<U, E>
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Send + 'static,
        U: Send + 'static,
    {
        assert!(
            workers > 0,
            "stage `{name}`: 0 workers never take an item; the least is 1"
        );
        assert!(
            buffer > 0,
            "stage `{name}`: a buffer of 0 never gets an item; the least is 1"
        );
        let location = Location::caller();
        let queue = Queue::bounded(buffer);
        let meter = Arc::new(Meter::new(name.clone(), workers, buffer, &queue));
        let Self {
            start: before,
            mut meters,
            ..
        } = self;
        meters.push(meter.clone());
        let start = Box::new(move |line: &mut Line<'_, E>, outlet| {
            before(line, Outlet(queue.clone()));
            let inlet = Inlet(queue);
            let stage = Arc::new(Stage {
                f,
                keep,
                meter,
                inlet,
                outlet,
            });
            for _ in 0..workers {
                let stage = stage.clone();
                line.spawn(name.clone(), location, async move |at| {
                    stage.work(&at).await
                });
            }
        });
        Pipeline {
            start,
            meters,
            buffer,
        }
    }

    /// Runs it all, and gives the values in the order of the input, however many workers there are.
    ///
    /// The first failure cancels the whole pipeline. Without a stage it gives the items.
    ///
    /// Dropping the returned future has the workers dropped at their next poll, without waiting for that;
    /// a group further out waits for them instead.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: what was done is dropped with it. Nothing is leaked.
    ///
    /// # Errors
    ///
    /// [`GroupError`], in which a failure is named after its stage and the item's position in the input,
    /// counted from 0: `parse, item 17`.
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime. A panic in a stage or in the source is a failure.
    #[track_caller]
    pub fn run(self) -> PipelineRun<T, E> {
        PipelineRun::new(self)
    }

    /// Runs it all, and calls `f` with each value as it comes, one after the other, in the caller's task:
    /// so it may borrow. While it is at work the buffers fill, and then the stages wait.
    ///
    /// The values come in the order of the input if each stage has one worker, else in the order in which
    /// the last stage is done with them. The first failure, of `f` too, cancels the whole pipeline.
    ///
    /// Dropping the returned future does what it does for [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); where `f` failed it is `for_each, item 17`.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_taskgroup::pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut sum = 0;
    /// pipeline(["1", "2", "x"])
    ///     .filter_stage("parse", 1, 4, |text| async move {
    ///         Ok::<_, std::io::Error>(text.parse::<u32>().ok())
    ///     })
    ///     .for_each(|number| {
    ///         sum += number;
    ///         async { Ok(()) }
    ///     })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(sum, 3);
    /// # }
    /// ```
    #[track_caller]
    pub fn for_each<'a, F, Fut>(self, f: F) -> PipelineForEach<'a, E>
    where
        F: FnMut(T) -> Fut + Send + 'a,
        Fut: Future<Output = Result<(), E>> + Send + 'a,
    {
        PipelineForEach::new(self, f)
    }

    /// The values as a stream. As many as the last stage's buffer holds may wait for whoever takes them;
    /// then the stages wait.
    ///
    /// They come in the order in which [`for_each`](Self::for_each) has them.
    #[track_caller]
    pub fn stream(self) -> PipelineStream<T, E> {
        PipelineStream::new(self)
    }

    /// What can be asked how full the stages are while it runs, and afterwards.
    pub fn monitor(&self) -> PipelineMonitor {
        PipelineMonitor::new(self.meters.clone())
    }

    /// The group of all workers, with `consume` in its body.
    #[track_caller]
    fn drive<R>(
        self,
        queue: Queue<Numbered<T>>,
        consume: impl Future<Output = Result<R, E>>,
    ) -> impl Future<Output = Result<R, GroupError<E>>> {
        let posts = Arc::new(OnceLock::new());
        let seen = posts.clone();
        let start = self.start;
        // Closes the queue also where the group is cancelled before it begins.
        let outlet = Outlet(queue);
        let run = TaskGroup::builder().name("pipeline").run(async move |g| {
            let mut line = Line::new(&g);
            start(&mut line, outlet);
            let (tasks, at) = line.into_parts();
            let _ = posts.set(at);
            let value = consume.await?;
            // A worker that was dropped has let go of its queue as one that was done. So who only looked
            // at the queues could take what was cut off for the whole.
            for task in tasks {
                task.await;
            }
            Ok(value)
        });
        async move {
            run.await.map_err(|error| match seen.get() {
                Some(posts) => error.rename(|failure| line::name_of(posts, failure)),
                None => error,
            })
        }
    }
}

impl<T, E> fmt::Debug for Pipeline<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.meters.iter().map(|meter| &meter.name);
        f.debug_struct("Pipeline")
            .field("stages", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
