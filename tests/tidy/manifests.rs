//! All crates are made alike: what can come from the workspace comes from there, so that one edit changes it everywhere.

use std::path::Path;

use toml::{Table, Value};

use crate::workspace::{crates, name, read, root};
use crate::{assert_none, workspace};

/// Of `[package]`, what the workspace says.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// What is wrong with the manifest of `crates/<folder>`.
fn crate_complaints(folder: &str, manifest: &Table) -> Vec<String> {
    let mut complaints = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    let expected = if folder == "shibuya" {
        folder.to_owned()
    } else {
        format!("shibuya-{folder}")
    };
    if package
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
        != Some(&*expected)
    {
        complaints.push(format!(
            "crates/{folder}: the package's name must be `{expected}`"
        ));
    }
    for key in INHERITED {
        if !package
            .and_then(|package| package.get(key))
            .is_some_and(is_inherited)
        {
            complaints.push(format!("crates/{folder}: say `{key}.workspace = true`"));
        }
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        complaints.push(format!(
            "crates/{folder}: say `workspace = true` under [lints]"
        ));
    }
    complaints
}

/// The dependencies of any member whose version doesn't come from the workspace.
fn dependency_complaints(member: &str, manifest: &Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets);
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .flat_map(|table| kinds.into_iter().filter_map(|kind| table.get(kind).and_then(Value::as_table)))
        .flatten()
        .filter(|(_, dependency)| !is_inherited(dependency))
        .map(|(dependency, _)| {
            format!("{member}: `{dependency}` must say `workspace = true`; its version stands in the root's Cargo.toml")
        })
        .collect()
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace") == Some(&Value::Boolean(true))
}

fn parse(manifest: &Path) -> Table {
    read(manifest)
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", manifest.display()))
}

#[test]
fn crates_inherit_from_the_workspace() {
    let complaints = crates()
        .into_iter()
        .flat_map(|dir| crate_complaints(name(&dir), &parse(&dir.join("Cargo.toml"))));
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn versions_of_dependencies_come_from_the_workspace() {
    let metadata = workspace::metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let manifests = packages
        .iter()
        .map(|package| Path::new(package["manifest_path"].as_str().expect("a path")));
    let complaints = manifests.flat_map(|manifest| {
        let member = manifest
            .strip_prefix(root())
            .unwrap_or(manifest)
            .display()
            .to_string();
        dependency_complaints(&member, &parse(manifest))
    });
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn crates_forbid_unsafe_code_and_have_a_readme() {
    let mut complaints = Vec::new();
    for dir in crates() {
        let folder = name(&dir);
        if !read(&dir.join("src/lib.rs"))
            .lines()
            .any(|line| line == "#![forbid(unsafe_code)]")
        {
            complaints.push(format!(
                "crates/{folder}/src/lib.rs: say `#![forbid(unsafe_code)]`"
            ));
        }
        if !dir.join("README.md").exists() {
            complaints.push(format!("crates/{folder}: a README.md is missing"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn a_crate_that_goes_its_own_way_is_named() {
    let good = "package = { name = 'shibuya-x', version.workspace = true, edition.workspace = true, \
                rust-version.workspace = true, license.workspace = true }\nlints.workspace = true";
    assert_none(&crate_complaints("x", &good.parse().unwrap()));

    let own = good.replace("edition.workspace = true", "edition = '2021'");
    assert_eq!(
        crate_complaints("x", &own.parse().unwrap()),
        ["crates/x: say `edition.workspace = true`"]
    );
    assert_eq!(
        crate_complaints("y", &good.parse().unwrap()),
        ["crates/y: the package's name must be `shibuya-y`"]
    );
    assert_eq!(crate_complaints("x", &Table::new()).len(), 6);
}

#[test]
fn a_version_of_its_own_is_named_in_every_table() {
    let manifest = "dependencies = { a = '1', b.workspace = true }\n\
                    dev-dependencies.c = { version = '1', features = [] }\n\
                    build-dependencies.d = { workspace = true, features = [] }\n\
                    target.'cfg(unix)'.dependencies.e = { path = '../e' }";
    let complaints = dependency_complaints("crates/x/Cargo.toml", &manifest.parse().unwrap());
    let named = |name: &str| {
        complaints
            .iter()
            .any(|complaint| complaint.contains(&format!("`{name}`")))
    };
    assert_eq!(
        ["a", "b", "c", "d", "e"].map(named),
        [true, false, true, false, true]
    );
}
