//! A task runs in a span named after it, where somebody listens.
#![cfg(not(shibuya_loom))]

use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use shibuya_taskgroup::TaskGroup;
use tokio::task::yield_now;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes down what is made, entered, left and closed.
struct Recorder {
    next: AtomicU64,
    /// Handles of the span.
    handles: AtomicU64,
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        struct Name(String);
        impl Visit for Name {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "name" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut name = Name(String::new());
        span.record(&mut name);
        let id = self.next.fetch_add(1, SeqCst);
        self.handles.fetch_add(1, SeqCst);
        say(format!("{} {} is {id}", span.metadata().name(), name.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        say(format!("enter {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        say(format!("exit {}", span.into_u64()));
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.handles.fetch_add(1, SeqCst);
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let is_last = self.handles.fetch_sub(1, SeqCst) == 1;
        if is_last {
            say(format!("close {}", span.into_u64()));
        }
        is_last
    }
}

fn say(what: String) {
    SEEN.lock().unwrap().push(what);
}

struct SaysWhenDropped;

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        say("dropped".to_owned());
    }
}

#[test]
fn a_named_task_runs_and_is_dropped_in_its_span_which_ends_with_it() {
    tracing::subscriber::set_global_default(Recorder {
        next: AtomicU64::new(1),
        handles: AtomicU64::new(0),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let task = runtime
        .block_on(TaskGroup::run(async |g| {
            let held = SaysWhenDropped;
            let task = g.task("fetch").spawn(async move {
                let _held = held;
                say("polled".to_owned());
                yield_now().await;
                say("polled again".to_owned());
                Ok::<_, io::Error>(())
            });
            // Of those without a name only who listens to `DEBUG` hears.
            g.spawn(async { Ok(()) });
            Ok(task)
        }))
        .unwrap();
    say("over".to_owned());
    drop(task);
    let seen = SEEN.lock().unwrap().join("; ");
    assert_eq!(
        seen,
        "task fetch is 1; enter 1; polled; exit 1; enter 1; polled again; dropped; exit 1; enter 1; exit 1; close 1; over"
    );
}
