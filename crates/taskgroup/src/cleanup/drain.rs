use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shibuya_cancel::raw::{Label, Node};

use crate::cleanup::Next;
use crate::error::Cause;
use crate::group::core::Core;
use crate::task::shelter::{self, Hears, nearest_group};

/// Drives a group whose own future was dropped, until its tasks have ended and its clean-ups have run.
pub(crate) struct Drain {
    node: Arc<Node>,
    over: bool,
}

impl Drain {
    /// Takes over. The group further out waits for it.
    pub(crate) fn spawn(node: Arc<Node>) {
        let core = core(&node);
        let (runtime, location) = (core.runtime.clone(), core.location);
        let name = match core.name.is_unnamed() {
            true => "cleanup".into(),
            false => format!("cleanup of {}", core.name).into(),
        };
        let outer = nearest_group(node.parent());
        let drain = Self { node, over: false };
        match outer {
            Some(outer) => drop(shelter::spawn(
                outer,
                Label::new(name, location),
                Hears::Nothing,
                drain,
            )),
            None => drop(runtime.spawn(drain)),
        }
    }
}

impl Future for Drain {
    type Output = Result<(), Cause<Infallible>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.node.drive(cx.waker());
        let core = core(&self.node);
        loop {
            match core.wind_up() {
                Next::Tasks => return Poll::Pending,
                Next::Cleanup(cleanup) => cleanup.start(&self.node),
                Next::Nothing => break,
            }
        }
        self.node.end();
        core.roster.clear();
        let (failures, _) = core.take_failures();
        for failure in failures {
            let (name, location) = (&failure.name, failure.location);
            tracing::error!(task = %name, spawned = %location, "failed in a group whose future was dropped");
        }
        self.over = true;
        Poll::Ready(Ok(()))
    }
}

/// The runtime shuts down, and runs nothing any more.
impl Drop for Drain {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let core = core(&self.node);
        let lost = core.cleanups.close();
        tracing::error!(group = %core.name, "the runtime shut down before {} clean-ups ran", lost.len());
        drop(lost);
        core.orphan(&self.node);
        self.node.end();
    }
}

fn core(node: &Node) -> &Core {
    Core::of(node).expect("a group's node has a core")
}
