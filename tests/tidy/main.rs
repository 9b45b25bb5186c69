//! Holds the workspace to its own rules. Each file keeps one rule: a pure function that lists what breaks it, tried on bad
//! input, and a test that runs it over the repository.

#![forbid(unsafe_code)]

mod floors;
mod futures;
mod links;
mod manifests;
mod registry;
mod workspace;

/// Fails with all complaints at once, one to a line.
#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
