//! No file names the host of a package registry, so the workspace builds behind any mirror. Lock files do by nature.

use std::fs;
use std::path::Path;

use crate::assert_none;
use crate::workspace::{files, root};

/// Put together here, or this file would name it.
const HOST: &str = concat!("crates", ".", "io");

/// The lines, from 1, that name the registry.
fn lines(text: &[u8]) -> Vec<usize> {
    let names = |line: &[u8]| {
        line.windows(HOST.len())
            .any(|part| part.eq_ignore_ascii_case(HOST.as_bytes()))
    };
    (1..)
        .zip(text.split(|byte| *byte == b'\n'))
        .filter(|(_, line)| names(line))
        .map(|(number, _)| number)
        .collect()
}

fn is_lock_file(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension == "lock")
}

#[test]
fn no_file_names_a_registry() {
    let mut complaints = Vec::new();
    for file in files().into_iter().filter(|file| !is_lock_file(file)) {
        let text = fs::read(root().join(&file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        complaints.extend(
            lines(&text)
                .into_iter()
                .map(|line| format!("{}:{line}: names {HOST}", file.display())),
        );
    }
    assert_none(&complaints);
}

#[test]
fn the_host_is_found_in_any_case_and_any_file() {
    let text = [
        b"fine\nsee https://static.",
        HOST.to_uppercase().as_bytes(),
        b"/x\n\xff\n",
        HOST.as_bytes(),
    ]
    .concat();
    assert_eq!(lines(&text), [2, 4]);
    assert!(lines(b"crates\n.io crates-io").is_empty());
}
