/// What the waiters of a [`WaitList`](crate::WaitList) wait for: the owner's state, kept under the list's own lock.
///
/// All methods run under that lock. Keep them short, and don't touch the list from inside them: that deadlocks.
/// The list itself runs no foreign code there but a waker's `clone`: wakers are called and dropped, and requests dropped,
/// after unlocking.
pub trait Serve {
    /// What a waiter asks for: a number of permits, the value it wants to put, `()`.
    type Request;

    /// What it gets: a permit, a resource, `()`.
    type Grant;

    /// How many lanes the waiters stand in, four at most. Each is FIFO, and the head of each is served as soon as the state
    /// allows it, whatever the others wait for: those who put into a queue and those who take from it need one each.
    ///
    /// A state with none, or with more than four, does not compile:
    ///
    /// ```compile_fail,E0080
    /// # struct Ladder;
    /// # impl shibuya_waitlist::Serve for Ladder {
    /// #     type Request = ();
    /// #     type Grant = ();
    /// #     fn try_serve(&mut self, _: &mut ()) -> Option<()> { None }
    /// #     fn take_back(&mut self, _: ()) {}
    /// const LANES: usize = 5;
    /// # }
    /// # let list = shibuya_waitlist::WaitList::new(Ladder);
    /// ```
    const LANES: usize = 1;

    /// The lane of a request, less than [`LANES`](Self::LANES): another panics when it is asked for. It must be the same however
    /// often it is asked, also of a request that something was moved out of.
    fn lane(_request: &Self::Request) -> usize {
        0
    }

    /// Serves the request if the state allows it now.
    ///
    /// Called for the head of a lane, and for a newcomer when nobody waits in its lane. A value may be moved out of the request
    /// (hence `&mut`), but only together with success: a refused waiter may leave, and its request is dropped as it is.
    ///
    /// # Panics
    ///
    /// A panic goes to whoever unlocked the list or asked. The waiter keeps its place, and those who were served before
    /// it in the same go are woken.
    fn try_serve(&mut self, request: &mut Self::Request) -> Option<Self::Grant>;

    /// Takes back what was handed to a waiter that was dropped before it looked. The next waiters are served right after.
    fn take_back(&mut self, grant: Self::Grant);

    /// Called when a newcomer could not be served and is about to stand in line, behind `waiting` others of its lane. What it
    /// returns settles the newcomer at once: a line that is full, or a turn that would come too late, need not be waited for.
    fn enlist(&mut self, _request: &mut Self::Request, _waiting: usize) -> Option<Self::Grant> {
        None
    }

    /// Called when a waiter leaves the line before it was settled. Those behind it are asked for right after.
    fn delist(&mut self, _request: &mut Self::Request) {}
}
