//! Every ending of a `Wait`: dropped before its first poll, after each poll, after each wake, and completed.

use std::sync::Arc;

use shibuya_testkit::{Ending, cancel_at_every_poll};
use shibuya_waitlist::{Closed, Wait};

use crate::support::{release, semaphore};

#[tokio::test]
async fn what_a_dropped_wait_was_handed_goes_to_the_next() {
    let report = cancel_at_every_poll(
        "Wait::new",
        async || {
            let list = Arc::new(semaphore(0));
            let wait = Wait::new(Arc::clone(&list), 2);
            let behind = [1, 1].map(|n| tokio::spawn(Wait::new(Arc::clone(&list), n)));
            let shared = Arc::clone(&list);
            tokio::spawn(async move { release(&shared, 2) });
            ((list, behind), wait)
        },
        async |(list, behind), ending| {
            if let Ending::Completed(granted) = ending {
                release(&list, granted.unwrap());
            }
            for next in behind {
                assert_eq!(next.await.unwrap(), Ok(1));
            }
            assert_eq!(list.lock().0, 0);
            assert!(list.is_empty());
        },
    )
    .await;
    assert_eq!(report.polls, 2);
}

#[tokio::test]
async fn a_list_that_closes_forgets_a_dropped_wait() {
    let report = cancel_at_every_poll(
        "WaitList::wait",
        async || {
            let list = Arc::new(semaphore(0));
            let (waits, closes) = (Arc::clone(&list), Arc::clone(&list));
            tokio::spawn(async move { closes.close() });
            (list, async move { waits.wait(1).await })
        },
        async |list, ending| {
            if let Ending::Completed(refused) = ending {
                assert_eq!(refused, Err(Closed(1)));
            }
            tokio::task::yield_now().await; // so that the list is closed, if it wasn't
            assert!(list.is_empty());
            assert_eq!(list.wait(1).await, Err(Closed(1)));
            assert_eq!(list.lock().0, 0);
        },
    )
    .await;
    assert_eq!(report.polls, 2);
}
