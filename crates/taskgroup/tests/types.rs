//! What is `Send`, `Sync` and `Unpin`, checked by the compiler.
#![cfg(not(shibuya_loom))]

use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::marker::PhantomPinned;

use shibuya_taskgroup::*;
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// `Send`, and neither `Sync` nor `Unpin`.
struct SendOnly(Cell<()>, PhantomPinned);

assert_impl_all!(TaskGroup<SendOnly>: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Builder<SendOnly>: Send, Sync, Unpin);
assert_impl_all!(TaskBuilder<'static, SendOnly>: Send, Sync, Unpin);
assert_impl_all!(Task<SendOnly, SendOnly>: Send, Sync, Unpin, Debug);
assert_impl_all!(TaskOutcome<'static, SendOnly, SendOnly>: Send, Unpin, Debug);
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
assert_impl_all!(Unordered<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(Ordered<SendOnly, SendOnly>: Send, Unpin, Debug);
assert_impl_all!(MapConcurrent<std::ops::Range<u8>, fn()>: Send, Sync, Unpin, Debug);
assert_impl_all!(Run<(), String, fn(), std::future::Ready<()>>: Send);
assert_not_impl_any!(Run<(), String, fn(), std::future::Ready<()>>: Unpin);

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
