//! Runs every example of this package with servers of its own.
#![cfg(unix)]

use std::path::Path;

use gallery::examples_of;
use servers::Redis;

#[tokio::test]
async fn every_example_prints_what_it_states() {
    let Some(redis) = Redis::start() else { return };
    let mut wrong = Vec::new();
    for example in examples_of(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        if let Err(why) = example.run([("REDIS_URL", redis.url())]).await {
            wrong.push(format!("{}: {why}", example.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
