//! A step is seen where it is, and changes nothing else.
#![cfg(not(shibuya_loom))]

use std::cell::OnceCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shibuya_cancel::raw::{Node, scope};
use shibuya_cancel::{CancelScope, Reason, cancelled, check, remaining, step, timeout};
use tokio::task::yield_now;

/// The names of the steps in force here, the outermost first.
fn path() -> Vec<String> {
    let inner = scope();
    let nodes = std::iter::successors(inner.as_ref(), |node| node.parent());
    let names = nodes.filter_map(|node| Some(node.role().step()?.name.to_string()));
    let mut path: Vec<_> = names.collect();
    path.reverse();
    path
}

fn steps_in(node: &Node) -> Vec<String> {
    let inside = node.inside();
    let living = inside.iter().filter(|node| !node.has_ended());
    living
        .filter_map(|node| Some(node.role().step()?.name.to_string()))
        .collect()
}

#[tokio::test]
async fn steps_nest_and_end() {
    step("outer", async {
        assert_eq!(path(), ["outer"]);
        step("inner", async {
            yield_now().await;
            assert_eq!(path(), ["outer", "inner"]);
        })
        .await;
        assert_eq!(path(), ["outer"]);
    })
    .await;
    assert!(path().is_empty());
}

#[tokio::test]
async fn steps_side_by_side_are_both_seen() {
    let here = OnceCell::new();
    let both = CancelScope::root().run(async {
        here.set(scope().unwrap()).unwrap();
        tokio::join!(
            step("left", pending::<()>()),
            step("right", pending::<()>())
        )
    });
    let mut both = pin!(both);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(both.as_mut().poll(&mut cx).is_pending());
    assert_eq!(steps_in(here.get().unwrap()), ["left", "right"]);
}

#[tokio::test]
async fn a_dropped_step_is_gone() {
    let here = OnceCell::new();
    let run = CancelScope::root().run(async {
        here.set(scope().unwrap()).unwrap();
        {
            let mut gone = pin!(step("gone", pending::<()>()));
            poll_fn(|cx| Poll::Ready(gone.as_mut().poll(cx).is_pending())).await;
        }
        step("stays", pending::<()>()).await;
    });
    let mut run = pin!(run);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut cx).is_pending());
    assert_eq!(steps_in(here.get().unwrap()), ["stays"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_in_force_holds_inside() {
    let limit = Duration::from_millis(10);
    let late = timeout(
        limit,
        step("slow", async {
            assert_eq!(remaining(), Some(limit));
            pending::<()>().await;
        }),
    );
    assert!(late.await.is_err());
    let own = step("slow", timeout(limit, pending::<()>()));
    assert!(own.await.is_err());
}

#[tokio::test]
async fn the_cancellation_in_force_is_told_inside() {
    let scope = CancelScope::builder()
        .grace(Duration::from_secs(3600))
        .build();
    let told = scope.run(step("wait", async {
        assert!(check().is_ok());
        CancelScope::current()
            .expect("inside a run")
            .cancel(Reason::Shutdown);
        assert!(check().is_err());
        cancelled().await
    }));
    assert_eq!(told.await.unwrap(), Reason::Shutdown);
    assert!(scope.is_cancelled(), "the current scope is not the step");
}

/// A future that was polled in one task and moved to the next must not carry the first one's scope along.
#[tokio::test]
async fn a_step_that_moves_is_where_it_is_polled() {
    let first = CancelScope::root();
    let second = CancelScope::root();
    let mut moved = Box::pin(step("moved", async {
        yield_now().await;
        assert!(check().is_ok());
    }));
    first
        .run(poll_fn(|cx| {
            assert!(moved.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }))
        .await
        .unwrap();
    first.cancel(Reason::Requested);
    second.run(moved).await.unwrap();
}

#[tokio::test]
async fn destructors_run_within_the_step() {
    struct Look(Arc<std::sync::Mutex<Vec<String>>>);
    impl Drop for Look {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = path();
        }
    }
    let seen = Arc::default();
    let look = Look(Arc::clone(&seen));
    let fut = step("held", async move {
        let _look = look;
        pending::<()>().await;
    });
    {
        let mut fut = pin!(fut);
        poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx).is_pending())).await;
    }
    assert_eq!(*seen.lock().unwrap(), ["held"]);
}

#[tokio::test]
#[should_panic(expected = "`Step` polled after it was done")]
async fn a_step_is_polled_until_it_is_done() {
    let mut fut = pin!(step("once", async {}));
    fut.as_mut().await;
    fut.await;
}
