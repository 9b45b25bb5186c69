//! A million tasks live at once, and a dump has each of them.
//!
//! In a test binary of its own: it takes the memory of a million tasks, and of all that is told of them.
#![cfg(not(shibuya_loom))]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shibuya_taskgroup::{Reason, State, Task, TaskGroup, TreeSnapshot, dump};
use tokio::task::yield_now;

const CROWD: usize = 1_000_000;

/// The only group, with so many tasks that wait, in the order in which they were spawned.
fn assert_tells_of(tree: &TreeSnapshot, tasks: &[Task<(), ()>]) {
    let [group, crowd @ ..] = &tree.entries[..] else {
        panic!("there is no group");
    };
    assert_eq!(
        (&*group.name.to_string(), crowd.len()),
        ("crowd", tasks.len())
    );
    let counts = group.counts.expect("it is a group");
    assert_eq!(
        (counts.spawned, counts.living, counts.failed),
        (CROWD, tasks.len(), 0)
    );
    for (told, task) in crowd.iter().zip(tasks) {
        assert_eq!((told.id, told.parent), (task.id(), Some(group.id)));
        assert_eq!((told.depth, told.state, told.polls), (1, State::Idle, 1));
    }
}

#[test]
fn a_dump_of_a_million_living_tasks_has_each_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let polled = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::<()>::builder().name("crowd").run(async |g| {
        let live = || {
            let polled = polled.clone();
            g.spawn(async move {
                polled.fetch_add(1, SeqCst);
                pending().await
            })
        };
        let mut tasks: Vec<Task<(), ()>> = (0..CROWD).map(|_| live()).collect();
        while polled.load(SeqCst) < CROWD {
            yield_now().await;
        }
        let tree = dump();
        assert_tells_of(&tree, &tasks);
        let text = tree.to_string();
        assert!(
            text.starts_with("crowd: group of 1000000 tasks, running ("),
            "{text}"
        );
        assert!(text.contains("999990 more: 999990 idle"), "{text}");

        // And of those that are left, when most are gone.
        for (_, task) in tasks.iter().enumerate().filter(|(at, _)| at % 10 > 0) {
            task.abort();
        }
        while g.len() > CROWD / 10 {
            yield_now().await;
        }
        tasks.retain(|task| !task.is_finished());
        assert_tells_of(&dump(), &tasks);
        g.cancel(Reason::Requested);
        Ok(())
    });
    runtime.block_on(group).unwrap();
    assert!(dump().entries.is_empty());
}
