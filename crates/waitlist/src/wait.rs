use std::fmt;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::list::Admission;
use crate::slab::Ticket;
use crate::{Closed, Serve, WaitList};

/// Names the state of a list, so that [`Wait`] needs its pointer's type alone. Only [`WaitList`] implements it.
pub trait List: sealed::Sealed {
    /// The state inside the list.
    type State: Serve;

    #[doc(hidden)]
    fn as_list(&self) -> &WaitList<Self::State>;
}

impl<S: Serve> List for WaitList<S> {
    type State = S;

    fn as_list(&self) -> &WaitList<S> {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl<S: crate::Serve> Sealed for crate::WaitList<S> {}
}

type Request<L> = <<<L as Deref>::Target as List>::State as Serve>::Request;
type Grant<L> = <<<L as Deref>::Target as List>::State as Serve>::Grant;

/// Waits in a [`WaitList`], from [`WaitList::wait`] or [`Wait::new`]. `L` is the pointer to the list: a reference, an `Arc`,
/// or a pointer of your own that derefs to it (always to the same one).
///
/// The first poll takes the place in line, or is served at once if nobody waits and the state allows it. Every poll keeps
/// the waker of that poll alone. It is `Unpin`, whatever the request is.
///
/// Dropping it leaves the line in O(1), wherever it stands. If it was the head, the next ones are served if they can be; if
/// it had been handed something that it never looked at, that is [taken back](Serve::take_back) and handed to the next.
///
/// # Cancel safety
///
/// A dropped `Wait` loses nothing but its place in line and its own request.
///
/// # Errors
///
/// [`Closed`] with the request, if the list is closed before the request was served.
///
/// # Panics
///
/// When polled again after it completed.
#[must_use = "futures do nothing unless polled"]
pub struct Wait<L: Deref<Target: List>> {
    list: L,
    stage: Stage<Request<L>>,
}

enum Stage<R> {
    /// Not polled yet.
    New(R),
    /// In line, or settled and not looked yet; the request is in the list.
    Queued(Ticket),
    Done,
}

impl<L: Deref<Target: List>> Wait<L> {
    /// As [`WaitList::wait`], through any pointer to the list: with an `Arc`, the future is `'static`.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Flag(bool);
    /// # impl shibuya_waitlist::Serve for Flag {
    /// #     type Request = ();
    /// #     type Grant = ();
    /// #     fn try_serve(&mut self, _: &mut ()) -> Option<()> { self.0.then_some(()) }
    /// #     fn take_back(&mut self, _: ()) {}
    /// # }
    /// # #[tokio::main]
    /// # async fn main() {
    /// use std::sync::Arc;
    ///
    /// use shibuya_waitlist::{Wait, WaitList};
    ///
    /// let list = Arc::new(WaitList::new(Flag(false)));
    /// let waiter = tokio::spawn(Wait::new(Arc::clone(&list), ()));
    /// list.lock().0 = true;
    /// assert_eq!(waiter.await.unwrap(), Ok(()));
    /// # }
    /// ```
    pub fn new(list: L, request: Request<L>) -> Self {
        Self {
            list,
            stage: Stage::New(request),
        }
    }

    /// The pointer to the list.
    pub fn list(&self) -> &L {
        &self.list
    }

    fn enter(&mut self, waker: &Waker) -> Poll<Result<Grant<L>, Closed<Request<L>>>> {
        let Stage::New(request) = &mut self.stage else {
            unreachable!("a wait enters once");
        };
        let list = self.list.as_list();
        let mut core = list.core();
        match core.admit(request) {
            Admission::Served(grant) => {
                let grant = list.admitted(core, grant);
                self.stage = Stage::Done;
                Poll::Ready(Ok(grant))
            }
            Admission::Closed => {
                drop(core);
                Poll::Ready(Err(Closed(self.stage.take_request())))
            }
            Admission::Busy => {
                let waiting = core.waiting_in(<L::Target as List>::State::lane(request));
                // First, for one that panics has changed nothing.
                let waker = waker.clone();
                if let Some(grant) = core.state.enlist(request, waiting) {
                    let grant = list.admitted(core, grant);
                    self.stage = Stage::Done;
                    return Poll::Ready(Ok(grant));
                }
                let ticket = core.enqueue(self.stage.take_request(), waker);
                drop(core);
                self.stage = Stage::Queued(ticket);
                Poll::Pending
            }
        }
    }

    fn look(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> Poll<Result<Grant<L>, Closed<Request<L>>>> {
        let seen = self.list.as_list().core().watch(ticket, waker);
        match seen {
            Ok(left) => {
                self.stage = Stage::Done;
                Poll::Ready(left.into_outcome())
            }
            Err(_replaced) => Poll::Pending,
        }
    }
}

impl<R> Stage<R> {
    fn take_request(&mut self) -> R {
        match mem::replace(self, Self::Done) {
            Self::New(request) => request,
            Self::Queued(_) | Self::Done => unreachable!("the request went to the list"),
        }
    }
}

impl<L: Deref<Target: List>> Future for Wait<L> {
    type Output = Result<Grant<L>, Closed<Request<L>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.stage {
            Stage::New(_) => this.enter(cx.waker()),
            Stage::Queued(ticket) => this.look(ticket, cx.waker()),
            Stage::Done => panic!("`Wait` polled after it completed"),
        }
    }
}

impl<L: Deref<Target: List>> Drop for Wait<L> {
    fn drop(&mut self) {
        if let Stage::Queued(ticket) = self.stage {
            self.list.as_list().abandon(ticket);
        }
    }
}

// Nothing in it is ever pinned: what waits is the entry in the list.
impl<L: Deref<Target: List>> Unpin for Wait<L> {}

impl<L: Deref<Target: List>> fmt::Debug for Wait<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New(_) => "new",
            Stage::Queued(_) => "queued",
            Stage::Done => "done",
        };
        f.debug_struct("Wait")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
