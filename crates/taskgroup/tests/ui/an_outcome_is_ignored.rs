//! An outcome that is taken is no longer the group's to report.
#![deny(unused_must_use)]
use shibuya_taskgroup::Task;

async fn ignored(mut task: Task<(), String>) {
    task.outcome().await;
}

fn main() {}
