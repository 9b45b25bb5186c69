//! # Event loop: what runs your futures, from `std` alone
//!
//! asyncio's loop in small: `call_soon`, `call_later`, `run_until_complete`, `run_forever`, `stop`, tasks, a `sleep`, a wake from
//! another thread, and a wrapper that shows what a coroutine is at: created, running, suspended or closed.
//!
//! `cargo run -p patterns --example event_loop` prints:
//!
//! ```text
//! soon: one
//! soon: two
//! soon: three, from within one
//! later: 5 ms
//! later: 40 ms, first
//! later: 40 ms, second
//! stopped
//! tea is ready
//! toast is ready
//! breakfast: tea and toast
//! radio: cancelled
//! from another thread: 42
//! coroutine: created
//! coroutine: running
//! coroutine: suspended
//! coroutine: running
//! coroutine: closed
//! never awaited: created, then closed
//! ```

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Of a callback or a task. Never used again, so one that comes late means nothing, rather than something else.
type Id = u64;

// ---- The run queue, and the waker that fills it ----

/// What is ready to run, in the order in which it became so. The one part of the loop that other threads reach.
#[derive(Default)]
struct ReadyQueue {
    ids: Mutex<VecDeque<Id>>,
    pushed: Condvar,
}

impl ReadyQueue {
    fn ids(&self) -> MutexGuard<'_, VecDeque<Id>> {
        self.ids.lock().expect("nothing panics under this lock")
    }

    fn push(&self, id: Id) {
        self.ids().push_back(id);
        self.pushed.notify_one();
    }

    /// Parks the thread until something is ready or the time has come.
    fn wait(&self, until: Option<Instant>) {
        let mut ids = self.ids();
        while ids.is_empty() {
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            ids = match left {
                Some(Duration::ZERO) => return,
                Some(left) => self.pushed.wait_timeout(ids, left).unwrap().0,
                None => self.pushed.wait(ids).unwrap(),
            };
        }
    }
}

/// What a future keeps, to say that it can go on: the task's id and the queue to put it into.
struct WakeTask {
    id: Id,
    /// A task that is woken ten times before its turn has one turn.
    queued: AtomicBool,
    ready: Arc<ReadyQueue>,
}

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

// ---- The loop ----

/// Runs callbacks and tasks on the thread that made it. When it is dropped, so is all that it has not run.
struct EventLoop {
    handle: Handle,
}

/// A way to the loop, for what runs in it.
#[derive(Clone)]
struct Handle(Rc<Core>);

struct Core {
    ready: Arc<ReadyQueue>,
    /// All that has not ended, but for the one that runs. Sorted, so that it is dropped in the order in which it came.
    jobs: RefCell<BTreeMap<Id, Job>>,
    /// The earliest first and, of equal ones, the one that was made first: it has the lower id.
    timers: RefCell<BinaryHeap<Reverse<(Instant, Id)>>>,
    next_id: Cell<Id>,
    stopping: Cell<bool>,
    closed: Cell<bool>,
}

enum Job {
    Callback(Box<dyn FnOnce(&Handle)>),
    Task(Pin<Box<dyn Future<Output = ()>>>, Arc<WakeTask>),
}

/// [`Handle::stop`] came before the future was done.
#[derive(Debug, PartialEq)]
struct Stopped;

impl EventLoop {
    fn new() -> Self {
        let core = Core {
            ready: Arc::default(),
            jobs: RefCell::default(),
            timers: RefCell::default(),
            next_id: Cell::new(0),
            stopping: Cell::new(false),
            closed: Cell::new(false),
        };
        Self {
            handle: Handle(Rc::new(core)),
        }
    }

    fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until [`stop`](Handle::stop) is called: what is ready at that moment still runs, what it schedules does not.
    ///
    /// A panic goes through to the caller, who may run the loop again: whatever panicked is gone, all else is still there.
    fn run_forever(&mut self) {
        loop {
            self.turn();
            if self.handle.0.stopping.take() {
                return;
            }
        }
    }

    /// Runs until the future is done, and all else meanwhile. Tasks that are not done by then go on in the next run.
    fn run_until_complete<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> Result<T, Stopped> {
        let task = self.handle.spawn(future);
        loop {
            self.turn();
            let stopped = self.handle.0.stopping.take();
            match task.take_value() {
                Some(value) => return Ok(value),
                None if stopped => return Err(Stopped),
                None => {}
            }
        }
    }

    /// Waits until something is ready, then runs all that is ready by then. What becomes ready meanwhile has its turn next time,
    /// so a callback that always schedules itself can keep neither timers nor other tasks from running.
    fn turn(&mut self) {
        let core = self.handle.0.clone();
        let until = match core.stopping.get() {
            true => Some(Instant::now()), // it does not wait
            false => core.next_timer(),
        };
        core.ready.wait(until);
        core.move_due_timers();
        let ready = core.ready.ids().len();
        for _ in 0..ready {
            let id = core.ready.ids().pop_front();
            id.into_iter().for_each(|id| self.run(id));
        }
    }

    fn run(&mut self, id: Id) {
        let job = self.handle.0.jobs.borrow_mut().remove(&id);
        match job {
            None => {} // it was cancelled, or woken after its end
            Some(Job::Callback(call)) => call(&self.handle),
            Some(Job::Task(mut future, wake)) => {
                // Before the poll, so that a wake within it gives another turn. A swap, so that the poll sees what was done before
                // a wake that found it queued.
                wake.queued.swap(false, Ordering::AcqRel);
                let waker = Waker::from(wake.clone());
                let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
                if poll.is_pending() {
                    self.handle.add(id, Job::Task(future, wake));
                }
            }
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // Tasks hold handles, and handles the tasks: without this they would keep each other for ever.
        self.handle.0.closed.set(true);
        let jobs = take(&mut *self.handle.0.jobs.borrow_mut());
        drop(jobs); // with nothing borrowed: a destructor may use its handle
    }
}

impl Handle {
    /// Calls `f` in the next turn of the loop, after all that is ready by now.
    fn call_soon(&self, f: impl FnOnce(&Handle) + 'static) {
        let id = self.0.next_id();
        self.add(id, Job::Callback(Box::new(f)));
        self.0.ready.push(id);
    }

    /// Calls `f` after that time, and never earlier.
    fn call_later(&self, delay: Duration, f: impl FnOnce(&Handle) + 'static) -> Id {
        self.call_at(Instant::now() + delay, f)
    }

    fn call_at(&self, at: Instant, f: impl FnOnce(&Handle) + 'static) -> Id {
        let id = self.0.next_id();
        self.add(id, Job::Callback(Box::new(f)));
        self.0.timers.borrow_mut().push(Reverse((at, id)));
        id
    }

    /// Takes a callback back, unless it has run.
    fn cancel(&self, callback: Id) {
        let removed = self.0.jobs.borrow_mut().remove(&callback);
        drop(removed); // with nothing borrowed any more
    }

    /// Has the loop run this future. Dropping the [`Task`] does not stop it.
    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let id = self.0.next_id();
        let wake = Arc::new(WakeTask {
            id,
            queued: AtomicBool::new(false),
            ready: self.0.ready.clone(),
        });
        let shared = Rc::new(RefCell::new(Progress::default()));
        let job = Box::pin(run_to_end(future, Ending(shared.clone())));
        self.add(id, Job::Task(job, wake.clone()));
        wake.wake_by_ref(); // the first poll
        Task { shared, wake }
    }

    fn sleep(&self, time: Duration) -> Sleep {
        Sleep {
            handle: self.clone(),
            until: Instant::now() + time,
            timer: None,
        }
    }

    /// Ends the run of the loop with this turn.
    fn stop(&self) {
        self.0.stopping.set(true);
    }

    /// In a loop that is no more, a job is dropped instead.
    fn add(&self, id: Id, job: Job) {
        if !self.0.closed.get() {
            self.0.jobs.borrow_mut().insert(id, job);
        }
    }
}

impl Core {
    fn next_id(&self) -> Id {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// When the first timer ends that was not cancelled.
    fn next_timer(&self) -> Option<Instant> {
        let (mut timers, jobs) = (self.timers.borrow_mut(), self.jobs.borrow());
        while let Some(&Reverse((at, id))) = timers.peek() {
            if jobs.contains_key(&id) {
                return Some(at);
            }
            timers.pop();
        }
        None
    }

    fn move_due_timers(&self) {
        let now = Instant::now();
        let mut timers = self.timers.borrow_mut();
        while let Some(&Reverse((at, id))) = timers.peek() {
            if at > now {
                return;
            }
            timers.pop();
            self.ready.push(id);
        }
    }
}

// ---- Tasks ----

/// A future that the loop runs. Awaiting it gives its value.
struct Task<T> {
    shared: Rc<RefCell<Progress<T>>>,
    wake: Arc<WakeTask>,
}

/// The task was cancelled, or its loop is no more.
#[derive(Debug, PartialEq)]
struct Cancelled;

/// What a task and its handle tell each other.
struct Progress<T> {
    value: Option<T>,
    ended: bool,
    cancelled: bool,
    waiting: Option<Waker>,
}

impl<T> Default for Progress<T> {
    fn default() -> Self {
        Self {
            value: None,
            ended: false,
            cancelled: false,
            waiting: None,
        }
    }
}

/// Within the task. Its drop says that the task has ended, whichever way.
struct Ending<T>(Rc<RefCell<Progress<T>>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        let mut progress = self.0.borrow_mut();
        progress.ended = true;
        let waiting = progress.waiting.take();
        drop(progress);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Runs `future` until it is done or cancelled. By the time the end is told, it has been dropped.
async fn run_to_end<T>(future: impl Future<Output = T>, ending: Ending<T>) {
    let mut future = Box::pin(future);
    let value = poll_fn(|cx| {
        if ending.0.borrow().cancelled {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    });
    let value = value.await;
    ending.0.borrow_mut().value = value;
} // What a function has of its own is dropped before its arguments: the future first, then `ending`.

impl<T> Task<T> {
    /// Has the task's future dropped at its next turn, so that only its destructors still run.
    fn cancel(&self) {
        self.shared.borrow_mut().cancelled = true;
        self.wake.wake_by_ref();
    }

    /// Whether it has ended, be it with a value or without.
    fn is_done(&self) -> bool {
        self.shared.borrow().ended
    }

    fn take_value(&self) -> Option<T> {
        self.shared.borrow_mut().value.take()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_done() {
            return Poll::Ready(self.take_value().ok_or(Cancelled));
        }
        // The waker of this poll counts: whoever awaits may have changed since the last one.
        let waker = cx.waker().clone();
        let before = self.shared.borrow_mut().waiting.replace(waker);
        drop(before); // with nothing borrowed any more
        Poll::Pending
    }
}

// ---- Two futures for it: one that a timer wakes, and one that another thread wakes ----

/// From [`Handle::sleep`]. Dropping it takes its timer back.
struct Sleep {
    handle: Handle,
    until: Instant,
    timer: Option<Id>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let timer = self.handle.call_at(self.until, |_| waker.wake());
        if let Some(before) = self.timer.replace(timer) {
            self.handle.cancel(before);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.handle.cancel(timer);
        }
    }
}

/// What another thread hands over, and whom to wake then.
struct Handover<T> {
    result: Option<std::thread::Result<T>>,
    waiting: Option<Waker>,
}

/// `await asyncio.to_thread(work)`: runs it on a thread of its own, so that it may block. A panic there goes on here. Dropping
/// this future leaves the thread at work: no thread can be stopped from outside.
async fn to_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let here = Arc::new(Mutex::new(Handover {
        result: None,
        waiting: None,
    }));
    let there = here.clone();
    std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut handover = there.lock().expect("nothing panics under this lock");
        handover.result = Some(result);
        let waiting = handover.waiting.take();
        drop(handover);
        waiting.into_iter().for_each(Waker::wake);
    });
    let result = poll_fn(|cx| {
        let waker = cx.waker().clone();
        let mut handover = here.lock().expect("nothing panics under this lock");
        // One lock over both steps: else the thread could come between them, and find nobody to wake.
        match handover.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                let before = handover.waiting.replace(waker);
                drop(handover);
                drop(before);
                Poll::Pending
            }
        }
    });
    result.await.unwrap_or_else(|panic| resume_unwind(panic))
}

// ---- What a coroutine is at ----

/// As Python's `inspect.getcoroutinestate` has them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It was made, and never polled: none of its code has run.
    Created,
    /// It is being polled right now.
    Running,
    /// It has been polled, and waits at an `await`.
    Suspended,
    /// It returned, panicked or was dropped.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Created => "created",
            State::Running => "running",
            State::Suspended => "suspended",
            State::Closed => "closed",
        })
    }
}

/// A future that tells what it is at.
struct Coroutine<F> {
    /// `None` once it is closed. In a box, since a future that was polled must not move.
    future: Option<Pin<Box<F>>>,
    state: Rc<Cell<State>>,
}

impl<F> Coroutine<F> {
    /// Keeps `state` up to date. It is the caller's, who can still see it when the coroutine is the loop's.
    fn new(state: &Rc<Cell<State>>, future: F) -> Self {
        state.set(State::Created);
        Self {
            future: Some(Box::pin(future)),
            state: state.clone(),
        }
    }

    fn close(&mut self) {
        self.future = None; // its clean-up comes first
        self.state.set(State::Closed);
    }
}

impl<F: Future> Future for Coroutine<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, state } = &mut *self;
        let future = future.as_mut();
        let future = future.expect("a coroutine that is closed cannot be awaited again");
        state.set(State::Running);
        let poll = future.as_mut().poll(cx);
        match poll {
            Poll::Pending => state.set(State::Suspended),
            Poll::Ready(_) => self.close(),
        }
        poll
    }
}

impl<F> Drop for Coroutine<F> {
    fn drop(&mut self) {
        self.close();
    }
}

// ---- What one does with all that ----

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn callbacks() {
    let mut event_loop = EventLoop::new();
    let handle = event_loop.handle();
    handle.call_soon(|handle| {
        println!("soon: one");
        handle.call_soon(|_| println!("soon: three, from within one"));
    });
    handle.call_soon(|_| println!("soon: two"));

    let at = Instant::now() + ms(40);
    handle.call_at(at, |_| println!("later: 40 ms, first"));
    handle.call_at(at, |handle| {
        println!("later: 40 ms, second");
        handle.stop();
    });
    handle.call_later(ms(5), |_| println!("later: 5 ms"));

    event_loop.run_forever();
    println!("stopped");
}

async fn prepare(handle: Handle, what: &'static str, time: Duration) -> &'static str {
    handle.sleep(time).await;
    println!("{what} is ready");
    what
}

async fn breakfast(handle: Handle) -> Result<String, Cancelled> {
    let radio = handle.spawn(std::future::pending::<()>());
    // Spawned, so both are prepared at once: a future alone would wait for its `await`.
    let toast = handle.spawn(prepare(handle.clone(), "toast", ms(40)));
    let tea = handle.spawn(prepare(handle.clone(), "tea", ms(5)));
    let breakfast = format!("breakfast: {} and {}", tea.await?, toast.await?);
    radio.cancel();
    Ok(match radio.await {
        Ok(()) => breakfast,
        Err(Cancelled) => format!("{breakfast}\nradio: cancelled"),
    })
}

fn tasks() {
    let mut event_loop = EventLoop::new();
    let breakfast = breakfast(event_loop.handle());
    match event_loop.run_until_complete(breakfast) {
        Ok(Ok(breakfast)) => println!("{breakfast}"),
        Ok(Err(Cancelled)) => println!("somebody cancelled it"),
        Err(Stopped) => println!("somebody stopped the loop"),
    }

    let answer = event_loop.run_until_complete(to_thread(|| 6 * 7));
    println!("from another thread: {}", answer.expect("nobody stops it"));
}

fn states() {
    let mut event_loop = EventLoop::new();
    let handle = event_loop.handle();

    let state = Rc::new(Cell::new(State::Created));
    let (seen_within, sleeping) = (state.clone(), handle.clone());
    let coroutine = Coroutine::new(&state, async move {
        println!("coroutine: {}", seen_within.get());
        sleeping.sleep(ms(10)).await;
        println!("coroutine: {}", seen_within.get());
    });
    println!("coroutine: {}", state.get());

    let seen_meanwhile = state.clone();
    handle.call_later(ms(5), move |_| {
        println!("coroutine: {}", seen_meanwhile.get())
    });
    event_loop
        .run_until_complete(coroutine)
        .expect("nobody stops it");
    println!("coroutine: {}", state.get());

    let never_awaited = Coroutine::new(&state, async {});
    let before = state.get();
    drop(never_awaited);
    println!("never awaited: {before}, then {}", state.get());
}

fn main() {
    callbacks();
    tasks();
    states();
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::{pending, ready};
    use std::sync::mpsc;

    /// What happened, in order.
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<&'static str>>>);

    impl Log {
        fn note(&self, what: &'static str) {
            self.0.borrow_mut().push(what);
        }

        /// A callback that notes this.
        fn noting(&self, what: &'static str) -> impl FnOnce(&Handle) + use<> {
            let log = self.clone();
            move |_| log.note(what)
        }

        fn take(&self) -> Vec<&'static str> {
            take(&mut *self.0.borrow_mut())
        }
    }

    /// Notes its drop.
    struct Noting(Log, &'static str);

    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.note(self.1);
        }
    }

    fn new() -> (EventLoop, Handle, Log) {
        let event_loop = EventLoop::new();
        let handle = event_loop.handle();
        (event_loop, handle, Log::default())
    }

    #[test]
    fn callbacks_run_in_the_order_of_their_calls() {
        let (mut event_loop, handle, log) = new();
        let nested = log.clone();
        handle.call_soon(move |handle| {
            nested.note("1");
            handle.call_soon(nested.noting("4"));
            handle.call_soon(Handle::stop);
        });
        handle.call_soon(log.noting("2"));
        handle.call_soon(log.noting("3"));
        event_loop.run_forever();
        assert_eq!(log.take(), ["1", "2", "3", "4"]);
    }

    #[test]
    fn tasks_and_callbacks_share_one_queue() {
        let (mut event_loop, handle, log) = new();
        let (first, second) = (log.clone(), log.clone());
        handle.call_soon(log.noting("callback 1"));
        handle.spawn(async move { first.note("task 1") });
        handle.call_soon(log.noting("callback 2"));
        handle.spawn(async move { second.note("task 2") });
        handle.stop();
        event_loop.run_forever();
        assert_eq!(log.take(), ["callback 1", "task 1", "callback 2", "task 2"]);
    }

    #[test]
    fn timers_fire_by_time_and_equal_ones_in_order() {
        let (mut event_loop, handle, log) = new();
        let now = Instant::now();
        handle.call_at(now + ms(2), Handle::stop);
        for name in ["a", "b", "c", "d", "e"] {
            handle.call_at(now + ms(1), log.noting(name));
        }
        handle.call_at(now, log.noting("first"));
        event_loop.run_forever();
        assert_eq!(log.take(), ["first", "a", "b", "c", "d", "e"]);
    }

    #[test]
    fn no_timer_is_early() {
        let (mut event_loop, handle, _) = new();
        let asked = Instant::now();
        let slept = event_loop.run_until_complete(async move {
            handle.sleep(ms(3)).await;
            Instant::now()
        });
        assert!(slept.unwrap() - asked >= ms(3));
    }

    #[test]
    fn nobody_waits_for_a_timer_that_was_cancelled() {
        let (mut event_loop, handle, log) = new();
        let cancelled = handle.call_later(ms(1), log.noting("cancelled"));
        let later = Instant::now() + ms(2);
        handle.call_at(later, log.noting("later"));
        handle.cancel(cancelled);
        assert_eq!(handle.0.next_timer(), Some(later));
        event_loop.turn();
        assert_eq!(log.take(), ["later"]);
    }

    #[test]
    fn a_sleep_that_is_dropped_takes_its_timer_back() {
        let (_event_loop, handle, _) = new();
        let mut sleep = Box::pin(handle.sleep(Duration::from_secs(3600)));
        for _ in 0..2 {
            let poll = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_pending());
            assert_eq!(handle.0.jobs.borrow().len(), 1); // and has one, however often it is polled
        }
        drop(sleep);
        assert!(handle.0.jobs.borrow().is_empty());
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sleep_wakes_whoever_polled_it_last() {
        let (mut event_loop, handle, _) = new();
        let mut sleep = Box::pin(handle.sleep(Duration::from_secs(3600)));
        let wakers = [(); 2].map(|()| Arc::new(Woken::default()));
        for waker in &wakers {
            let waker = Waker::from(waker.clone());
            let poll = sleep.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        event_loop.run(sleep.timer.expect("it was polled"));
        let woken = wakers.map(|waker| waker.0.load(Ordering::Relaxed));
        assert_eq!(woken, [false, true]);
    }

    #[test]
    fn a_callback_that_goes_on_for_ever_starves_nobody() {
        fn again(handle: &Handle) {
            handle.call_soon(again);
        }
        let (mut event_loop, handle, _) = new();
        again(&handle);
        handle.call_later(ms(1), Handle::stop);
        event_loop.run_forever();
    }

    #[test]
    fn stop_lets_end_what_is_ready_and_keeps_what_comes_then() {
        let (mut event_loop, handle, log) = new();
        let nested = log.clone();
        handle.call_soon(move |handle| {
            handle.stop();
            handle.call_soon(nested.noting("in the next run"));
        });
        handle.call_soon(log.noting("in this run"));
        event_loop.run_forever();
        assert_eq!(log.take(), ["in this run"]);
        handle.call_soon(Handle::stop);
        event_loop.run_forever();
        assert_eq!(log.take(), ["in the next run"]);
    }

    #[test]
    fn a_loop_that_was_stopped_before_runs_one_turn_and_does_not_wait() {
        let (mut event_loop, handle, log) = new();
        handle.call_later(Duration::from_secs(3600), log.noting("much later"));
        handle.stop();
        event_loop.run_forever();
        assert_eq!(log.take(), [""; 0]);
        handle.call_soon(log.noting("ready"));
        handle.stop();
        event_loop.run_forever();
        assert_eq!(log.take(), ["ready"]);
    }

    #[test]
    fn a_stop_ends_one_run() {
        let (mut event_loop, handle, _) = new();
        handle.stop();
        event_loop.run_forever();
        let slept = event_loop.run_until_complete(handle.sleep(ms(1)));
        assert_eq!(slept, Ok(()));
    }

    #[test]
    fn a_run_that_was_stopped_leaves_its_task_to_the_next() {
        let (mut event_loop, handle, log) = new();
        let (sleeping, noting) = (handle.clone(), log.clone());
        handle.call_soon(Handle::stop);
        let stopped = event_loop.run_until_complete(async move {
            sleeping.sleep(ms(1)).await;
            noting.note("done");
            sleeping.stop();
        });
        assert_eq!(stopped, Err(Stopped));
        assert_eq!(log.take(), [""; 0]);
        event_loop.run_forever();
        assert_eq!(log.take(), ["done"]);
    }

    /// Pending once, and woken so many times within that poll.
    async fn woken_while_polled(times: usize, polls: Rc<Cell<usize>>) {
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            if polls.get() > 1 {
                return Poll::Ready(());
            }
            (0..times).for_each(|_| cx.waker().wake_by_ref());
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn a_wake_within_a_poll_gives_one_turn_more() {
        for times in [1, 10] {
            let (mut event_loop, handle, _) = new();
            let polls = Rc::new(Cell::new(0));
            let task = handle.spawn(woken_while_polled(times, polls.clone()));
            event_loop.turn();
            assert_eq!(handle.0.ready.ids().len(), 1);
            assert_eq!(event_loop.run_until_complete(task), Ok(Ok(())));
            assert_eq!(polls.get(), 2);
        }
    }

    #[test]
    fn a_wake_after_the_end_does_nothing() {
        let (mut event_loop, _, log) = new();
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone()));
        let waker = event_loop.run_until_complete(waker).unwrap();
        waker.wake_by_ref();
        assert_eq!(event_loop.run_until_complete(ready(1)), Ok(1));
        event_loop.handle().call_soon(log.noting("still runs"));
        event_loop.handle().stop();
        event_loop.run_forever();
        assert_eq!(log.take(), ["still runs"]);
        drop(event_loop);
        waker.wake();
    }

    #[test]
    fn the_loop_sleeps_until_another_thread_wakes_it() {
        let (mut event_loop, handle, _) = new();
        let (go, wait) = mpsc::channel();
        let task = handle.spawn(to_thread(move || wait.recv().unwrap()));
        event_loop.turn();
        assert!(!task.is_done());
        go.send(7).unwrap();
        event_loop.turn(); // one turn, however long the thread takes: no turn ends before something was ready
        assert_eq!(task.take_value(), Some(7));
    }

    #[test]
    fn no_wake_of_many_threads_is_lost() {
        let (mut event_loop, handle, _) = new();
        let tasks: Vec<_> = (0..200)
            .map(|n| handle.spawn(to_thread(move || n)))
            .collect();
        let sum = event_loop.run_until_complete(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, Ok(199 * 200 / 2));
    }

    #[test]
    #[should_panic = "on the other thread"]
    fn a_panic_on_the_thread_goes_on_in_the_loop() {
        let work = to_thread(|| panic!("on the other thread"));
        let _: Result<(), Stopped> = EventLoop::new().run_until_complete(work);
    }

    #[test]
    fn a_panic_leaves_the_loop_as_it_was() {
        let (mut event_loop, handle, log) = new();
        let task = handle.spawn(async { panic!("in a task") });
        handle.call_soon(log.noting("after it"));
        let run = catch_unwind(AssertUnwindSafe(|| event_loop.run_forever()));
        assert!(run.is_err());
        assert_eq!(
            event_loop.run_until_complete(task),
            Ok(Err::<(), _>(Cancelled))
        );
        assert_eq!(log.take(), ["after it"]);
    }

    #[test]
    fn a_task_that_is_cancelled_is_dropped_before_its_end_is_told() {
        let (mut event_loop, handle, log) = new();
        let guard = Noting(log.clone(), "cleaned up");
        let task = handle.spawn(async move {
            let _guard = guard;
            pending::<()>().await
        });
        let (noting, waiting) = (log.clone(), handle.clone());
        let waits = event_loop.run_until_complete(async move {
            waiting.sleep(ms(1)).await;
            task.cancel();
            assert_eq!(task.await, Err(Cancelled));
            noting.note("told");
        });
        assert_eq!(waits, Ok(()));
        assert_eq!(log.take(), ["cleaned up", "told"]);
        assert!(handle.0.jobs.borrow().is_empty());
    }

    #[test]
    fn a_task_may_cancel_itself() {
        let (mut event_loop, handle, _) = new();
        let own: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let within = own.clone();
        let task = handle.spawn(async move {
            let task = within.borrow_mut().take();
            task.expect("put there before the first turn").cancel();
            pending().await
        });
        let shared = task.shared.clone();
        *own.borrow_mut() = Some(task);
        event_loop.turn();
        assert!(!shared.borrow().ended);
        event_loop.turn();
        assert!(shared.borrow().ended);
    }

    #[test]
    fn a_cancellation_after_the_end_changes_nothing() {
        let (mut event_loop, handle, _) = new();
        let task = handle.spawn(ready(5));
        handle.stop();
        event_loop.run_forever();
        task.cancel();
        assert_eq!(event_loop.run_until_complete(task), Ok(Ok(5)));
    }

    #[test]
    fn a_loop_that_is_dropped_drops_what_it_has_and_what_comes_then() {
        let (mut event_loop, handle, log) = new();
        let kept = Rc::downgrade(&handle.0);
        for name in ["first", "second"] {
            let (guard, sleeping) = (Noting(log.clone(), name), handle.clone());
            handle.spawn(async move {
                let _guard = guard;
                sleeping.sleep(Duration::from_secs(3600)).await; // keeps a handle
            });
        }
        handle.stop();
        event_loop.run_forever();
        drop(event_loop);
        assert_eq!(log.take(), ["first", "second"]);

        let guard = Noting(log.clone(), "too late");
        let late = handle.spawn(async move {
            let _guard = guard;
        });
        assert!(late.is_done());
        assert_eq!(log.take(), ["too late"]);
        drop(handle);
        assert!(kept.upgrade().is_none(), "a task still keeps its loop");
    }

    fn coroutine<F>(future: F) -> (Rc<Cell<State>>, Coroutine<F>) {
        let state = Rc::new(Cell::new(State::Created));
        let coroutine = Coroutine::new(&state, future);
        (state, coroutine)
    }

    #[test]
    fn a_coroutine_tells_what_it_is_at() {
        let (mut event_loop, handle, _) = new();
        let (state, unpolled) = coroutine(pending::<()>());
        assert_eq!(state.get(), State::Created);
        let task = handle.spawn(unpolled);
        assert_eq!(state.get(), State::Created);
        event_loop.turn();
        assert_eq!(state.get(), State::Suspended);
        task.cancel();
        assert_eq!(event_loop.run_until_complete(task), Ok(Err(Cancelled)));
        assert_eq!(state.get(), State::Closed);
    }

    #[test]
    fn a_coroutine_that_panics_is_closed() {
        let (state, panics) = coroutine(async { panic!("expected") });
        let run = AssertUnwindSafe(|| EventLoop::new().run_until_complete(panics));
        let run: std::thread::Result<Result<(), Stopped>> = catch_unwind(run);
        assert!(run.is_err());
        assert_eq!(state.get(), State::Closed);
    }

    #[test]
    #[should_panic = "cannot be awaited again"]
    fn a_closed_coroutine_cannot_be_awaited_again() {
        let (_, mut done) = coroutine(ready(()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut done).poll(&mut cx).is_ready());
        let _ = Pin::new(&mut done).poll(&mut cx);
    }
}
