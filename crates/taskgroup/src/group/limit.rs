//! Where a group's limit is enforced: a task gets one of `n` slots before its first poll, and holds
//! it until its future is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use shibuya_waitlist::{Serve, Wait, WaitList};

/// The free slots and, first come first served, those who wait for one.
pub(crate) type Slots = WaitList<Free>;

pub(crate) struct Free(usize);

impl Free {
    pub(crate) fn slots(limit: usize) -> Arc<Slots> {
        Arc::new(WaitList::new(Self(limit)))
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        self.0
    }
}

impl Serve for Free {
    type Request = ();
    type Grant = ();

    fn try_serve(&mut self, (): &mut ()) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }

    fn take_back(&mut self, (): ()) {
        self.0 += 1;
    }
}

/// A slot, free again when it drops.
pub(crate) struct Slot(Arc<Slots>);

impl Slot {
    /// A slot, if one is free and nobody waits for it.
    pub(crate) fn try_take(slots: &Arc<Slots>) -> Option<Self> {
        slots.try_acquire(()).ok().map(|()| Self(slots.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().take_back(());
    }
}

/// Waits for a slot.
pub(crate) struct TakeSlot {
    wait: Wait<Arc<Slots>>,
}

impl TakeSlot {
    pub(crate) fn new(slots: Arc<Slots>) -> Self {
        Self {
            wait: Wait::new(slots, ()),
        }
    }
}

impl Future for TakeSlot {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot> {
        // The list of slots is never closed.
        let _ = ready!(Pin::new(&mut self.wait).poll(cx));
        Poll::Ready(Slot(self.wait.list().clone()))
    }
}

pin_project! {
    /// A future that runs once it has its slot.
    pub(crate) struct Slotted<F> {
        // Before the slot, which must not be free before the future is dropped.
        #[pin]
        fut: F,
        slot: Stage,
    }
}

enum Stage {
    Waiting(TakeSlot),
    Taken(#[expect(dead_code, reason = "held for its drop")] Slot),
}

impl<F> Slotted<F> {
    /// Takes a slot, or a place in the line, at once: tasks start in the order in which they were
    /// spawned, in whatever order the runtime polls them.
    pub(crate) fn in_line(slots: Arc<Slots>, fut: F) -> Self {
        let mut take = TakeSlot::new(slots);
        // A spawned task is polled soon anyway, and brings its waker then.
        let mut cx = Context::from_waker(Waker::noop());
        let slot = match Pin::new(&mut take).poll(&mut cx) {
            Poll::Ready(slot) => Stage::Taken(slot),
            Poll::Pending => Stage::Waiting(take),
        };
        Self { fut, slot }
    }

    pub(crate) fn with(slot: Slot, fut: F) -> Self {
        Self {
            fut,
            slot: Stage::Taken(slot),
        }
    }
}

impl<F: Future> Future for Slotted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Stage::Waiting(take) = this.slot {
            let slot = Pin::new(take).poll(cx);
            // For whoever looks at the task.
            #[cfg(not(shibuya_loom))]
            crate::task::fate::say(crate::task::fate::QUEUED, slot.is_pending());
            *this.slot = Stage::Taken(ready!(slot));
        }
        this.fut.poll(cx)
    }
}
