//! Catches panics and keeps what they said, so that it can be said again with its context.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a caught panic said.
#[derive(Debug)]
pub(crate) struct Said(pub(crate) String);

/// Runs `f`. What it touches is thrown away after a panic, hence `AssertUnwindSafe`.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Said> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Said(message(&*payload)))
}

/// Runs `future` to its end or its panic.
pub(crate) async fn catch_async<T>(future: impl Future<Output = T>) -> Result<T, Said> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(said) => Poll::Ready(Err(said)),
    })
    .await
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(a payload that is not text)".to_owned()
    }
}
