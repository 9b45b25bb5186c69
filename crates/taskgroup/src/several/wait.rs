use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use shibuya_cancel::TaskId;
use shibuya_cancel::raw::{Timer, Timestamp};
use tokio::task::coop::consume_budget;

use crate::several::arrivals::Arrivals;
use crate::{Name, Outcome, Task};

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// One task has ended, whichever way.
    First,
    /// One task has failed, or all have ended. One that was cancelled has not failed.
    FirstError,
    /// All tasks have ended.
    All,
}

/// How a task ended that [`wait`] took out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T, E> {
    /// The task's number, unique in the process.
    pub id: TaskId,
    /// The task's name.
    pub name: Name,
    /// How it ended.
    pub outcome: Outcome<T, E>,
}

/// Waits for tasks; takes out of `tasks` those that are done and gives how they ended, in the order in
/// which they did. The others stay, in their order.
///
/// It is `asyncio.wait(..)`, with its `return_when` and [`timeout`](Wait::timeout). Those that were done before
/// it looked come first, in the order of the vector. With an empty vector it is ready at once.
///
/// Use it if you have the tasks already. A wait looks at each task once, and takes what is done in one go;
/// so a loop that waits for the [first](Until::First) again and again looks at all of them each time. To take
/// many one by one, [`as_completed`](crate::as_completed) is the cheaper.
///
/// Failures are as with [`Task::outcome`]: in a group that [collects](crate::OnError::Collect) them, those
/// that are taken here are yours; in all others a failure cancels the group, and with it who waits here.
///
/// Dropping the returned future changes nothing.
///
/// # Cancel safety
///
/// Tasks are taken out only when their outcomes are given. A wait that is dropped before that has taken
/// nothing, and can be begun anew.
///
/// # Panics
///
/// When a task failed, its group does not collect failures, and this is awaited outside of the group.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_taskgroup::{TaskGroup, Until, wait};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let run = TaskGroup::<()>::run(async |g| {
///     let mut tasks: Vec<_> = [60_000, 5]
///         .map(|ms| g.spawn(async move { Ok(sleep(Duration::from_millis(ms)).await) }))
///         .into();
///
///     let done = wait(&mut tasks, Until::First).await;
///     assert_eq!((done.len(), tasks.len()), (1, 1));
///
///     let late = wait(&mut tasks, Until::All).timeout(Duration::from_millis(5)).await;
///     assert!(late.is_empty());
///     tasks.iter().for_each(|task| task.abort());
///
///     let done = wait(&mut tasks, Until::All).await;
///     assert!(done[0].outcome.is_cancelled() && tasks.is_empty());
///     Ok(())
/// });
/// run.await.unwrap();
/// # }
/// ```
pub fn wait<T, E>(tasks: &mut Vec<Task<T, E>>, until: Until) -> Wait<'_, T, E> {
    Wait {
        watch: Watch::new(tasks.len()),
        tasks,
        until,
        limit: Duration::MAX,
        at: None,
        timer: Timer::new(),
    }
}

pin_project! {
    /// The future of [`wait`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait<'a, T, E> {
        tasks: &'a mut Vec<Task<T, E>>,
        until: Until,
        limit: Duration,
        // Set by the first poll.
        at: Option<Timestamp>,
        #[pin]
        timer: Timer,
        watch: Watch,
    }
}

impl<T, E> Wait<'_, T, E> {
    /// Waits no longer than `limit`, counted from the first poll, and then gives what is done by that
    /// time: perhaps nothing. Nothing is cancelled.
    ///
    /// # Cancel safety
    ///
    /// As of [`wait`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl<T, E: Send + 'static> Future for Wait<'_, T, E> {
    type Output = Vec<Done<T, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (tasks, watch) = (&mut **this.tasks, this.watch);
        let at = *this
            .at
            .get_or_insert_with(|| Timestamp::now().after(*this.limit));
        ready!(watch.look(tasks, cx));
        let late = at != Timestamp::NEVER
            && (at <= Timestamp::now() || this.timer.as_mut().poll(at, cx).is_ready());
        loop {
            if let Some(lost) = watch.lost {
                return tasks[lost].missing("failed");
            }
            let left = tasks.len() - watch.done.len();
            let wanted = match this.until {
                _ if late || left == 0 => break,
                Until::First if !watch.done.is_empty() => break,
                Until::FirstError if watch.has_failed => break,
                Until::First | Until::FirstError => 1,
                Until::All => left,
            };
            ready!(watch.listen(tasks, wanted, cx));
        }
        watch.take_out(tasks)
    }
}

impl<T, E> fmt::Debug for Wait<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("until", &self.until)
            .field("limit", &self.limit)
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

/// Which of the tasks are done.
///
/// Each task is looked at once, and given a bell of its own. After that only those whose bell rang cost
/// anything; one waker for all would have all looked at each time.
struct Watch {
    /// The tasks from here on were not looked at.
    next: usize,
    bells: Arc<Arrivals<usize>>,
    /// What rang and was not yet heeded.
    rang: VecDeque<usize>,
    done: Vec<usize>,
    is_done: Vec<bool>,
    has_failed: bool,
    /// A task whose failure its group does not leave to us.
    lost: Option<usize>,
}

impl Watch {
    fn new(len: usize) -> Self {
        Self {
            next: 0,
            bells: Arc::new(Arrivals::new()),
            rang: VecDeque::new(),
            done: Vec::new(),
            is_done: vec![false; len],
            has_failed: false,
            lost: None,
        }
    }

    /// Looks at each task, at so many per turn as the budget of the one who waits allows; and at what
    /// rang meanwhile first, which came first.
    fn look<T, E>(&mut self, tasks: &mut [Task<T, E>], cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.listen(tasks, 0, cx);
        while let Some(task) = tasks.get_mut(self.next) {
            ready!(pin!(consume_budget()).poll(cx));
            let bell = || {
                let (bells, task) = (self.bells.clone(), self.next);
                Waker::from(Arc::new(Bell { bells, task }))
            };
            if task.is_finished() || task.poll_finished(&bell()).is_ready() {
                self.heed(self.next, task);
            }
            self.next += 1;
        }
        Poll::Ready(())
    }

    /// Heeds the bells that rang, once there are `wanted`.
    fn listen<T, E>(
        &mut self,
        tasks: &[Task<T, E>],
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(self.bells.poll_take(&mut self.rang, wanted, cx));
        while let Some(at) = self.rang.pop_front() {
            // A waker may be called for nothing, and more than once.
            if tasks[at].is_finished() {
                self.heed(at, &tasks[at]);
            }
        }
        Poll::Ready(())
    }

    fn heed<T, E>(&mut self, at: usize, task: &Task<T, E>) {
        if std::mem::replace(&mut self.is_done[at], true) {
            return;
        }
        self.done.push(at);
        self.has_failed |= task.has_failed();
        if task.is_lost() {
            self.lost.get_or_insert(at);
        }
    }

    /// Gives how those ended that are done, and takes them out.
    fn take_out<T, E>(&mut self, tasks: &mut Vec<Task<T, E>>) -> Poll<Vec<Done<T, E>>>
    where
        E: Send + 'static,
    {
        let mut given = Vec::with_capacity(self.done.len());
        for &at in &self.done {
            let task = &mut tasks[at];
            given.push(Done {
                id: task.id(),
                name: task.name().clone(),
                outcome: ready!(task.poll_outcome_now()),
            });
        }
        let mut is_done = std::mem::take(&mut self.is_done).into_iter();
        tasks.retain(|_| is_done.next() == Some(false));
        self.done.clear();
        Poll::Ready(given)
    }
}

/// Whoever rings from now on is not heard; the last bells go with their tasks.
impl Drop for Watch {
    fn drop(&mut self) {
        self.bells.close();
    }
}

/// What a task wakes when it ends.
struct Bell {
    bells: Arc<Arrivals<usize>>,
    task: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bells.push(self.task);
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;
    use crate::TaskGroup;

    fn rang(bells: &Arrivals<usize>) -> usize {
        let mut rang = VecDeque::new();
        let mut cx = Context::from_waker(Waker::noop());
        let _ = bells.poll_take(&mut rang, 0, &mut cx);
        rang.len()
    }

    #[tokio::test]
    async fn a_dropped_wait_leaves_bells_that_nobody_hears_and_the_next_wait_replaces() {
        let ended = TaskGroup::<()>::run(async |g| {
            let mut tasks: Vec<_> = (0..3)
                .map(|_| g.spawn(pending::<Result<(), _>>()))
                .collect();
            let mut cx = Context::from_waker(Waker::noop());
            let mut last = None::<Arc<Arrivals<usize>>>;
            for _ in 0..10 {
                let mut waiting = pin!(wait(&mut tasks, Until::First));
                assert!(waiting.as_mut().poll(&mut cx).is_pending());
                let bells = waiting.watch.bells.clone();
                if let Some(before) = last.replace(bells) {
                    assert_eq!(Arc::strong_count(&before), 1, "no task holds its bell");
                }
            }
            let bells = last.expect("set above");
            assert_eq!(Arc::strong_count(&bells), 1 + tasks.len());
            for task in &tasks {
                task.abort();
            }
            while !tasks.iter().all(Task::is_finished) {
                yield_now().await;
            }
            assert_eq!(rang(&bells), 0);
            Ok(())
        });
        ended.await.unwrap();
    }
}
