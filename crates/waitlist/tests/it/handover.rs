use std::sync::Arc;

use shibuya_waitlist::{Serve, Wait, WaitList};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task::spawn};

use crate::support::{release, semaphore, waiting};

#[test]
fn what_is_handed_over_is_gone_from_the_state_before_the_poll() {
    let list = semaphore(0);
    let mut waiter = waiting(&list, 2);
    release(&list, 2);
    assert_eq!(list.lock().0, 0);
    assert_ready_eq!(waiter.poll(), Ok(2));
}

#[test]
fn handed_but_never_polled_passes_on() {
    let list = semaphore(0);
    let first = waiting(&list, 1);
    let mut second = waiting(&list, 1);
    release(&list, 1);
    assert!(first.is_woken() && !second.is_woken());

    drop(first);
    assert!(second.is_woken());
    assert_ready_eq!(second.poll(), Ok(1));
}

#[test]
fn handed_but_never_polled_goes_back_when_nobody_waits() {
    let list = semaphore(0);
    let only = waiting(&list, 3);
    release(&list, 3);
    drop(only);
    assert_eq!(list.lock().0, 3);
}

#[test]
fn a_large_grant_that_comes_back_serves_several() {
    let list = semaphore(0);
    let large = waiting(&list, 3);
    let small = [(); 4].map(|()| waiting(&list, 1));
    release(&list, 3);
    drop(large);
    assert_eq!(
        small.each_ref().map(|waiter| waiter.is_woken()),
        [true, true, true, false]
    );
}

#[test]
fn dropping_a_completed_or_unpolled_wait_changes_nothing() {
    let list = semaphore(1);
    let mut served = spawn(list.wait(1));
    assert_ready_eq!(served.poll(), Ok(1));
    drop(served);
    drop(list.wait(1));
    assert_eq!(list.lock().0, 0);
}

/// Resources by value, as in a pool: neither `Clone` nor `Copy` nor made anew.
#[derive(Default)]
struct Idle(Vec<Resource>);

#[derive(Debug, PartialEq)]
struct Resource(u32);

impl Serve for Idle {
    type Request = ();
    type Grant = Resource;

    fn try_serve(&mut self, (): &mut ()) -> Option<Resource> {
        self.0.pop()
    }

    fn take_back(&mut self, resource: Resource) {
        self.0.push(resource);
    }
}

#[test]
fn a_resource_travels_from_hand_to_hand() {
    let pool = Arc::new(WaitList::new(Idle::default()));
    let mut first = spawn(Wait::new(Arc::clone(&pool), ()));
    let mut second = spawn(Wait::new(Arc::clone(&pool), ()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());

    assert!(Arc::ptr_eq(first.list(), &pool));

    pool.lock().0.push(Resource(7));
    drop(first);
    assert_ready_eq!(second.poll(), Ok(Resource(7)));
    assert!(pool.lock().0.is_empty());
}

/// A bounded buffer whose putters carry their value.
struct Buffer {
    items: Vec<String>,
    capacity: usize,
}

impl Serve for Buffer {
    type Request = Option<String>;
    type Grant = ();

    fn try_serve(&mut self, value: &mut Option<String>) -> Option<()> {
        (self.items.len() < self.capacity).then(|| self.items.extend(value.take()))
    }

    fn take_back(&mut self, (): ()) {} // the value was put: a put is done or not, never undone
}

#[test]
fn a_putter_carries_its_value_in() {
    let buffer = WaitList::new(Buffer {
        items: vec!["a".into()],
        capacity: 1,
    });
    let mut put = spawn(buffer.wait(Some("b".into())));
    let mut gives_up = spawn(buffer.wait(Some("c".into())));
    assert_pending!(put.poll());
    assert_pending!(gives_up.poll());

    drop(gives_up);
    assert_eq!(buffer.lock().items.pop().as_deref(), Some("a"));
    assert_eq!(
        buffer.lock().items,
        ["b"],
        "put by the unlock, before the putter's next poll"
    );
    assert_ready!(put.poll()).unwrap();
}
