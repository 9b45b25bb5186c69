#![doc = include_str!("../README.md")]

mod alloc;
mod areas;
mod case;
mod cli;
mod figure;
mod machine;
mod meter;
mod report;
mod rss;
mod runner;
mod sample;
mod stats;
mod table;
mod targets;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use case::Area;
use cli::{Options, Request};
use report::{CaseReport, Report};
use targets::Verdict;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    match cli::parse(std::env::args_os().skip(1))? {
        Request::Help => println!("{}", cli::USAGE),
        Request::List => list(),
        Request::Sample {
            area,
            case,
            contender,
        } => take_sample(&area, &case, &contender)?,
        Request::Bench(options) => return bench(&options),
    }
    Ok(ExitCode::SUCCESS)
}

fn list() {
    for area in areas::all() {
        for case in area.cases {
            println!("{} {}", area.name, case.name);
            for contender in case.contenders {
                println!("    {}", contender.name);
            }
        }
    }
}

/// The child: prints one line of JSON.
fn take_sample(area: &str, case: &str, contender: &str) -> Result<(), Box<dyn Error>> {
    let areas = areas::all();
    let area = areas.iter().find(|a| a.name == area);
    let case = area.and_then(|area| area.cases.iter().find(|c| c.name == case));
    let case = case.ok_or("no such case")?;
    let contender = case.contenders.iter().find(|c| c.name == contender);
    let contender = contender.ok_or("no such contender")?;
    println!("{}", serde_json::to_string(&sample::take(case, contender))?);
    Ok(())
}

fn bench(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let areas = selected(options)?;
    let machine = machine::Machine::here(options, &areas);
    let mut measured = Vec::new();
    let mut cases = Vec::new();
    for area in &areas {
        for case in area
            .cases
            .iter()
            .filter(|c| c.name.contains(&options.filter))
        {
            let result = runner::measure(area, case, options.rounds);
            let case = CaseReport::new(&result);
            print!("{}", table::text(&case));
            cases.push(case);
            measured.push(result);
        }
    }
    if measured.is_empty() {
        return Err(format!("no case contains {:?}", options.filter).into());
    }

    let targets = targets::judge_all(&targets::all(), &measured);
    print!("\n{}", table::verdicts(&targets));
    let met = targets
        .iter()
        .all(|t| matches!(t.verdict, Verdict::Held { .. }));
    let report = Report {
        machine,
        cases,
        targets,
    };
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &options.markdown {
        fs::write(path, table::markdown(&report))?;
    }
    Ok(ExitCode::from(u8::from(options.check && !met)))
}

fn selected(options: &Options) -> Result<Vec<Area>, String> {
    let mut areas = areas::all();
    if let Some(name) = &options.area {
        let known: Vec<&str> = areas.iter().map(|area| area.name).collect();
        if !known.contains(&name.as_str()) {
            return Err(format!("no area {name:?}; there are: {}", known.join(", ")));
        }
        areas.retain(|area| area.name == name);
    }
    Ok(areas)
}
