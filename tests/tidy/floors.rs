//! A crate may use lower floors, never its own or a higher one. So every crate can be read, built, tested and published
//! knowing only what lies below it.

use std::path::Path;

use crate::{assert_none, workspace};

/// The floors of the house, as the design draws them.
const FLOORS: &[(&str, u8)] = &[
    ("shibuya-waitlist", 0),
    ("shibuya-cancel", 1),
    ("shibuya-sync", 1),
    ("shibuya-lease", 1),
    ("shibuya-retry", 2),
    ("shibuya-taskgroup", 3),
    ("shibuya-ratelimit", 3),
    ("shibuya-pubsub", 3),
    ("shibuya-pool", 4),
    ("shibuya-actor", 4),
    ("shibuya-schedule", 4),
    ("shibuya", 5),
];

/// Stands beside the house: it uses none of the crates, and they use it in their tests alone.
const SCAFFOLD: &str = "shibuya-testkit";

struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// For tests, examples and benches.
    dev: bool,
    /// Whether the manifest asks for a version, as it must for a published dependency.
    versioned: bool,
}

fn complaints(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let floor = floor_of(&package.name);
        if floor.is_none() && package.name != SCAFFOLD {
            complaints.push(format!(
                "`{}` has no floor: give it one in FLOORS, tests/tidy/floors.rs, and in ARCHITECTURE.md",
                package.name
            ));
        }
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| is_ours(&dependency.name, packages))
        {
            let below = matches!((floor, floor_of(&dependency.name)), (Some(own), Some(other)) if other < own);
            let (user, used) = (&package.name, &dependency.name);
            if !dependency.dev && !below {
                complaints.push(format!(
                    "`{user}` ({}) may not use `{used}` ({})",
                    storey(user),
                    storey(used)
                ));
            } else if !below && dependency.versioned {
                complaints.push(format!(
                    "`{user}` needs `{used}` in its tests, and not from a lower floor: by path alone, or neither can be \
                     published first"
                ));
            }
        }
    }
    complaints
}

fn is_ours(name: &str, packages: &[Package]) -> bool {
    name == SCAFFOLD
        || floor_of(name).is_some()
        || packages.iter().any(|package| package.name == name)
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(listed, _)| *listed == name)
        .map(|(_, floor)| *floor)
}

fn storey(name: &str) -> String {
    match floor_of(name) {
        Some(floor) => format!("floor {floor}"),
        None if name == SCAFFOLD => "for tests only".to_owned(),
        None => "no floor".to_owned(),
    }
}

/// The packages under `crates/`.
fn packages(metadata: &serde_json::Value) -> Vec<Package> {
    let crates = workspace::root().join("crates");
    let packages = metadata["packages"].as_array().expect("packages");
    let in_crates = |package: &&serde_json::Value| {
        package["manifest_path"]
            .as_str()
            .is_some_and(|manifest| Path::new(manifest).starts_with(&crates))
    };
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let dependency = |dependency: &serde_json::Value| Dependency {
        name: text(&dependency["name"]),
        dev: dependency["kind"] == "dev",
        versioned: dependency["req"] != "*",
    };
    let package = |package: &serde_json::Value| Package {
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .map(dependency)
            .collect(),
    };
    packages.iter().filter(in_crates).map(package).collect()
}

#[test]
fn the_crates_keep_to_their_floors() {
    let packages = packages(&workspace::metadata());
    assert_eq!(
        packages.len(),
        workspace::crates().len(),
        "each folder of crates/ is a member of the workspace"
    );
    assert_none(&complaints(&packages));
}

/// `user` depends on `used` in the given way.
fn tried(user: &str, used: &str, dev: bool, versioned: bool) -> Vec<String> {
    let dependency = Dependency {
        name: used.to_owned(),
        dev,
        versioned,
    };
    complaints(&[Package {
        name: user.to_owned(),
        dependencies: vec![dependency],
    }])
}

#[test]
fn lower_floors_and_foreign_crates_are_fine() {
    assert_none(&tried("shibuya-taskgroup", "shibuya-waitlist", false, true));
    assert_none(&tried("shibuya", "shibuya-pool", false, true));
    assert_none(&tried("shibuya-waitlist", "tokio", false, true));
    assert_none(&tried("shibuya-waitlist", SCAFFOLD, true, false));
    assert_none(&tried("shibuya-cancel", "shibuya-taskgroup", true, false));
}

#[test]
fn the_same_floor_a_higher_one_and_the_scaffold_are_not() {
    let complaint = "`shibuya-cancel` (floor 1) may not use `shibuya-sync` (floor 1)";
    assert_eq!(
        tried("shibuya-cancel", "shibuya-sync", false, true),
        [complaint]
    );
    let complaint = "`shibuya-waitlist` (floor 0) may not use `shibuya-pool` (floor 4)";
    assert_eq!(
        tried("shibuya-waitlist", "shibuya-pool", false, true),
        [complaint]
    );
    let complaint = "`shibuya-pool` (floor 4) may not use `shibuya-testkit` (for tests only)";
    assert_eq!(tried("shibuya-pool", SCAFFOLD, false, true), [complaint]);
    let complaint = "`shibuya-testkit` (for tests only) may not use `shibuya-waitlist` (floor 0)";
    assert_eq!(
        tried(SCAFFOLD, "shibuya-waitlist", false, true),
        [complaint]
    );
}

#[test]
fn a_crate_without_a_floor_is_named() {
    let complaints = tried("shibuya-attic", "shibuya-waitlist", false, true);
    assert!(
        complaints[0].starts_with("`shibuya-attic` has no floor: give it one in FLOORS"),
        "{complaints:?}"
    );
}

#[test]
fn a_versioned_test_dependency_from_above_is_named() {
    let complaints = tried("shibuya-waitlist", SCAFFOLD, true, true);
    assert!(complaints[0].contains("by path alone"), "{complaints:?}");
}
