//! A state that keeps books on those who wait, and turns some away.

use std::task::{Poll, Waker};

use shibuya_waitlist::{Serve, Wait, WaitList};
use tokio_test::{assert_pending, assert_ready};

use crate::support::poll;

/// Serves nobody, has room for two, and counts what those who wait ask for.
#[derive(Default)]
struct Books {
    open: bool,
    queued: usize,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Served,
    Full,
}

impl Serve for Books {
    type Request = usize;
    type Grant = Answer;

    fn try_serve(&mut self, n: &mut usize) -> Option<Answer> {
        self.open.then(|| {
            self.queued = self.queued.saturating_sub(*n);
            Answer::Served
        })
    }

    fn take_back(&mut self, _: Answer) {}

    fn enlist(&mut self, n: &mut usize, waiting: usize) -> Option<Answer> {
        if waiting == 2 {
            return Some(Answer::Full);
        }
        self.queued += *n;
        None
    }

    fn delist(&mut self, n: &mut usize) {
        self.queued -= *n;
    }
}

fn enter(list: &WaitList<Books>, n: usize) -> (Wait<&WaitList<Books>>, Poll<Answer>) {
    let mut wait = list.wait(n);
    let polled = poll(&mut wait, Waker::noop()).map(Result::unwrap);
    (wait, polled)
}

#[test]
fn who_is_turned_away_never_stands_in_line() {
    let list = WaitList::new(Books::default());
    let (first, second, third) = (enter(&list, 1), enter(&list, 10), enter(&list, 100));
    assert_pending!(first.1);
    assert_pending!(second.1);
    assert_eq!(assert_ready!(third.1), Answer::Full);
    assert_eq!(list.len(), 2);
    assert_eq!(list.lock().queued, 11);
}

#[test]
fn the_books_know_who_left_and_not_who_was_served() {
    let list = WaitList::new(Books::default());
    let (first, second) = (enter(&list, 1).0, enter(&list, 10).0);
    drop(first);
    assert_eq!(list.lock().queued, 10);
    list.lock().open = true;
    assert_eq!(list.lock().queued, 0);
    drop(second); // it was served, so it left before
    assert_eq!(list.lock().queued, 0);
}
