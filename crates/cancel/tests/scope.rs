//! What a scope promises: who is cancelled with whom, why, and when what runs inside is dropped.
#![cfg(not(shibuya_loom))]

use std::any::Any;
use std::future::pending;
use std::iter::successors;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use shibuya_cancel::raw::{Bound, Node, Owner, Role};
use shibuya_cancel::{
    CancelScope, Cancelled, InScope, Reason, cancelled, check, remaining, timeout,
};
use shibuya_testkit::PanicOnDrop;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_test::{assert_pending, assert_ready, task};
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);

fn with_grace(grace: Duration) -> CancelScope {
    CancelScope::builder().grace(grace).build()
}

fn why<T: std::fmt::Debug>(ended: Result<T, Cancelled>) -> Reason {
    ended.unwrap_err().into_reason()
}

/// Counts how often it is polled and whether it was dropped.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicUsize>);

impl Seen {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct CallOnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for CallOnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[tokio::test]
async fn a_scope_that_is_cancelled_already_polls_nothing() {
    let scope = CancelScope::new();
    scope.cancel(Reason::Shutdown);
    let polls = Seen::default();
    let ended = scope.run(async { polls.add() }).await;
    assert_eq!((why(ended), polls.count()), (Reason::Shutdown, 0));
}

#[tokio::test]
async fn without_grace_a_scope_that_cancels_itself_goes_at_its_next_await() {
    let scope = CancelScope::new();
    let ended = scope
        .run(async {
            scope.cancel(Reason::Requested);
            assert!(check().is_err());
            pending::<()>().await;
        })
        .await;
    assert_eq!(why(ended), Reason::Requested);
}

#[tokio::test]
async fn a_value_that_is_ready_counts_even_after_cancelling_itself() {
    let scope = CancelScope::new();
    let value = scope.run(async {
        scope.cancel(Reason::Requested);
        7
    });
    assert_eq!(value.await, Ok(7));
}

#[tokio::test]
async fn another_thread_cancels() {
    let scope = CancelScope::new();
    let stop = scope.clone();
    let (ready, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        wait.recv().unwrap();
        stop.cancel(Reason::other("from a thread"));
    });
    let ended = scope
        .run(async move {
            ready.send(()).unwrap();
            pending::<()>().await;
        })
        .await;
    assert_eq!(why(ended), Reason::other("from a thread"));
    thread.join().unwrap();
}

#[tokio::test]
async fn two_runs_in_one_scope_both_end() {
    let scope = CancelScope::new();
    let stop = async {
        tokio::task::yield_now().await;
        scope.cancel(Reason::Failed);
    };
    let (one, other, ()) =
        tokio::join!(scope.run(pending::<()>()), scope.run(pending::<()>()), stop);
    assert_eq!((why(one), why(other)), (Reason::Failed, Reason::Failed));
}

#[tokio::test]
async fn one_run_of_two_is_dropped_and_the_scope_goes_on() {
    let scope = CancelScope::new();
    let mut first = task::spawn(scope.run(pending::<()>()));
    let mut second = task::spawn(scope.run(async { cancelled().await }));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(first);
    assert!(!scope.is_cancelled());
    assert!(!second.is_woken());
    scope.cancel(Reason::Requested);
    assert!(second.is_woken());
    assert_ready!(second.poll()).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_value_within_the_grace_counts() {
    let scope = with_grace(50 * MS);
    let goodbye = scope.run(async {
        scope.cancel(Reason::Shutdown);
        let why = cancelled().await;
        sleep(49 * MS).await;
        why
    });
    assert_eq!(goodbye.await, Ok(Reason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_after_the_grace_is_dropped() {
    let start = Instant::now();
    let scope = with_grace(50 * MS);
    let dropped = Seen::default();
    let ended = scope
        .run(async {
            let _guard = CallOnDrop(|| dropped.add());
            scope.cancel(Reason::Shutdown);
            pending::<()>().await;
        })
        .await;
    assert_eq!(why(ended), Reason::Shutdown);
    assert_eq!((start.elapsed(), dropped.count()), (50 * MS, 1));
}

#[tokio::test(start_paused = true)]
async fn a_grace_without_end_never_forces() {
    let scope = with_grace(Duration::MAX);
    scope.cancel(Reason::Requested);
    let value = scope.run(async {
        sleep(Duration::from_secs(100_000)).await;
        "in its own time"
    });
    assert_eq!(value.await, Ok("in its own time"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_and_then_the_grace() {
    let start = Instant::now();
    let scope = CancelScope::builder()
        .timeout(20 * MS)
        .grace(30 * MS)
        .build();
    let ended = scope
        .run(async {
            assert_eq!(cancelled().await, Reason::Deadline);
            assert_eq!(start.elapsed(), 20 * MS);
            assert_eq!(remaining(), Some(Duration::ZERO));
            // A limit within the grace is kept, though the scope's own deadline is over.
            assert!(timeout(10 * MS, pending::<()>()).await.is_err());
            assert_eq!(start.elapsed(), 30 * MS);
            pending::<()>().await;
        })
        .await;
    assert!(ended.unwrap_err().is_deadline());
    assert_eq!(start.elapsed(), 50 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_polls_nothing_without_grace() {
    let polls = Seen::default();
    let past = Instant::now() - 5 * MS;
    let ended = CancelScope::builder()
        .deadline(past)
        .run(async { polls.add() })
        .await;
    assert_eq!((why(ended), polls.count()), (Reason::Deadline, 0));
    let told = CancelScope::builder()
        .deadline(past)
        .grace(MS)
        .run(async { cancelled().await })
        .await;
    assert_eq!(told, Ok(Reason::Deadline));
}

#[tokio::test(start_paused = true)]
async fn an_inner_scope_goes_by_the_grace_of_where_the_cancellation_began() {
    let start = Instant::now();
    let outer = with_grace(50 * MS);
    let stop = outer.clone();
    let ended = outer
        .run(async {
            let inner = with_grace(Duration::MAX);
            let brief = CancelScope::new();
            stop.cancel(Reason::Shutdown);
            assert!(inner.is_cancelled() && brief.is_cancelled());
            // Its own grace is none, yet nobody cancelled it in particular.
            let ended = brief.run(async { sleep(10 * MS).await }).await;
            assert_eq!(ended, Ok(()));
            let _ = inner.run(pending::<()>()).await;
            unreachable!("the outer scope drops this");
        })
        .await;
    assert_eq!(why::<()>(ended), Reason::Shutdown);
    assert_eq!(start.elapsed(), 50 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_inner_scope_elsewhere_is_cut_with_the_outer_grace() {
    let start = Instant::now();
    let outer = with_grace(50 * MS);
    let ended = outer
        .run(async {
            let inner = with_grace(Duration::MAX);
            let elsewhere = tokio::spawn(inner.run(pending::<()>()));
            outer.cancel(Reason::Shutdown);
            elsewhere.await
        })
        .await;
    // Both are woken at once: the outer either sees its task's end or is dropped itself.
    if let Ok(elsewhere) = ended {
        assert_eq!(why(elsewhere.unwrap()), Reason::Shutdown);
    }
    assert_eq!(start.elapsed(), 50 * MS);
}

#[tokio::test]
async fn an_inner_cancellation_does_not_reach_the_outer() {
    let outer = CancelScope::new();
    let value = outer.run(async {
        let inner = CancelScope::new();
        inner.cancel(Reason::Failed);
        assert_eq!(why(inner.run(pending::<()>()).await), Reason::Failed);
        assert!(check().is_ok());
        tokio::task::yield_now().await;
        "goes on"
    });
    assert_eq!(value.await, Ok("goes on"));
    assert!(!outer.is_cancelled());
}

#[tokio::test]
async fn the_first_reason_stays_and_its_words_are_inherited() {
    let outer = CancelScope::new();
    let (child, grandchild) = outer
        .run(async {
            let child = CancelScope::new();
            let grandchild = child.run(async { CancelScope::new() }).await.unwrap();
            (child, grandchild)
        })
        .await
        .unwrap();
    outer.cancel(Reason::other(String::from("said once")));
    outer.cancel(Reason::Shutdown);
    child.cancel(Reason::Failed);
    for scope in [&outer, &child, &grandchild] {
        assert_eq!(scope.reason(), Some(Reason::other("said once")));
        assert_eq!(
            scope.check().unwrap_err().to_string(),
            "cancelled: said once"
        );
    }
}

#[test]
fn nobody_is_woken_before_all_inside_know() {
    struct Looks(CancelScope, Seen);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.0.reason(), Some(Reason::Shutdown));
            self.1.add();
        }
    }

    let nodes: Vec<_> = successors(
        Some(Node::root(Bound::NONE, Duration::ZERO, Role::Run)),
        |n| {
            Some(Node::child(
                n.clone(),
                Bound::NONE,
                Duration::ZERO,
                Role::Run,
            ))
        },
    )
    .take(4)
    .collect();
    let scopes: Vec<_> = nodes.into_iter().map(CancelScope::from).collect();
    let (innermost, seen) = (&scopes[3], Seen::default());
    let waker = Waker::from(Arc::new(Looks(innermost.clone(), seen.clone())));
    let mut cx = Context::from_waker(&waker);
    let mut waiting: Vec<_> = scopes.iter().map(|scope| scope.cancelled()).collect();
    for wait in &mut waiting {
        assert_pending!(Pin::new(wait).poll(&mut cx));
    }
    scopes[0].cancel(Reason::Shutdown);
    assert_eq!(seen.count(), 4);
}

#[tokio::test]
async fn every_reason_comes_back_as_it_was_given() {
    let reasons = [
        Reason::Requested,
        Reason::Deadline,
        Reason::Failed,
        Reason::Dropped,
        Reason::Shutdown,
        Reason::from("in words"),
        Reason::from(String::from("in other words")),
    ];
    for reason in reasons {
        let scope = CancelScope::root();
        scope.cancel(reason.clone());
        assert_eq!(scope.reason(), Some(reason.clone()));
        assert_eq!(scope.cancelled().await, reason);
        let error = scope.check().unwrap_err();
        assert_eq!(
            (error.reason(), error.is_deadline()),
            (&reason, reason == Reason::Deadline)
        );
        assert_eq!(error.to_string(), format!("cancelled: {reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_root_is_apart_from_the_scope_around_it() {
    let outer = CancelScope::builder()
        .timeout(50 * MS)
        .grace(50 * MS)
        .build();
    let value = outer.run(async {
        let root = CancelScope::root();
        let apart = CancelScope::builder()
            .timeout(Duration::from_secs(9))
            .detached()
            .build();
        let child = CancelScope::new();
        outer.cancel(Reason::Requested);
        assert!(child.is_cancelled());
        assert!(!root.is_cancelled() && !apart.is_cancelled());
        assert_eq!((root.deadline(), child.deadline().is_some()), (None, true));
        assert!(apart.deadline() > child.deadline());
        root.run(async { check() }).await.unwrap()
    });
    assert_eq!(value.await, Ok(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_childs_deadline_is_never_later() {
    let start = Instant::now();
    let outer = CancelScope::builder().deadline(start + 50 * MS).build();
    outer
        .run(async {
            let later = CancelScope::builder().deadline(start + 80 * MS).build();
            let earlier = CancelScope::builder()
                .deadline(start + 30 * MS)
                .deadline(start + 40 * MS)
                .timeout(70 * MS)
                .build();
            assert_eq!(later.deadline(), Some(start + 50 * MS));
            assert_eq!(earlier.deadline(), Some(start + 30 * MS));
        })
        .await
        .unwrap();
    // The deadline of a `timeout` around is inherited likewise.
    let inherited = timeout(20 * MS, async { CancelScope::new().deadline() }).await;
    assert_eq!(inherited, Ok(Some(start + 20 * MS)));
}

#[tokio::test]
async fn current_is_the_scope_that_its_user_knows() {
    assert!(CancelScope::current().is_none());
    let outer = CancelScope::new();
    outer
        .run(async {
            CancelScope::new()
                .run(async {
                    CancelScope::current()
                        .unwrap()
                        .cancel(Reason::other("me alone"));
                    pending::<()>().await;
                })
                .await
                .unwrap_err();
            assert!(!outer.is_cancelled());
            let elsewhere = tokio::spawn(async { CancelScope::current() }.in_scope());
            elsewhere
                .await
                .unwrap()
                .unwrap()
                .cancel(Reason::other("all"));
            assert_eq!(outer.reason(), Some(Reason::other("all")));
        })
        .await
        .unwrap();
    assert!(CancelScope::current().is_none());
}

/// Regression: the end of a run cut off all that was made in it and lives on elsewhere.
#[tokio::test]
async fn what_outlives_the_run_that_made_it_is_still_cancelled_with_the_scope() {
    let scope = CancelScope::new();
    let (told, child, watcher) = scope
        .run(async {
            (
                cancelled(),
                CancelScope::new(),
                tokio::spawn(cancelled().in_scope()),
            )
        })
        .await
        .unwrap();
    let mut told = task::spawn(told);
    assert_pending!(told.poll());
    scope.cancel(Reason::other("still heard"));
    assert!(told.is_woken());
    assert_eq!(assert_ready!(told.poll()), Reason::other("still heard"));
    assert_eq!(child.reason(), Some(Reason::other("still heard")));
    assert_eq!(watcher.await.unwrap(), Reason::other("still heard"));
}

/// Regression: the deadline could not cancel an ended node, and `run` span for ever.
#[tokio::test(start_paused = true)]
async fn a_scope_whose_task_has_ended_still_keeps_its_deadline() {
    let at = Instant::now() + 10 * MS;
    let node = Node::root(Bound::new(at.into(), false), Duration::ZERO, Role::Run);
    node.end();
    let ended = CancelScope::from(node as Arc<Node>)
        .run(pending::<()>())
        .await;
    assert_eq!(why(ended), Reason::Deadline);
}

#[tokio::test]
async fn a_child_lives_on_without_handles_of_its_parents() {
    let outer = CancelScope::new();
    let child = outer
        .run(async {
            let middle = CancelScope::new();
            middle.run(async { CancelScope::new() }).await.unwrap()
        })
        .await
        .unwrap();
    assert!(!child.is_cancelled());
    outer.cancel(Reason::other("through those that nobody holds"));
    assert_eq!(
        child.reason(),
        Some(Reason::other("through those that nobody holds"))
    );
    drop(outer);
    assert!(child.is_cancelled());
}

#[tokio::test]
async fn dropped_handles_cancel_nothing() {
    let scope = CancelScope::new();
    let mut run = task::spawn(scope.run(async { cancelled().await }));
    assert_pending!(run.poll());
    let token = scope.token();
    drop(scope);
    assert!(!run.is_woken() && !token.is_cancelled());
}

#[tokio::test]
async fn a_token_follows_the_scope_and_not_the_other_way_round() {
    let scope = CancelScope::new();
    let (early, apart) = (scope.token(), scope.token());
    apart.cancel();
    assert!(!scope.is_cancelled() && !early.is_cancelled());
    let (woken, _) = tokio::join!(early.cancelled(), async { scope.cancel(Reason::Requested) });
    let () = woken;
    assert!(scope.token().is_cancelled(), "one that is made later, too");
}

#[tokio::test]
async fn a_token_follows_a_scope_further_out() {
    let outer = CancelScope::new();
    let token = outer
        .run(async { CancelScope::new().token() })
        .await
        .unwrap();
    // The inner scope's last handle is gone: nobody is left to pass it on.
    outer.cancel(Reason::Requested);
    assert!(!token.is_cancelled());
    let held = CancelScope::root();
    let (inner, token) = held
        .run(async {
            let inner = CancelScope::new();
            let token = inner.token();
            (inner, token)
        })
        .await
        .unwrap();
    held.cancel(Reason::Requested);
    assert!(inner.is_cancelled() && token.is_cancelled());
}

#[tokio::test]
async fn a_scope_follows_a_token() {
    let token = CancellationToken::new();
    let scope = CancelScope::from_token(token.child_token());
    let mut run = task::spawn(scope.run(pending::<()>()));
    assert_pending!(run.poll());
    assert!(!scope.is_cancelled() && scope.reason().is_none() && scope.check().is_ok());
    token.cancel();
    assert!(run.is_woken());
    assert_eq!(why(assert_ready!(run.poll())), Reason::Requested);
    assert!(!CancelScope::from_token(CancellationToken::new()).is_cancelled());
}

#[tokio::test]
async fn a_token_that_was_cancelled_before_is_seen_where_it_is_asked_for() {
    let token = CancellationToken::new();
    token.cancel();
    let polls = Seen::default();
    let scope = CancelScope::from_token(token.clone());
    let ended = scope.run(async { polls.add() }).await;
    assert_eq!((why(ended), polls.count()), (Reason::Requested, 0));
    assert!(CancelScope::from_token(token.clone()).is_cancelled());
    assert!(CancelScope::from_token(token.clone()).check().is_err());
    assert_eq!(
        CancelScope::from_token(token).reason(),
        Some(Reason::Requested)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_gives_the_grace_as_any_cancellation_does() {
    let start = Instant::now();
    let token = CancellationToken::new();
    let builder = CancelScope::builder().token(token.clone()).grace(20 * MS);
    let ended = builder
        .run(async {
            token.cancel();
            cancelled().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
            pending::<()>().await;
        })
        .await;
    assert_eq!(why(ended), Reason::Requested);
    assert_eq!(start.elapsed(), 20 * MS);
}

#[test]
fn a_hundred_thousand_children_are_cancelled() {
    let parent = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
    let children: Vec<_> = (0..100_000)
        .map(|_| Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run))
        .collect();
    parent.cancel(Reason::Shutdown);
    assert!(children.iter().all(|child| child.is_aborted()));
    assert_eq!(parent.inside().len(), children.len());
    drop(children);
    assert!(parent.inside().is_empty());
}

/// Deeper than any stack: a frame per level would need megabytes.
const DEEP: usize = 200_000;

fn deep() -> (Arc<Node>, Arc<Node>) {
    let outer: Arc<Node> = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
    let mut inner = outer.clone();
    for _ in 0..DEEP {
        inner = Node::child(inner, Bound::NONE, Duration::ZERO, Role::Run);
    }
    (outer, inner)
}

#[test]
fn a_deep_line_of_scopes_is_cancelled_and_dropped_without_recursion() {
    let (outer, inner) = deep();
    outer.cancel(Reason::other("from far out"));
    assert_eq!(inner.reason(), Some(Reason::other("from far out")));
    drop(outer);
    drop(inner);
}

/// An owner for the sake of what it holds.
struct Owned<T>(T);

impl<T: Send + Sync + 'static> Owner for Owned<T> {
    fn abort_leaves(&self) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn a_deep_line_is_dropped_also_by_an_owner_and_while_a_thread_ends() {
    let (outer, inner) = deep();
    drop(outer);
    let held = Node::root(
        Bound::NONE,
        Duration::ZERO,
        Role::Owned(Box::new(Owned(inner))),
    );
    let holder = Node::child(held, Bound::NONE, Duration::ZERO, Role::Run);
    drop(holder);

    let (outer, inner) = deep();
    let watch = Arc::downgrade(&outer);
    drop(outer);
    std::thread::spawn(move || drop(inner)).join().unwrap();
    assert_eq!(watch.strong_count(), 0);
}

#[test]
fn a_panicking_owner_does_not_keep_the_rest_alive() {
    let (outer, inner) = deep();
    let watch = Arc::downgrade(&outer);
    drop(outer);
    let bad = Node::child(
        inner,
        Bound::NONE,
        Duration::ZERO,
        Role::Owned(Box::new(Owned(PanicOnDrop::new("an owner")))),
    );
    let last = Node::child(bad, Bound::NONE, Duration::ZERO, Role::Run);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(last)));
    assert!(dropped.is_err());
    assert_eq!(watch.strong_count(), 0);
    let (outer, inner) = deep();
    drop((outer, inner));
}

#[tokio::test]
async fn the_end_of_a_run_lets_go_of_its_waker() {
    let scope = CancelScope::new();
    let mut run = task::spawn(scope.run(async { shibuya_cancel::raw::scope() }));
    let node = assert_ready!(run.poll()).unwrap().unwrap();
    drop(run);
    assert!(node.has_ended());
    // Waking nobody is fine.
    node.wake();
    scope.cancel(Reason::Requested);
    assert!(node.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn destructors_see_the_scope_that_they_run_in() {
    let scope = CancelScope::builder()
        .deadline(Instant::now() + 10 * MS)
        .build();
    let seen = Seen::default();
    let guard = CallOnDrop(|| {
        assert_eq!(check().unwrap_err().into_reason(), Reason::Deadline);
        assert_eq!(remaining(), Some(Duration::ZERO));
        seen.add();
    });
    let ended = scope
        .run(async move {
            let _guard = guard;
            pending::<()>().await;
        })
        .await;
    assert!(ended.is_err());
    assert_eq!(seen.count(), 1);
    assert!(check().is_ok() && remaining().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_polled_late_notices_the_deadline_at_once() {
    let scope = CancelScope::builder().timeout(10 * MS).build();
    let run = scope.run(pending::<()>());
    sleep_until(Instant::now() + 50 * MS).await;
    let start = Instant::now();
    assert_eq!(why(run.await), Reason::Deadline);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn debug_tells_the_state() {
    let scope = CancelScope::root();
    scope.cancel(Reason::Failed);
    assert_eq!(
        format!("{scope:?}"),
        "CancelScope { reason: Some(Failed), deadline: None, .. }"
    );
    let node = Node::root(Bound::NONE, Duration::ZERO, Role::Run);
    node.end();
    let text = format!("{node:?}");
    assert_eq!(
        text,
        "Node { cancelled: false, aborted: false, ended: true, .. }"
    );
}
