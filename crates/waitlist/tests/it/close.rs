use shibuya_waitlist::{Closed, Guard, TryError};
use tokio_test::{assert_ready_eq, task::spawn};

use crate::support::{release, semaphore, waiting};

#[test]
fn all_who_wait_get_their_request_back() {
    let list = semaphore(0);
    let mut waiters: Vec<_> = (1..=100).map(|n| waiting(&list, n)).collect();
    list.close();
    assert!(list.is_closed());
    assert!(list.is_empty());
    for (n, waiter) in (1..).zip(&mut waiters) {
        assert!(waiter.is_woken());
        assert_ready_eq!(waiter.poll(), Err(Closed(n)));
    }
}

#[test]
fn later_ones_are_refused_even_if_they_could_be_served() {
    let list = semaphore(5);
    let mut early = spawn(list.wait(1));
    list.close();
    list.close();
    assert_ready_eq!(early.poll(), Err(Closed(1)));
    assert_ready_eq!(spawn(list.wait(2)).poll(), Err(Closed(2)));
    assert_eq!(list.try_acquire(3), Err(TryError::Closed(3)));
    assert_eq!(list.lock().0, 5);
}

#[test]
fn grants_handed_before_stay_good() {
    let list = semaphore(0);
    let mut seen = waiting(&list, 1);
    let unseen = waiting(&list, 1);
    release(&list, 2);
    list.close();
    assert_ready_eq!(seen.poll(), Ok(1));
    drop(unseen);
    assert_eq!(list.lock().0, 1, "taken back, and served to nobody");
}

#[test]
fn a_waiter_may_leave_a_closed_list_without_looking() {
    let list = semaphore(0);
    let mut waiters = [(); 3].map(|()| waiting(&list, 1));
    list.close();
    let [first, ..] = &mut waiters;
    assert_ready_eq!(first.poll(), Err(Closed(1)));
    drop(waiters);
}

#[test]
fn a_guard_closes_together_with_a_change_of_the_state() {
    let list = semaphore(0);
    let mut waiter = waiting(&list, 1);
    let mut guard = list.lock();
    guard.0 = 1;
    Guard::close(&mut guard);
    drop(guard);
    assert_ready_eq!(waiter.poll(), Err(Closed(1)));
    assert_eq!(list.lock().0, 1);
}

#[test]
fn errors_say_what_happened_and_give_the_request_back() {
    let refused = TryError::Busy("mine");
    assert!(refused.is_busy() && !refused.is_closed());
    assert_eq!(
        refused.to_string(),
        "the request can't be served without waiting"
    );
    assert_eq!(refused.into_request(), "mine");
    assert!(TryError::Closed(()).is_closed());
    assert_eq!(Closed("mine").to_string(), "the wait list is closed");
    assert_eq!(Closed("mine").into_request(), "mine");
}
