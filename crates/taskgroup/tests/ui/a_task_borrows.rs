//! A task may run on after what it borrows is gone, so it can't borrow; the body can.
use shibuya_taskgroup::TaskGroup;

async fn lengths(words: &str) {
    let _ = TaskGroup::<()>::run(async |g| {
        g.spawn(async { Ok(words.len()) });
        Ok(())
    })
    .await;
}

fn main() {}
