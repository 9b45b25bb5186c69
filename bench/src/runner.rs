//! The parent's side: contenders round by round, each sample in a process of its own.
//!
//! Contenders that share a process inherit each other's heap, and one that runs later finds it fragmented or warm.
//! Samples of one round stand next to each other in time, so that what else the machine does hits all of them.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::case::{Area, Case, Contender};
use crate::cli::SAMPLE;
use crate::sample::Sample;

/// All samples of a case.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) area: &'static str,
    pub(crate) case: &'a Case,
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row<'a>>,
}

/// All samples of a contender.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) contender: &'a Contender,
    /// One per round, or why there are none.
    pub(crate) samples: Result<Vec<Sample>, String>,
}

/// Runs a case for at most `rounds` rounds.
pub(crate) fn measure<'a>(area: &Area, case: &'a Case, rounds: usize) -> Measured<'a> {
    let rounds = rounds.min(case.max_rounds);
    let mut rows: Vec<Row<'a>> = case
        .contenders
        .iter()
        .map(|contender| Row {
            contender,
            samples: Ok(Vec::with_capacity(rounds)),
        })
        .collect();

    for round in 0..rounds {
        for turn in 0..rows.len() {
            let starter = round % rows.len();
            let index = (starter + turn) % rows.len();
            let row = &mut rows[index];
            if let Ok(samples) = &mut row.samples {
                match sample(area, case, row.contender) {
                    Ok(sample) => samples.push(sample),
                    Err(why) => {
                        eprintln!("{}: {} is left out: {why}", case.name, row.contender.name);
                        row.samples = Err(why);
                    }
                }
            }
        }
    }
    Measured {
        area: area.name,
        case,
        rounds,
        rows,
    }
}

fn sample(area: &Area, case: &Case, contender: &Contender) -> Result<Sample, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(program)
        .args([SAMPLE, area.name, case.name, contender.name])
        .envs(heap(case))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("it didn't start: {error}"))?;
    let line = output(child, case.patience)?;
    serde_json::from_str(&line).map_err(|error| format!("it printed {line:?}: {error}"))
}

/// Has glibc keep what it freed, so that a warm lap finds the heap that the lap before it left.
///
/// By default it gives the top of the heap back whenever much of it is free. Each lap then pays for page faults, and how
/// many depends on whose block happens to lie on top: that more than halves the difference between some contenders and
/// turns others round. A cold case has no lap before, and asks about memory: it keeps the default.
fn heap(case: &Case) -> Vec<(&'static str, &'static str)> {
    const GIB: &str = "1073741824";
    match case.laps {
        0 => Vec::new(),
        _ => vec![
            ("MALLOC_TRIM_THRESHOLD_", GIB),
            ("MALLOC_MMAP_THRESHOLD_", GIB),
        ],
    }
}

/// The child's standard output, or why there is none: it failed, or it took longer than `patience`.
fn output(mut child: Child, patience: Duration) -> Result<String, String> {
    let (done, answer) = mpsc::channel();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let reader = thread::spawn(move || {
        let mut line = String::new();
        let mut complaint = String::new();
        // What can't be read is missing from the answer, and shows there.
        let _ = stdout.read_to_string(&mut line);
        let _ = stderr.read_to_string(&mut complaint);
        let _ = done.send((line, complaint));
    });

    let answer = answer.recv_timeout(patience);
    if answer.is_err() {
        // Fails only if the child has ended in the meantime.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    reader.join().expect("reading doesn't panic");
    match answer {
        Err(_) => Err(format!("it hung: no result after {patience:?}")),
        Ok((line, _)) if status.success() => Ok(line),
        Ok((_, complaint)) => Err(format!("it failed: {status}: {}", complaint.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_child_that_answers_is_heard() {
        let answer = output(shell("echo hello"), Duration::from_secs(30));
        assert_eq!(answer, Ok("hello\n".to_owned()));
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let why = output(
            shell("echo no such luck >&2; exit 3"),
            Duration::from_secs(30),
        );
        let why = why.unwrap_err();
        assert!(why.contains("no such luck") && why.contains('3'), "{why}");
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let why = output(shell("exec sleep 600"), Duration::from_millis(50)).unwrap_err();
        assert!(why.contains("hung"), "{why}");
    }
}
