//! What several test files need.
#![allow(dead_code, reason = "each file takes what it needs")]

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Polls once.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut fut: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx))).await
}

/// What `f` panics with.
pub(crate) fn panic_message<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it did not panic");
    };
    text_of(&*payload)
}

/// What `fut` panics with.
pub(crate) async fn panic_of<F: Future>(fut: F) -> Box<dyn Any + Send> {
    let mut fut = std::pin::pin!(fut);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| fut.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => panic!("it did not panic"),
            Err(payload) => Poll::Ready(payload),
        }
    })
    .await
}

pub(crate) fn text_of(payload: &(dyn Any + Send)) -> String {
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => payload
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_default(),
    }
}

/// Runs `fut` on a runtime of several threads, and fails where it hangs.
pub(crate) fn on_threads<F: Future>(fut: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(no_hang(fut))
}

/// Fails where `fut` hangs, in real time.
pub(crate) async fn no_hang<F: Future>(fut: F) -> F::Output {
    let (done, alarm) = std::sync::mpsc::channel::<()>();
    let location = std::thread::current().name().map(str::to_owned);
    std::thread::spawn(move || {
        use std::sync::mpsc::RecvTimeoutError::Timeout;
        if alarm.recv_timeout(Duration::from_secs(10)) == Err(Timeout) {
            eprintln!("{location:?} hangs");
            std::process::abort();
        }
    });
    let output = fut.await;
    drop(done);
    output
}

/// What `f` panics with; fails unless it panics at the line of this call.
#[track_caller]
pub(crate) fn panics_here<R>(f: impl FnOnce() -> R) -> String {
    let caller = std::panic::Location::caller();
    let (message, site) = panic_site(f);
    assert_eq!(site, (caller.file().to_owned(), caller.line()));
    message
}

/// What `f` panics with, and where.
pub(crate) fn panic_site<R>(f: impl FnOnce() -> R) -> (String, (String, u32)) {
    use std::cell::RefCell;
    use std::sync::Once;

    type Site = Option<(String, u32)>;
    thread_local!(static SITE: RefCell<Site> = const { RefCell::new(None) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let site = info.location().map(|at| (at.file().to_owned(), at.line()));
            SITE.set(site);
            outer(info);
        }));
    });
    let message = panic_message(f);
    (message, SITE.take().expect("a panic has a place"))
}

/// An executor of nobody's.
pub(crate) fn block_on<F: Future>(fut: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let mut fut = std::pin::pin!(fut);
    loop {
        if let Poll::Ready(output) = fut.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}
