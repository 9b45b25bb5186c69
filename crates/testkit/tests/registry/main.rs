//! The registry finds what a crate hands out and what its tests cancel, in the sample beside this file.

use std::path::{Path, PathBuf};
use std::{env, fs};

use shibuya_testkit::tidy::{PublicFuture, harnessed, public_futures, uncovered};

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/sample")
}

fn names(futures: &[PublicFuture]) -> Vec<&str> {
    futures.iter().map(|future| &*future.name).collect()
}

#[test]
fn public_futures_of_every_kind_are_found() {
    let futures = public_futures(sample().join("src")).unwrap();
    let expected = [
        "Builder",
        "Ext::provided",
        "Ext::required",
        "Generated",
        "Get",
        "Pinned",
        "Put",
        "Queue::call",
        "Queue::put",
        "Queue::required",
        "boxed",
        "documented",
        "hidden_in_the_return_type",
        "inside",
        "undocumented",
    ];
    assert_eq!(names(&futures), expected);
}

#[test]
fn a_named_future_is_covered_by_the_functions_that_return_it() {
    let futures = public_futures(sample().join("src")).unwrap();
    let covered_by = |name: &str| {
        futures
            .iter()
            .find(|future| future.name == name)
            .unwrap()
            .covered_by
            .clone()
    };
    assert_eq!(covered_by("Get"), ["Get", "Queue::get"]);
    assert_eq!(covered_by("Put"), ["Put", "Queue::call"]);
    assert_eq!(covered_by("Builder"), ["Builder", "Builder::new"]);
    assert_eq!(covered_by("Queue::put"), ["Queue::put"]);
}

#[test]
fn a_future_knows_its_place_and_its_documentation() {
    let futures = public_futures(sample().join("src")).unwrap();
    let put = futures
        .iter()
        .find(|future| future.name == "Queue::put")
        .unwrap();
    assert_eq!(
        (put.file.as_path(), put.line),
        (sample().join("src/queue/mod.rs").as_path(), 10)
    );
    let documented = futures
        .iter()
        .filter(|future| future.documents_cancel_safety)
        .map(|future| &*future.name);
    assert_eq!(
        documented.collect::<Vec<_>>(),
        [
            "Ext::required",
            "Get",
            "Pinned",
            "Queue::required",
            "documented"
        ]
    );
}

#[test]
fn calls_of_the_harness_are_found_in_macros_and_not_in_comments() {
    assert_eq!(
        Vec::from_iter(harnessed(sample().join("tests")).unwrap()),
        ["Queue::get", "inside"]
    );
    assert_eq!(
        Vec::from_iter(harnessed(sample().join("src")).unwrap()),
        ["documented"]
    );
    assert!(
        harnessed(sample().join("no such folder"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_no_test_cancels_is_uncovered() {
    let expected = [
        "Builder",
        "Ext::provided",
        "Ext::required",
        "Generated",
        "Pinned",
        "Put",
        "Queue::call",
        "Queue::put",
        "Queue::required",
        "boxed",
        "hidden_in_the_return_type",
        "undocumented",
    ];
    assert_eq!(names(&uncovered(sample()).unwrap()), expected);
}

#[test]
fn a_syntax_error_is_named_with_its_place() {
    let src = env::temp_dir().join(format!("testkit-registry-{}", std::process::id()));
    fs::create_dir_all(&src).unwrap();
    assert!(
        public_futures(&src)
            .unwrap_err()
            .to_string()
            .starts_with("no crate root in ")
    );
    fs::write(src.join("lib.rs"), "mod missing;").unwrap();
    assert!(
        public_futures(&src)
            .unwrap_err()
            .to_string()
            .contains("missing/mod.rs: ")
    );
    fs::write(src.join("lib.rs"), "\npub fn {").unwrap();
    assert!(
        public_futures(&src)
            .unwrap_err()
            .to_string()
            .contains("lib.rs:2:8: ")
    );
    fs::remove_dir_all(&src).unwrap();
}
