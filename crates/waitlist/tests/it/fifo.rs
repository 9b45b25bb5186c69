use shibuya_waitlist::TryError;
use tokio_test::{assert_pending, assert_ready_eq, task::spawn};

use crate::support::{Journal, poll, release, semaphore, waiting};

#[test]
fn first_poll_is_served_at_once_when_nobody_waits() {
    let list = semaphore(2);
    assert_ready_eq!(spawn(list.wait(2)).poll(), Ok(2));
    assert_eq!(list.lock().0, 0);
}

#[test]
fn served_in_the_order_of_their_first_polls() {
    let list = semaphore(0);
    let mut created_first = spawn(list.wait(1));
    let mut polled_first = waiting(&list, 1);
    assert_pending!(created_first.poll());

    release(&list, 1);
    assert!(polled_first.is_woken());
    assert!(!created_first.is_woken());
    assert_ready_eq!(polled_first.poll(), Ok(1));
    assert_pending!(created_first.poll());
}

#[test]
fn nobody_passes_a_waiting_head() {
    let list = semaphore(1);
    let mut large = waiting(&list, 3);

    assert_eq!(list.try_acquire(1), Err(TryError::Busy(1)));
    let mut small = waiting(&list, 1);
    assert_eq!(list.lock().0, 1, "the free permit is kept for the head");

    release(&list, 2);
    assert_ready_eq!(large.poll(), Ok(3));
    assert_pending!(small.poll());
}

#[test]
fn a_head_that_leaves_lets_smaller_ones_be_served() {
    let list = semaphore(2);
    let large = waiting(&list, 3);
    let mut small = [waiting(&list, 1), waiting(&list, 1)];
    let mut last = waiting(&list, 1);

    drop(large);
    for waiter in &mut small {
        assert!(waiter.is_woken());
        assert_ready_eq!(waiter.poll(), Ok(1));
    }
    assert!(!last.is_woken());
    assert_pending!(last.poll());
}

#[test]
fn leaving_from_the_middle_and_the_end_keeps_the_order() {
    let list = semaphore(0);
    let mut waiters: Vec<_> = (0..6).map(|_| Some(waiting(&list, 1))).collect();
    for gone in [2, 5, 3] {
        waiters[gone] = None;
    }
    assert_eq!(list.len(), 3);
    // Takes an entry that was left, at the end of the line all the same.
    waiters.push(Some(waiting(&list, 1)));

    for mut next in waiters.into_iter().flatten() {
        assert_pending!(next.poll());
        release(&list, 1);
        assert_ready_eq!(next.poll(), Ok(1));
    }
    assert!(list.is_empty());
}

#[test]
fn wakes_in_order_over_several_batches() {
    let list = semaphore(0);
    let journal = Journal::default();
    let mut waiters: Vec<_> = (0..100).map(|_| list.wait(1)).collect();
    for (i, waiter) in waiters.iter_mut().enumerate() {
        assert_pending!(poll(waiter, &journal.waker(i)));
    }

    release(&list, 99);
    assert_eq!(journal.entries(), (0..99).collect::<Vec<_>>());
    assert_eq!(list.len(), 1);
}

#[test]
fn a_guard_that_changes_nothing_wakes_nobody() {
    let list = semaphore(1);
    let waiter = waiting(&list, 2);
    drop(list.lock());
    assert!(!waiter.is_woken());
    assert_eq!(list.len(), 1);
}
