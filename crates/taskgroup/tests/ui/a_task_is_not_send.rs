//! A task may move to another thread at any await.
use std::rc::Rc;

use shibuya_taskgroup::TaskGroup;

async fn shared(g: TaskGroup<()>) {
    g.spawn(async {
        let count = Rc::new(1);
        tokio::task::yield_now().await;
        Ok(*count)
    });
}

fn main() {}
