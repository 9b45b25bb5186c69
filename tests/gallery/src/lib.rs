//! Runs the examples of a package and compares what they print with what the first comment of each says.
//!
//! The comment has a title, a paragraph on what the example shows, and the output in a `text` fence. The line before the fence ends
//! in `prints:`, or in `prints, in any order:`. In the output `…` stands for any text.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long an example may run: all take milliseconds, so this is long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A program in the folder `examples` of a package.
#[derive(Debug)]
pub struct Example {
    /// Of its package.
    pub package: String,
    /// Of its file, without the ending.
    pub name: String,
    /// The first line.
    pub title: String,
    /// The first paragraph, in one line.
    pub shows: String,
    prints: Vec<String>,
    in_any_order: bool,
}

impl Example {
    fn read(package: &str, file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(file).unwrap();
        Self::parse(package, name, &source).unwrap_or_else(|missing| {
            panic!("{}: the first comment has no {missing}", file.display())
        })
    }

    fn parse(package: &str, name: &str, source: &str) -> Result<Self, &'static str> {
        let comment: Vec<&str> = source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let title = comment
            .first()
            .and_then(|line| line.strip_prefix("# "))
            .ok_or("title: `//! # …`")?;
        let paragraph: Vec<&str> = comment
            .iter()
            .skip(2)
            .take_while(|line| !line.is_empty())
            .copied()
            .collect();
        let run = format!("`cargo run -p {package} --example {name}`");
        let how = comment
            .iter()
            .find(|line| line.contains(&run))
            .ok_or("line that says how to run it")?;
        let prints = comment
            .iter()
            .skip_while(|line| **line != "```text")
            .skip(1);
        let prints: Vec<String> = prints
            .take_while(|line| **line != "```")
            .map(|line| line.to_string())
            .collect();
        match () {
            () if paragraph.is_empty() => Err("paragraph on what it shows"),
            () if prints.is_empty() => Err("output: a ```text fence"),
            () => Ok(Self {
                package: package.to_owned(),
                name: name.to_owned(),
                title: title.to_owned(),
                shows: paragraph.join(" "),
                prints,
                in_any_order: how.ends_with("prints, in any order:"),
            }),
        }
    }

    /// Where `cargo test` put it: `target/PROFILE/examples`, beside the `deps` that this test runs from.
    fn program(&self) -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        profile
            .join("examples")
            .join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX))
    }

    /// Runs it with these variables in its environment; gives what is wrong with it.
    ///
    /// # Errors
    ///
    /// When it does not end, fails, or prints something else than it states.
    pub async fn run<K, V>(&self, variables: impl IntoIterator<Item = (K, V)>) -> Result<(), String>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let program = self.program();
        let mut command = Command::new(&program);
        command.envs(variables);
        let output = match timeout(LIMIT, command.kill_on_drop(true).output()).await {
            Err(_) => return Err(format!("did not end within {LIMIT:?}")),
            Ok(Err(e)) => {
                return Err(format!(
                    "{}: {e}; `cargo test -p {}`, without `--test`, builds the examples, too",
                    program.display(),
                    self.package
                ));
            }
            Ok(Ok(output)) => output,
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{}\n{stderr}", output.status));
        }
        let printed: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        self.compare(printed)
            .map_err(|difference| format!("{difference}{stderr}"))
    }

    fn compare(&self, mut printed: Vec<String>) -> Result<(), String> {
        let mut stated = self.prints.clone();
        if self.in_any_order {
            printed.sort();
            stated.sort();
        }
        let lines = stated.len().max(printed.len());
        let line =
            |of: &[String], i: usize| of.get(i).cloned().unwrap_or_else(|| "(nothing)".into());
        let difference = |i: &usize| {
            stated
                .get(*i)
                .zip(printed.get(*i))
                .is_none_or(|(stated, printed)| !matches(stated, printed))
        };
        match (0..lines).find(difference) {
            None => Ok(()),
            Some(i) => Err(format!(
                "line {}\n  states: {}\n  prints: {}\nall that it prints:\n{}\n",
                i + 1,
                line(&stated, i),
                line(&printed, i),
                printed.join("\n")
            )),
        }
    }
}

/// Whether `line` is `pattern`, in which each `…` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    let starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    starts.into_iter().any(|at| matches(rest, &line[at..]))
}

/// The examples of the package in that folder, which has its name, ordered by theirs.
///
/// # Panics
///
/// When there is no such folder, or an example does not say what it is and what it prints.
pub fn examples_of(folder: &Path) -> Vec<Example> {
    let package = folder.file_name().unwrap().to_str().unwrap();
    let dir = fs::read_dir(folder.join("examples")).unwrap();
    let mut files: Vec<PathBuf> = dir
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| Example::read(package, file))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_any_text_at_its_dots() {
        assert!(matches("took … ms", "took 12 ms"));
        assert!(matches("…", ""));
        assert!(matches("a…b…c", "a--b--bc"));
        assert!(!matches("took … ms", "took 12 s"));
        assert!(!matches("exact", "exactly"));
    }

    #[test]
    fn a_difference_names_its_line() {
        let source = "//! # T\n//!\n//! Shows.\n//!\n//! `cargo run -p p --example e` prints:\n//!\n//! ```text\n//! a\n//! b\n//! ```\n";
        let mut example = Example::parse("p", "e", source).unwrap();
        let lines = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(example.compare(lines("a b")).is_ok());
        assert!(
            example
                .compare(lines("b a"))
                .unwrap_err()
                .starts_with("line 1\n  states: a\n  prints: b\n")
        );
        assert!(
            example
                .compare(lines("a b c"))
                .unwrap_err()
                .starts_with("line 3\n  states: (nothing)\n  prints: c\n")
        );
        assert!(
            example
                .compare(lines("a"))
                .unwrap_err()
                .contains("prints: (nothing)")
        );
        example.in_any_order = true;
        assert!(example.compare(lines("b a")).is_ok());
    }
}
