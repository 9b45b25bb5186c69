//! Every interleaving of the tree of scopes that two or three threads can come up with.
#![cfg(shibuya_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use shibuya_cancel::raw::{Bound, Node, Role};
use shibuya_cancel::{CancelScope, Reason};

fn root() -> Arc<Node> {
    Node::root(Bound::NONE, Duration::ZERO, Role::Run)
}

fn child(parent: &Arc<Node>) -> Arc<Node> {
    Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run)
}

fn leaf(parent: &Arc<Node>) -> Arc<Node> {
    Node::leaf(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run)
}

/// Counts its wakes. Loom has no say in it, so it adds no interleavings.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn words() -> Reason {
    Reason::other("in the canceller's words")
}

#[test]
fn a_child_that_is_adopted_meanwhile_is_cancelled_too() {
    loom::model(|| {
        let parent = root();
        let other = parent.clone();
        let canceller = thread::spawn(move || other.cancel(words()));
        let child = child(&parent);
        assert!(canceller.join().unwrap());
        assert!(child.is_cancelled() && child.is_aborted());
        assert_eq!(child.reason(), Some(words()));
    });
}

#[test]
fn a_grandchild_of_an_ended_child_is_cancelled_too() {
    loom::model(|| {
        let parent = root();
        let ended = child(&parent);
        let other = parent.clone();
        let canceller = thread::spawn(move || other.cancel(words()));
        let inner = child(&ended);
        ended.end();
        drop(ended);
        canceller.join().unwrap();
        assert_eq!(inner.reason(), Some(words()));
        assert!(inner.is_aborted());
    });
}

#[test]
fn who_registers_and_then_looks_misses_no_cancellation() {
    loom::model(|| {
        let node = root();
        let other = node.clone();
        let canceller = thread::spawn(move || other.cancel(Reason::Requested));
        let count = Arc::new(Count::default());
        node.drive(&Waker::from(count.clone()));
        let seen = node.is_aborted();
        canceller.join().unwrap();
        assert!(seen || count.0.load(Ordering::SeqCst) == 1);
    });
}

#[test]
fn who_registers_once_after_a_poll_misses_no_cancellation_of_the_parent() {
    loom::model(|| {
        let parent = root();
        let task = child(&parent);
        let canceller = thread::spawn(move || parent.cancel(Reason::Failed));
        let count = Arc::new(Count::default());
        task.drive_once(&Waker::from(count.clone()));
        let seen = task.is_aborted();
        canceller.join().unwrap();
        assert!(seen || count.0.load(Ordering::SeqCst) == 1);
        task.end();
        assert_eq!(Arc::strong_count(&count), 1, "the waker is let go");
    });
}

#[test]
fn who_waits_for_the_cancellation_is_woken() {
    loom::model(|| {
        let scope = CancelScope::from(root());
        let stop = scope.clone();
        let canceller = thread::spawn(move || stop.cancel(words()));
        assert_eq!(block_on(scope.cancelled()), words());
        canceller.join().unwrap();
    });
}

#[test]
fn two_cancel_and_the_first_reason_stays() {
    loom::model(|| {
        let parent = root();
        let node = child(&parent);
        let other = node.clone();
        let inner = thread::spawn(move || other.cancel(Reason::Shutdown));
        let first_outside = parent.cancel(words());
        let first_inside = inner.join().unwrap();
        assert!(first_outside);
        let expected = if first_inside {
            Reason::Shutdown
        } else {
            words()
        };
        assert_eq!(node.reason(), Some(expected));
        assert_eq!(parent.reason(), Some(words()));
        assert!(node.is_origin());
    });
}

#[test]
fn a_request_and_then_an_abort_reach_a_child_that_comes_between() {
    loom::model(|| {
        let parent = root();
        let other = parent.clone();
        let canceller = thread::spawn(move || {
            other.request(Reason::Requested);
            other.abort(Reason::Shutdown);
        });
        let child = child(&parent);
        canceller.join().unwrap();
        assert!(child.is_aborted());
        assert_eq!(child.reason(), Some(Reason::Requested));
    });
}

#[test]
fn the_waiters_line_is_made_while_the_cancellation_runs() {
    loom::model(|| {
        let parent = root();
        let node = child(&parent);
        let other = parent.clone();
        let canceller = thread::spawn(move || other.cancel(Reason::Failed));
        assert_eq!(
            block_on(CancelScope::from(node).cancelled()),
            Reason::Failed
        );
        canceller.join().unwrap();
    });
}

#[test]
fn who_waits_in_a_leaf_is_woken() {
    loom::model(|| {
        let parent = root();
        let leaf = leaf(&parent);
        let canceller = thread::spawn(move || parent.cancel(words()));
        assert_eq!(block_on(CancelScope::from(leaf).cancelled()), words());
        canceller.join().unwrap();
    });
}

#[test]
fn a_node_in_a_leaf_is_cancelled_with_the_leaf_s_parent() {
    loom::model(|| {
        let parent = root();
        let leaf = leaf(&parent);
        let canceller = thread::spawn(move || parent.cancel(words()));
        let inner = child(&leaf);
        canceller.join().unwrap();
        for node in [leaf, inner] {
            assert!(node.is_cancelled() && node.is_aborted());
            assert_eq!(node.reason(), Some(words()));
        }
    });
}

#[test]
fn two_make_a_leaf_listen_while_its_parent_is_cancelled() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let parent = root();
        let leaf = leaf(&parent);
        let other = leaf.clone();
        let canceller = thread::spawn(move || parent.cancel(words()));
        let maker = thread::spawn(move || child(&other));
        assert_eq!(block_on(CancelScope::from(leaf).cancelled()), words());
        let inner = maker.join().unwrap();
        canceller.join().unwrap();
        assert!(inner.is_aborted());
        assert_eq!(inner.reason(), Some(words()));
    });
}

#[test]
fn a_leaf_and_its_parent_are_cancelled_at_once() {
    loom::model(|| {
        let parent = root();
        let leaf = leaf(&parent);
        let other = leaf.clone();
        let inner = thread::spawn(move || other.cancel(Reason::Shutdown));
        parent.cancel(words());
        let reason = if inner.join().unwrap() {
            Reason::Shutdown
        } else {
            words()
        };
        assert_eq!(leaf.reason(), Some(reason));
        assert!(leaf.is_origin() && leaf.is_aborted());
    });
}

#[test]
fn a_leaf_that_notices_by_itself_has_all_inside_told_before_it_acts() {
    loom::model(|| {
        let parent = root();
        let leaf = leaf(&parent);
        let inner = child(&leaf);
        let task = thread::spawn(move || {
            if leaf.is_aborted() {
                leaf.hear_out();
                assert!(inner.is_aborted());
                assert_eq!(inner.reason(), Some(words()));
            }
        });
        parent.cancel(words());
        task.join().unwrap();
    });
}

/// As many as are let go before the table is swept.
const SWEEP: usize = 32;

#[test]
fn two_drops_at_the_sweeping_point_neither_deadlock_nor_lose_the_living() {
    let mut model = loom::model::Builder::new();
    model.max_branches = 100_000;
    model.preemption_bound = Some(3);
    model.check(|| {
        let parent = root();
        let mut children: Vec<_> = (0..SWEEP + 2).map(|_| child(&parent)).collect();
        let living = children.pop().unwrap();
        let last = [children.pop().unwrap(), children.pop().unwrap()];
        drop(children);
        let [one, other] = last;
        let dropper = thread::spawn(move || drop(other));
        drop(one);
        dropper.join().unwrap();
        assert_eq!(parent.inside().len(), 1);
        parent.cancel(Reason::Requested);
        assert!(living.is_cancelled());
    });
}

#[test]
fn a_sweep_and_a_cancellation_at_once() {
    let mut model = loom::model::Builder::new();
    model.max_branches = 100_000;
    model.preemption_bound = Some(3);
    model.check(|| {
        let parent = root();
        let mut children: Vec<_> = (0..SWEEP + 1).map(|_| child(&parent)).collect();
        let living = children.pop().unwrap();
        let last = children.pop().unwrap();
        drop(children);
        let other = parent.clone();
        let canceller = thread::spawn(move || other.cancel(Reason::Requested));
        drop(last);
        canceller.join().unwrap();
        assert!(living.is_aborted());
    });
}

#[test]
fn a_line_of_nodes_is_let_go_from_both_ends() {
    loom::model(|| {
        let outer = root();
        let middle = child(&outer);
        let inner = child(&middle);
        drop(middle);
        let dropper = thread::spawn(move || drop(inner));
        outer.cancel(Reason::Requested);
        dropper.join().unwrap();
        assert!(outer.inside().is_empty());
        assert_eq!(Arc::strong_count(&outer), 1);
    });
}
