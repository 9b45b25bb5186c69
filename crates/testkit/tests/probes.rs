//! Probes tell what was lost, leaked or delivered twice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shibuya_testkit::{PanicOnDrop, Probes};

fn message(f: impl FnOnce()) -> String {
    *catch_unwind(AssertUnwindSafe(f))
        .unwrap_err()
        .downcast()
        .unwrap()
}

#[test]
fn counts_follow_the_values() {
    let probes = Probes::new();
    let (a, b) = (probes.probe(1), probes.probe(2));
    assert_eq!(
        (probes.created(), probes.alive(), probes.dropped()),
        (2, 2, 0)
    );
    assert_eq!((a.number(), b.number(), *b), (0, 1, 2));
    drop(a);
    assert_eq!(
        (probes.created(), probes.alive(), probes.dropped()),
        (2, 1, 1)
    );
    assert_eq!(b.deliver(), 2);
    assert_eq!(
        (probes.alive(), probes.delivered(), probes.lost()),
        (0, vec![1], vec![0])
    );
    probes.assert_all_dropped();
}

#[test]
fn a_leak_is_named() {
    let probes = Probes::new();
    let _kept = (probes.probe(()), probes.probe(()));
    drop(probes.probe(()));
    assert_eq!(
        message(|| probes.assert_all_dropped()),
        "2 of 3 probes are still alive: [0, 1]"
    );
}

#[test]
fn a_loss_is_named() {
    let probes = Probes::new();
    probes.probe(()).deliver();
    drop(probes.probe(()));
    assert_eq!(
        message(|| probes.assert_none_lost()),
        "1 of 2 probes were lost: [1]"
    );
}

#[test]
fn a_clone_is_the_same_number() {
    let probes = Probes::new();
    let first = probes.probe("news");
    let second = first.clone();
    assert_eq!(
        (probes.created(), probes.alive(), second.number()),
        (1, 2, 0)
    );
    drop(second);
    assert_eq!((probes.alive(), probes.dropped()), (1, 0));
    let second = first.clone();
    first.deliver();
    assert_eq!(
        message(|| _ = second.deliver()),
        "probe 0 was delivered twice"
    );
    probes.assert_all_dropped();
}

#[test]
fn a_bomb_among_the_ruins_stays_quiet() {
    let text = message(|| {
        let _bomb = PanicOnDrop::new("second");
        panic!("{}", "first");
    });
    assert_eq!(text, "first");
}
