//! The tree as JSON.
#![cfg(all(feature = "serde", not(shibuya_loom)))]

use std::future::pending;
use std::io;

use serde_json::{Value, json};
use shibuya_taskgroup::{TaskGroup, dump, step};
use tokio::task::yield_now;

#[tokio::test]
async fn a_snapshot_is_plain_json() {
    let all = TaskGroup::builder().name("shop").run(async |g| {
        g.task("done").spawn(async { Ok(()) });
        g.task("order").spawn(async {
            step("ask the bank", pending::<()>()).await;
            Ok::<_, io::Error>(())
        });
        while g.len() > 1 {
            yield_now().await;
        }
        let tree = serde_json::to_value(dump()).unwrap();
        g.cancel("seen".into());
        Ok(tree)
    });
    let mut tree = all.await.unwrap();
    let ended = tree["ended"].as_array_mut().unwrap().remove(0);
    assert_eq!(ended["name"], "done");
    assert_eq!(ended["ending"], "done");
    assert_eq!(ended["group"], tree["entries"][0]["id"]);
    assert!(ended["age_ms"].is_number());

    let entries = tree["entries"].as_array_mut().unwrap();
    assert_eq!(entries[1]["parent"], entries[0]["id"]);
    assert_eq!(entries[2]["parent"], entries[1]["id"]);
    let rest: Vec<Value> = entries
        .iter_mut()
        .map(|entry| {
            let entry = entry.as_object_mut().unwrap();
            // What differs from run to run.
            for varies in ["id", "parent", "location", "age_ms", "idle_ms"] {
                entry.remove(varies).expect("it is there");
            }
            Value::Object(entry.clone())
        })
        .collect();
    let entry = |kind, name, depth, state, polls, counts: Value| {
        json!({
            "kind": kind, "name": name, "depth": depth, "state": state, "polls": polls,
            "reason": null, "counts": counts,
        })
    };
    assert_eq!(
        rest,
        [
            entry(
                "group",
                "shop",
                0,
                "running",
                0,
                json!({"spawned": 2, "living": 1, "failed": 0})
            ),
            entry("task", "order", 1, "idle", 1, Value::Null),
            entry("step", "ask the bank", 2, "idle", 0, Value::Null),
        ]
    );
}
