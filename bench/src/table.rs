//! The report for people: aligned on a terminal, or as Markdown for the book.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::figure::Extra;
use crate::machine::Machine;
use crate::report::{CaseReport, ContenderReport, Figures, Report};
use crate::stats::Summary;
use crate::targets::{Judged, Verdict};

type Line = Vec<String>;

/// A case as an aligned table.
pub(crate) fn text(case: &CaseReport) -> String {
    let lines = lines(case);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();

    let mut out = format!("\n{} ({}): {}\n", case.name, case.runtime, case.about);
    for line in &lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right.
            let _ = match column {
                0 => write!(row, "  {cell:<width$}"),
                _ => write!(row, "  {cell:>width$}"),
            };
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// What became of the targets, one per line.
pub(crate) fn verdicts(targets: &[Judged]) -> String {
    let mut out = String::new();
    for target in targets {
        let (word, found) = verdict(target);
        let _ = writeln!(
            out,
            "{word:<7} {} ({}): {}; found {found}",
            target.name, target.case, target.asked
        );
    }
    out
}

/// The whole report as a page's body: sections of level 3 and tables.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = provenance(&report.machine);
    for case in &report.cases {
        let _ = write!(
            out,
            "\n## `{}`\n\n{} Runtime: {}; {} rounds.\n\n",
            case.name, case.about, case.runtime, case.rounds
        );
        markdown_table(&mut out, &lines(case));
    }
    if !report.targets.is_empty() {
        out.push_str("\n## Targets\n\n");
        let mut lines = vec![
            ["Target", "Case", "Asked", "Found", ""]
                .map(str::to_owned)
                .to_vec(),
        ];
        lines.extend(report.targets.iter().map(|target| {
            let (word, found) = verdict(target);
            let case = format!("`{}`", target.case);
            vec![
                target.name.clone(),
                case,
                target.asked.clone(),
                found,
                word.to_owned(),
            ]
        }));
        markdown_table(&mut out, &lines);
    }
    out
}

fn provenance(machine: &Machine) -> String {
    let versions: Vec<String> = machine
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let load = machine.load.map_or(String::new(), |load| {
        format!(" (load average when it began: {load})")
    });
    format!(
        "Measured on {} ({} cores, {}), {}, {}, by `{}`{load}. Against {}.\n",
        machine.model,
        machine.cores,
        machine.os,
        machine.rustc,
        machine.date,
        machine.command,
        versions.join(", ")
    )
}

fn markdown_table(out: &mut String, lines: &[Line]) {
    for (index, line) in lines.iter().enumerate() {
        // `Vec<T>` is no tag.
        let plain = |cell: &String| cell.replace('|', "\\|").replace('<', "\\<");
        let cells: Vec<String> = line.iter().map(plain).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if index == 0 {
            let rule = ["---:"].repeat(line.len() - 1).join("|");
            let _ = writeln!(out, "|---|{rule}|");
        }
    }
}

/// The header and one line per contender.
fn lines(case: &CaseReport) -> Vec<Line> {
    let figures = case.contenders.iter().filter_map(|c| c.figures.as_ref());
    let extra: BTreeSet<Extra> = figures.flat_map(|f| f.extra.keys().copied()).collect();
    let ratio = format!("× {}", case.base);
    let header = [
        "",
        "ns",
        "min – max",
        &ratio,
        "middle half",
        "CPU ns",
        "allocs",
        "bytes",
    ];
    let header = header
        .into_iter()
        .chain(extra.iter().map(|extra| extra.head()));
    std::iter::once(header.map(str::to_owned).collect())
        .chain(case.contenders.iter().map(|c| line(c, &extra)))
        .collect()
}

fn line(contender: &ContenderReport, extra: &BTreeSet<Extra>) -> Line {
    let mut line = vec![contender.name.to_owned()];
    let Some(figures) = &contender.figures else {
        line.push(contender.left_out.clone().unwrap_or_default());
        return line;
    };
    let Figures { ns, cpu_ns, .. } = figures;
    let (ratio, spread) = match &figures.ratio {
        Some(ratio) => (two(ratio.median), range(ratio, two)),
        None => (String::new(), String::new()),
    };
    line.extend([
        time(ns.median),
        format!("{} – {}", time(ns.min), time(ns.max)),
        ratio,
        spread,
        time(cpu_ns.median),
        two(figures.allocs.median),
        time(figures.bytes.median),
    ]);
    line.extend(extra.iter().map(|extra| match figures.extra.get(extra) {
        Some(figure) => extra.show(figure.median),
        None => String::new(),
    }));
    line
}

fn verdict(target: &Judged) -> (&'static str, String) {
    let found = |figure: &Summary| format!("{} ({})", two(figure.median), range(figure, two));
    match &target.verdict {
        Verdict::Held { figure } => ("held", found(figure)),
        Verdict::Missed { figure } => ("MISSED", found(figure)),
        Verdict::Unknown { why } => ("UNKNOWN", why.clone()),
    }
}

/// The middle half.
fn range(summary: &Summary, format: fn(f64) -> String) -> String {
    format!("{} – {}", format(summary.q1), format(summary.q3))
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

/// Small figures need their decimals, large ones hide behind them.
fn time(value: f64) -> String {
    if value.abs() < 20.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
