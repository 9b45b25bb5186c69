//! Where and with what a run was made: a figure without it says nothing.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::case::Area;
use crate::cli::Options;

/// The circumstances of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) model: String,
    pub(crate) cores: usize,
    pub(crate) os: String,
    pub(crate) rustc: &'static str,
    /// When the run began, in UTC.
    pub(crate) date: String,
    pub(crate) command: String,
    /// Load average of the last minute when the run began: whether the machine had other things to do.
    pub(crate) load: Option<f64>,
    /// The versions of the crates that are compared.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Machine {
    /// Of a run with these options, of these areas.
    pub(crate) fn here(options: &Options, areas: &[Area]) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            model: model(&cpuinfo).unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: format!("{} {}", std::env::consts::OS, kernel.trim())
                .trim()
                .to_owned(),
            rustc: env!("BENCH_RUSTC"),
            date: jiff::Timestamp::now().strftime("%F %R UTC").to_string(),
            command: command(options),
            load: loadavg.split(' ').next().and_then(|load| load.parse().ok()),
            versions: versions(include_str!("../Cargo.lock"), areas),
        }
    }
}

/// The command that repeats this run; where its results were written is nobody else's business.
fn command(options: &Options) -> String {
    let mut command = "cargo run --release --manifest-path bench/Cargo.toml --".to_owned();
    if let Some(area) = &options.area {
        command += &format!(" {area}");
    }
    if options.check {
        command += " --check";
    }
    if options.rounds != Options::default().rounds {
        command += &format!(" --rounds {}", options.rounds);
    }
    if !options.filter.is_empty() {
        command += &format!(" --filter {:?}", options.filter);
    }
    command
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']))
}

/// Of the crates that these areas compare.
fn versions(lock: &str, areas: &[Area]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(lock).expect("Cargo writes a well-formed lock file");
    lock.package
        .into_iter()
        .filter(|package| {
            let is_compared = |area: &Area| area.compared.contains(&package.name.as_str());
            areas.iter().any(is_compared)
        })
        .map(|package| (package.name, package.version))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{areas, cli};

    #[test]
    fn the_model_is_read_without_its_label() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nstepping\t: 1\n";
        assert_eq!(model(cpuinfo), Some("Some CPU @ 3 GHz"));
        assert_eq!(model(""), None);
    }

    #[test]
    fn all_compared_crates_are_locked() {
        let areas = areas::all();
        let versions = versions(include_str!("../Cargo.lock"), &areas);
        let mut compared = areas.iter().flat_map(|area| area.compared);
        assert!(compared.all(|name| versions.contains_key(*name)));
    }

    #[test]
    fn the_command_can_be_repeated() {
        let repeated = |line: &str| match cli::parse(line.split(' ')) {
            Ok(cli::Request::Bench(options)) => command(&options),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            repeated("taskgroup --json a.json --check"),
            "cargo run --release --manifest-path bench/Cargo.toml -- taskgroup --check"
        );
        assert!(repeated("--rounds 3 --filter map").ends_with("-- --rounds 3 --filter \"map\""));
    }
}
