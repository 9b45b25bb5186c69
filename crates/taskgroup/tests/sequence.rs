//! One step after the other.
#![cfg(not(shibuya_loom))]

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Ready, pending, ready};
use std::pin::{Pin, pin};

use shibuya_taskgroup::sequence;
use shibuya_testkit::Probes;
use support::{block_on, ms, panic_of, poll_once, text_of};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn each_begins_when_the_one_before_is_done() {
    let began = Instant::now();
    let steps = [30, 10, 20].map(|time| async move {
        sleep(ms(time)).await;
        Ok::<_, ()>(began.elapsed())
    });
    assert_eq!(sequence(steps).await.unwrap(), [ms(30), ms(40), ms(60)]);
}

#[tokio::test]
async fn the_first_failure_stops_it_with_what_was_done() {
    let begun = Cell::new(0);
    let step = |n: u8| {
        begun.set(begun.get() + 1);
        async move { if n == 2 { Err("two") } else { Ok(n) } }
    };
    let error = sequence((0..9).map(step)).await.unwrap_err();
    assert_eq!(error.to_string(), "step 2 of the sequence failed: two");
    assert_eq!(
        (error.index, error.done, error.error),
        (2, vec![0, 1], "two")
    );
    assert_eq!(begun.get(), 3, "the iterator is asked for no more");
}

#[test]
fn the_error_prints_what_failed_once() {
    let error = block_on(sequence([ready("x".parse::<u8>())])).unwrap_err();
    assert!(error.to_string().contains("invalid digit"));
    assert!(std::error::Error::source(&error).is_none());
}

#[tokio::test]
async fn collected_it_goes_on() {
    let begun = RefCell::new(Vec::new());
    let steps = (0..4).map(|n| {
        let begun = &begun; // a step borrows
        move || {
            begun.borrow_mut().push(n);
            async move { if n % 2 == 1 { Err(n) } else { Ok(n) } }
        }
    });
    let results = sequence(steps).collect().await;
    assert_eq!(results, [Ok(0), Err(1), Ok(2), Err(3)]);
    assert_eq!(begun.into_inner(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn closures_of_several_types_are_boxed() {
    type Boxed<'a> = Pin<Box<dyn Future<Output = Result<u8, ()>> + 'a>>;
    let steps: [Box<dyn FnOnce() -> Boxed<'static>>; 2] = [
        Box::new(|| Box::pin(async { Ok(1) })),
        Box::new(|| Box::pin(ready(Ok(2)))),
    ];
    assert_eq!(sequence(steps).await.unwrap(), [1, 2]);
}

#[test]
fn of_nothing_it_is_over_at_once() {
    let none = Vec::<Ready<Result<(), ()>>>::new;
    assert!(block_on(sequence(none())).unwrap().is_empty());
    assert!(block_on(sequence(none()).collect()).is_empty());
}

#[tokio::test]
async fn a_panic_goes_on() {
    let steps = [1, 2].map(|n| async move {
        assert_ne!(n, 2, "no two");
        Ok::<_, ()>(n)
    });
    assert!(text_of(&*panic_of(sequence(steps)).await).contains("no two"));
}

#[tokio::test]
async fn a_step_is_dropped_before_the_next_begins_and_with_the_sequence() {
    let probes = Probes::new();
    let step = |n| {
        assert_eq!(probes.alive(), 0);
        let probe = probes.probe(());
        async move {
            let _probe = probe;
            if n == 2 {
                pending::<()>().await;
            }
            Ok::<_, ()>(())
        }
    };
    assert!(
        poll_once(pin!(sequence((0..4).map(step))))
            .await
            .is_pending()
    );
    probes.assert_all_dropped();
}
