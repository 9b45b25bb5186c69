//! What is gathered are futures: an iterator of them, or a tuple.
use shibuya_taskgroup::{gather, try_gather};

async fn three() -> Result<u8, ()> {
    Ok(3)
}

async fn gathered() {
    let _ = gather(three()).await;
    let _ = try_gather((three(), 4)).await;
}

fn main() {}
