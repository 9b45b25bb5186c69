//! What is `Send`, `Sync` and `Unpin`, checked by the compiler.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::marker::PhantomPinned;
use std::rc::Rc;

use shibuya_taskgroup::*;
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// `Send`, and neither `Sync` nor `Unpin`.
struct SendOnly(Cell<()>, PhantomPinned);

assert_impl_all!(TaskGroup<SendOnly>: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Builder<SendOnly>: Send, Sync, Unpin);
assert_impl_all!(TaskBuilder<'static, SendOnly>: Send, Sync, Unpin);
assert_impl_all!(Task<SendOnly, SendOnly>: Send, Sync, Unpin, Debug);
assert_impl_all!(TaskOutcome<'static, SendOnly, SendOnly>: Send, Unpin, Debug);
assert_not_impl_any!(Task<std::rc::Rc<()>, SendOnly>: Send, Sync); // the value of a local task
assert_impl_all!(SpawnReady<'static, SendOnly, SendOnly>: Send, Unpin);
assert_impl_all!(Gather<SendOnly>: Send, Unpin, Debug);
assert_impl_all!(TryGather<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(AsCompleted<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(NextCompleted<'static, SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(Race<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(SelectFirst<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(Wait<'static, SendOnly, SendOnly>: Send, Debug);
assert_not_impl_any!(Wait<'static, SendOnly, SendOnly>: Unpin);
assert_impl_all!(Done<String, String>: Send, Sync, Unpin, Debug);
assert_impl_all!(NoneSucceeded<String>: Error, Send, Sync, Unpin);
assert_impl_all!(SequenceError<String, String>: Error, Send, Sync, Unpin);
assert_impl_all!(Until: Send, Sync, Unpin, Copy, Debug);
assert_impl_all!(Collect<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(ForEachConcurrent<SendOnly>: Send, Unpin, Debug);
assert_impl_all!(Unordered<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(Ordered<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(MapConcurrent<std::ops::Range<u8>, fn()>: Send, Sync, Unpin, Debug);
assert_impl_all!(Cpu<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(CpuPool: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Pipeline<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(PipelineRun<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(PipelineForEach<'static, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(PipelineStream<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(PipelineMonitor: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(StageStats: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Run<(), String, fn(), std::future::Ready<()>>: Send);
assert_not_impl_any!(Run<(), String, fn(), std::future::Ready<()>>: Unpin);
assert_impl_all!(DeadlineScheduler: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Job<SendOnly>: Send, Debug);
assert_impl_all!(deadline_scheduler::RunJobs<SendOnly, SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(deadline_scheduler::Report<(), String, SendOnly>: Send, Debug);
assert_impl_all!(deadline_scheduler::Skipped<SendOnly>: Send, Debug);
assert_impl_all!(deadline_scheduler::SkipReason: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(deadline_scheduler::Done<()>: Send, Sync, Unpin, Debug);
assert_impl_all!(deadline_scheduler::Cut: Send, Sync, Unpin, Debug);
assert_impl_all!(Every: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Missed: Send, Sync, Unpin, Copy, Debug);
assert_impl_all!(RunEvery<fn(), SendOnly>: Send, Debug);
assert_not_impl_any!(RunEvery<fn(), std::future::Ready<()>>: Unpin);
assert_impl_all!(RunUntil<fn(), SendOnly>: Send, Debug);
assert_not_impl_any!(RunUntil<fn(), std::future::Ready<()>>: Unpin);

#[cfg(feature = "process")]
mod processes {
    use super::*;

    assert_impl_all!(Process: Send, Sync, Unpin, Debug);
    assert_impl_all!(process::RunProcess: Send, Unpin, Debug);
    assert_impl_all!(process::ProcessOutput: Send, Unpin, Debug);
    assert_impl_all!(process::Output: Send, Sync, Unpin, Clone, Debug);
    assert_impl_all!(ProcessError: Error, Send, Sync, Unpin);
}

assert_impl_all!(Shield<SendOnly>: Send, Unpin, Debug);
assert_impl_all!(OnCleanup: Send, Sync, Unpin, Debug);
assert_impl_all!(Ending: Send, Sync, Unpin, Clone, Debug, PartialEq);
assert_impl_all!(RunWithCleanup<std::future::Ready<Result<(), SendOnly>>>: Send, Debug);
assert_impl_all!(RunWithCleanup<std::future::Ready<Result<(), ()>>>: Unpin);
assert_not_impl_any!(RunWithCleanup<std::future::Ready<Result<(), Rc<()>>>>: Send);
assert_impl_all!(Resources: Send, Unpin, Debug);
assert_impl_all!(Release: Send, Unpin, Debug);
assert_impl_all!(ReleaseError: Error, Send, Sync, Unpin);
assert_impl_all!(Serve: Send, Unpin, Debug);
assert_impl_all!(ServeRun<(), String, fn(), std::future::Ready<()>>: Send, Debug);
assert_not_impl_any!(ServeRun<(), String, fn(), std::future::Ready<()>>: Unpin);
assert_impl_all!(Served<(), String>: Send, Sync, Unpin, Debug);
assert_impl_all!(ShutdownReport: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(ShutdownRequested: Send, Unpin, Debug);

assert_impl_all!(GroupError<String>: Error, Send, Sync, Unpin);
assert_impl_all!(GroupError<GroupError<String>>: Error, Send, Sync);
assert_not_impl_any!(GroupError<Cell<()>>: Sync);
assert_impl_all!(Failure<String>: Send, Sync, Unpin, Debug);
assert_impl_all!(Cause<String>: Send, Sync, Unpin, Debug);
assert_impl_all!(Straggler: Send, Sync, Unpin, Debug, Clone);
assert_impl_all!(Outcome<String, String>: Send, Sync, Unpin, Debug);
assert_impl_all!(Panic: Send, Sync, Unpin, Debug);
assert_impl_all!(TrySpawnError<Cell<()>>: Error, Send, Unpin);
assert_impl_all!(Name: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(TaskId: Send, Sync, Unpin, Copy, Debug);
assert_impl_all!(Reason: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(OnError: Send, Sync, Unpin, Copy, Debug);
assert_impl_all!(OnPanic: Send, Sync, Unpin, Copy, Debug);

fn is_send<T: Send>(value: T) -> T {
    value
}

/// The body borrows what is around it, and the whole still goes to another thread.
#[test]
fn a_run_is_send_when_its_body_is() {
    async fn count(words: &str, total: &mut usize) -> Result<(), GroupError<String>> {
        let run = TaskGroup::run(async |g| {
            for word in words.split(' ').map(str::to_owned) {
                *total += g.spawn(async move { Ok::<_, String>(word.len()) }).await;
            }
            Ok(())
        });
        is_send(run).await
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counted = runtime.spawn(is_send(async {
        let (words, mut total) = (String::from("in another thread"), 0);
        count(&words, &mut total).await.unwrap();
        total
    }));
    assert_eq!(runtime.block_on(counted).unwrap(), 15);
}

/// A step is pinned where it is, and may stay on its thread.
#[test]
fn a_sequence_is_what_its_steps_are() {
    fn is_debug<D: Debug>(_: &D) {}
    let steps = || [std::future::ready(Ok::<u8, String>(1))];
    is_debug(&is_send(sequence(steps())));
    is_debug(&is_send(sequence(steps()).collect()));
}

/// As those write who wrap groups in functions of their own.
#[test]
fn generic_callers_can_say_that_the_body_is_send() {
    fn traced<T, E, F, Fut>(body: F) -> impl Future<Output = Result<T, GroupError<E>>> + Send
    where
        T: Send,
        E: Send + 'static,
        F: FnOnce(TaskGroup<E>) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        TaskGroup::run(body)
    }
    let mut seen = Vec::new();
    let run = is_send(traced(async |g: TaskGroup<()>| {
        seen.push(g.spawn(async { Ok(5) }).await);
        Ok(())
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(run).unwrap();
    assert_eq!(seen, [5]);
}

#[test]
fn results_stay_small() {
    let word = size_of::<usize>();
    assert_eq!(size_of::<GroupError<[u8; 1000]>>(), word);
    assert_eq!(size_of::<Task<[u8; 1000], String>>(), 3 * word);
    assert_eq!(size_of::<TaskGroup<String>>(), word);
}
