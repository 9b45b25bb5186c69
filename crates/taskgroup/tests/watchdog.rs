//! A task that keeps its thread is named while it does. The listener is the process's, so there is one test.
#![cfg(not(shibuya_loom))]

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shibuya_taskgroup::{State, TaskGroup, dump, watchdog};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Blocks until the watchdog says something.
fn next(told: &Mutex<Receiver<String>>) -> String {
    let told = told.lock().unwrap();
    told.recv_timeout(Duration::from_secs(60))
        .expect("the watchdog speaks")
}

#[test]
fn it_names_who_keeps_its_thread_while_it_does() {
    watchdog::set_threshold(Duration::from_millis(100));
    let (tell, told) = channel();
    let seen_running = Arc::new(AtomicBool::new(false));
    let seen = seen_running.clone();
    watchdog::on_stuck(move |stuck| {
        // From this thread, while the other one is stuck.
        let state = dump()
            .entries
            .iter()
            .find(|entry| entry.id == stuck.id)
            .map(|entry| entry.state);
        seen.fetch_or(state == Some(State::Running), SeqCst);
        assert!(stuck.polled_for >= Duration::from_millis(100));
        tell.send(stuck.to_string()).unwrap();
    });
    let told = Arc::new(Mutex::new(told));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();

    // A task.
    let ears = told.clone();
    let group = TaskGroup::run(async |g| {
        let task = g
            .task("sums")
            .spawn(async move { Ok::<_, io::Error>(next(&ears)) });
        Ok(task.await)
    });
    let text = runtime.block_on(group).unwrap();
    assert!(
        text.starts_with("task `sums`, spawned at crates/taskgroup/tests/watchdog.rs:"),
        "{text}"
    );
    assert!(
        text.contains(" has kept thread `tokio-rt-worker` for "),
        "{text}"
    );
    assert!(seen_running.load(SeqCst));

    // It speaks again while that goes on, and then of the next one; also of a group's body.
    let ears = told.clone();
    let body = TaskGroup::builder().name("body").run(async |_| {
        let texts = [next(&ears), next(&ears)];
        Ok::<_, io::Error>(texts)
    });
    let texts = runtime.block_on(body).unwrap();
    assert!(
        texts.iter().all(|text| text.starts_with("task `body`, ")),
        "{texts:?}"
    );

    // One without a name.
    let ears = told.clone();
    let unnamed = TaskGroup::run(async |g| {
        let task = g.spawn(async move { Ok::<_, io::Error>(next(&ears)) });
        Ok(task.await)
    });
    assert!(
        runtime
            .block_on(unnamed)
            .unwrap()
            .starts_with("the task spawned at ")
    );

    // A listener that panics is let go, and the watchdog lives on.
    struct Gone(std::sync::mpsc::Sender<String>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.send("the listener is gone".to_owned()).unwrap();
        }
    }
    let (tell, told) = channel();
    let gone = Gone(tell);
    watchdog::on_stuck(move |_| {
        let _gone = &gone;
        panic!("no ear for it");
    });
    let ears = Arc::new(Mutex::new(told));
    let unheard = TaskGroup::run(async |g| {
        let task = g
            .task("unheard")
            .spawn(async move { Ok::<_, io::Error>(next(&ears)) });
        Ok(task.await)
    });
    assert_eq!(runtime.block_on(unheard).unwrap(), "the listener is gone");
    let (tell, told) = channel();
    watchdog::on_stuck(move |stuck| tell.send(stuck.to_string()).unwrap());
    let ears = Arc::new(Mutex::new(told));
    let again = TaskGroup::run(async |g| {
        let task = g
            .task("heard")
            .spawn(async move { Ok::<_, io::Error>(next(&ears)) });
        Ok(task.await)
    });
    assert!(runtime.block_on(again).unwrap().starts_with("task `heard`"));

    // Who takes the log may panic, too.
    tracing::subscriber::set_global_default(Panics).unwrap();
    for name in ["panics", "panics again"] {
        let (tell, told) = channel();
        ON_EVENT.lock().unwrap().replace(tell);
        let ears = Arc::new(Mutex::new(told));
        let group = TaskGroup::run(async |g| {
            let task = g
                .task(name)
                .spawn(async move { Ok::<_, io::Error>(next(&ears)) });
            Ok(task.await)
        });
        assert_eq!(runtime.block_on(group).unwrap(), "it panics");
    }
}

static ON_EVENT: Mutex<Option<Sender<String>>> = Mutex::new(None);

/// Does so on the watchdog's thread, once for each sender.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let told = ON_EVENT.lock().unwrap().take();
        if let Some(told) = told {
            told.send("it panics".to_owned()).unwrap();
            panic!("no room for it");
        }
    }
}

#[test]
#[should_panic(
    expected = "a watchdog's threshold of 99ms is within the noise; the least is 100 ms"
)]
fn a_threshold_within_the_noise_is_refused() {
    watchdog::set_threshold(Duration::from_millis(99));
}
