//! Where things are: the crates, the manifests and the files of the repository.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this package lies two folders deep")
        .to_owned()
}

/// The folders of `crates/` that hold a package, sorted.
pub(crate) fn crates() -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(root().join("crates"))
        .expect("a folder `crates`")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|folder| folder.join("Cargo.toml").exists())
        .collect();
    assert!(!folders.is_empty(), "no crates found");
    folders.sort();
    folders
}

/// A folder's own name.
pub(crate) fn name(folder: &Path) -> &str {
    folder
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a folder with a name in UTF-8")
}

/// The text of a file of the repository.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What `cargo metadata` says about the workspace's own packages.
pub(crate) fn metadata() -> serde_json::Value {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The files that belong to the repository, relative to its root: those that git knows or would add, and outside of git
/// all that don't lie in a `target` folder.
pub(crate) fn files() -> Vec<PathBuf> {
    let known = known_to_git();
    let mut files = if known.is_empty() {
        walk(&root(), Path::new(""))
    } else {
        known
    };
    files.retain(|file| root().join(file).is_file()); // git also lists what was deleted a moment ago
    files
}

fn known_to_git() -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    match listing {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .map(PathBuf::from)
            .collect(),
        _ => Vec::new(),
    }
}

fn walk(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder)).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let path = folder.join(entry.file_name());
        if !entry.file_type().expect("a file type").is_dir() {
            files.push(path);
        } else if entry.file_name() != "target" && entry.file_name() != ".git" {
            files.extend(walk(root, &path));
        }
    }
    files
}

#[test]
fn this_file_is_a_file_of_the_repository() {
    let this = Path::new("tests/tidy/workspace.rs");
    assert!(files().iter().any(|file| file == this));
    assert!(
        walk(&root().join("tests"), Path::new(""))
            .iter()
            .any(|file| file == Path::new("tidy/workspace.rs"))
    );
}
