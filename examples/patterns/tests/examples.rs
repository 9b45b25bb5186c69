//! Runs every example of this package, and keeps the table of the gallery.

use std::fs;
use std::path::Path;

use gallery::{Example, examples_of};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn every_example_prints_what_it_states() {
    let mut wrong = Vec::new();
    for example in examples_of(here()) {
        if let Err(why) = example.run([("", ""); 0]).await {
            wrong.push(format!("{}: {why}", example.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `UPDATE=1 cargo test -p patterns` writes it anew.
#[test]
fn the_gallery_lists_every_example() {
    const BEGIN: &str = "<!-- begin: written from the top of each example by `UPDATE=1 cargo test -p patterns` -->\n";
    const END: &str = "<!-- end -->";
    let file = here().join("../README.md");
    let page = fs::read_to_string(&file).unwrap();
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the line that begins the table");
    let (_, after) = rest.split_once(END).expect("the line that ends the table");
    let packages = ["patterns", "services"].map(|package| here().with_file_name(package));
    let examples = packages.iter().flat_map(|package| examples_of(package));
    let row = |example: Example| {
        let Example {
            package,
            name,
            title,
            shows,
            ..
        } = example;
        format!("| [`{name}`]({package}/examples/{name}.rs) | **{title}.** {shows} |\n")
    };
    let rows: String = examples.map(row).collect();
    let fresh =
        format!("{before}{BEGIN}\n| example | what it shows |\n|---|---|\n{rows}\n{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, fresh).unwrap();
    } else {
        assert!(
            page == fresh,
            "examples/README.md is out of date: run `UPDATE=1 cargo test -p patterns`"
        );
    }
}

#[test]
fn the_book_names_examples_that_exist() {
    const RUN: &str = "cargo run -p patterns --example ";
    let mut named = 0;
    for chapter in fs::read_dir(here().join("../../docs/src/en")).unwrap() {
        let chapter = chapter.unwrap().path();
        let Ok(text) = fs::read_to_string(&chapter) else {
            continue; // a folder
        };
        for rest in text.split(RUN).skip(1) {
            let ends = |c: char| !c.is_alphanumeric() && c != '_';
            let name = rest.split(ends).next().unwrap();
            let file = here().join(format!("examples/{name}.rs"));
            assert!(file.exists(), "{}: no {name}", chapter.display());
            named += 1;
        }
    }
    assert!(named > 0, "no chapter names an example");
}
