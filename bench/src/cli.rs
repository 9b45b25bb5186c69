//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

pub(crate) const USAGE: &str = "\
Usage: cargo run --release --manifest-path bench/Cargo.toml -- [AREA] [OPTIONS]

Measures ours, the best peers and raw Tokio, interleaved round by round.
Without an AREA, all of them.

  --check          exit with 1 and name each target of targets.toml that is missed
  --rounds N       rounds per case (default 15; slow cases make fewer)
  --filter TEXT    only cases whose name contains TEXT
  --json FILE      write everything that was measured
  --markdown FILE  write the tables for the book
  --list           name the cases and their contenders, measure nothing
  --help";

/// Marks a process as the child that takes one sample. Between the bench and itself.
pub(crate) const SAMPLE: &str = "__sample";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    List,
    Bench(Options),
    Sample {
        area: String,
        case: String,
        contender: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) area: Option<String>,
    pub(crate) check: bool,
    pub(crate) rounds: usize,
    pub(crate) filter: String,
    pub(crate) json: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            area: None,
            check: false,
            rounds: 15,
            filter: String::new(),
            json: None,
            markdown: None,
        }
    }
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse<I>(args: I) -> Result<Request, lexopt::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(Request::Help),
            Long("list") => return Ok(Request::List),
            Long("check") => options.check = true,
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("filter") => options.filter = parser.value()?.string()?,
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("markdown") => options.markdown = Some(parser.value()?.into()),
            Value(word) if word == SAMPLE => {
                return Ok(Request::Sample {
                    area: parser.value()?.string()?,
                    case: parser.value()?.string()?,
                    contender: parser.value()?.string()?,
                });
            }
            Value(area) if options.area.is_none() => options.area = Some(area.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    if options.rounds == 0 {
        return Err("--rounds: at least one".into());
    }
    Ok(Request::Bench(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said_at_once() {
        let line = "taskgroup --check --rounds 3 --filter map --json a.json --markdown b.md";
        let options = Options {
            area: Some("taskgroup".to_owned()),
            check: true,
            rounds: 3,
            filter: "map".to_owned(),
            json: Some("a.json".into()),
            markdown: Some("b.md".into()),
        };
        let request = parse(line.split(' ')).unwrap();
        assert_eq!(request, Request::Bench(options));
    }

    #[test]
    fn nothing_said_means_everything() {
        let request = parse([""; 0]).unwrap();
        assert_eq!(request, Request::Bench(Options::default()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["a b", "--rounds 0", "--rounds many", "--chekc", "--json"] {
            assert!(parse(line.split(' ')).is_err(), "{line}");
        }
    }
}
