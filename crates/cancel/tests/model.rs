//! Random trees of scopes against a model that is a few lines of arithmetic on parents.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use shibuya_cancel::Reason;
use shibuya_cancel::raw::{Bound, Node, Role};

#[derive(Clone, Debug)]
enum Op {
    Child(Index),
    Leaf(Index),
    Cancel(Index, Reason),
    Request(Index, Reason),
    Drop(Index),
    End(Index),
    /// Many short-lived ones, so that tables are swept.
    Churn(Index, u8),
}

fn reasons() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::Requested),
        Just(Reason::Deadline),
        Just(Reason::Failed),
        Just(Reason::Shutdown),
        (0..100u32).prop_map(|n| Reason::other(format!("words {n}"))),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<Index>().prop_map(Op::Child),
        4 => any::<Index>().prop_map(Op::Leaf),
        2 => (any::<Index>(), reasons()).prop_map(|(at, why)| Op::Cancel(at, why)),
        1 => (any::<Index>(), reasons()).prop_map(|(at, why)| Op::Request(at, why)),
        2 => any::<Index>().prop_map(Op::Drop),
        2 => any::<Index>().prop_map(Op::End),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, many)| Op::Churn(at, many)),
    ]
}

/// What a node should say. Nodes are never taken out of the model.
#[derive(Default)]
struct Model {
    parent: Option<usize>,
    reason: Option<Reason>,
    aborted: bool,
    origin: bool,
    ended: bool,
    held: bool,
    /// In its parent's table: a leaf only once it has nodes inside.
    listed: bool,
    leaf: bool,
}

struct Tree {
    model: Vec<Model>,
    handles: Vec<Option<Arc<Node>>>,
}

fn child_of(parent: &Arc<Node>) -> Arc<Node> {
    Node::child(parent.clone(), Bound::NONE, Duration::ZERO, Role::Run)
}

impl Tree {
    fn new() -> Self {
        let mut tree = Self {
            model: Vec::new(),
            handles: Vec::new(),
        };
        tree.push(None, Node::root(Bound::NONE, Duration::ZERO, Role::Run));
        tree
    }

    fn push(&mut self, parent: Option<usize>, node: Arc<Node>) {
        let (reason, aborted) = parent.map_or((None, false), |parent| {
            let parent = &self.model[parent];
            (parent.reason.clone(), parent.aborted)
        });
        self.model.push(Model {
            parent,
            reason,
            aborted,
            held: true,
            listed: true,
            ..Model::default()
        });
        self.handles.push(Some(node));
    }

    /// A node that is still held, if any is.
    fn pick(&self, at: &Index) -> Option<(usize, Arc<Node>)> {
        let held: Vec<usize> = (0..self.model.len())
            .filter(|&at| self.model[at].held)
            .collect();
        if held.is_empty() {
            return None;
        }
        let at = held[at.index(held.len())];
        Some((at, self.handles[at].clone().expect("it is held")))
    }

    fn is_below(&self, mut at: usize, top: usize) -> bool {
        while at != top {
            match self.model[at].parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        true
    }

    /// Parents come before their children, so each takes what its parent has.
    fn signal(&mut self, top: usize, why: &Reason, abort: bool) {
        for at in top..self.model.len() {
            if !self.is_below(at, top) {
                continue;
            }
            let inherited = match self.model[at].parent {
                Some(parent) if at != top => self.model[parent].reason.clone(),
                _ => Some(why.clone()),
            };
            let node = &mut self.model[at];
            node.origin |= at == top;
            node.aborted |= abort;
            if node.reason.is_none() {
                node.reason = inherited;
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        let (Op::Child(at)
        | Op::Leaf(at)
        | Op::Cancel(at, _)
        | Op::Request(at, _)
        | Op::Drop(at)
        | Op::End(at)
        | Op::Churn(at, _)) = op;
        let Some((at, node)) = self.pick(at) else {
            return;
        };
        match op {
            Op::Child(_) => {
                self.push(Some(at), child_of(&node));
                self.model[at].listed = true;
            }
            // Tasks are leaves of groups alone.
            Op::Leaf(_) if self.model[at].leaf => {}
            Op::Leaf(_) => {
                let leaf = Node::leaf(node, Bound::NONE, Duration::ZERO, Role::Run);
                self.push(Some(at), leaf);
                let leaf = self.model.last_mut().expect("it was pushed");
                (leaf.leaf, leaf.listed) = (true, false);
            }
            Op::Cancel(_, why) => {
                let first = self.model[at].reason.is_none();
                assert_eq!(node.cancel(why.clone()), first);
                self.signal(at, why, true);
            }
            Op::Request(_, why) => {
                node.request(why.clone());
                self.signal(at, why, false);
            }
            Op::Drop(_) => {
                self.model[at].held = false;
                self.handles[at] = None;
            }
            Op::End(_) => {
                node.end();
                self.model[at].ended = true;
            }
            Op::Churn(_, many) => {
                for _ in 0..*many {
                    drop(child_of(&node));
                }
                self.model[at].listed |= *many > 0;
            }
        }
    }

    fn check(&self) {
        for (at, (expected, node)) in self.model.iter().zip(&self.handles).enumerate() {
            let Some(node) = node else { continue };
            assert_eq!(node.reason(), expected.reason, "reason of {at}");
            assert_eq!(node.is_cancelled(), expected.reason.is_some(), "of {at}");
            assert_eq!(node.is_aborted(), expected.aborted, "aborted: {at}");
            assert_eq!(node.is_origin(), expected.origin, "origin: {at}");
            assert_eq!(node.has_ended(), expected.ended, "ended: {at}");
            let inside = node.inside();
            let living = inside.iter().filter(|child| !child.has_ended()).count();
            assert_eq!(living, self.living(at), "children of {at}");
        }
    }

    /// Listed children that have not ended, and that somebody holds: itself, or through what is inside.
    fn living(&self, parent: usize) -> usize {
        let is_held =
            |top| (top..self.model.len()).any(|at| self.model[at].held && self.is_below(at, top));
        let children = (0..self.model.len()).filter(|&at| self.model[at].parent == Some(parent));
        children
            .filter(|&at| self.model[at].listed && !self.model[at].ended && is_held(at))
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_tree_of_scopes_does_what_the_model_says(ops in vec(ops(), 1..60)) {
        let mut tree = Tree::new();
        for op in &ops {
            tree.apply(op);
            tree.check();
        }
    }
}
