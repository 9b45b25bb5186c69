//! What holds under `panic = "abort"`, seen from outside: the program is built a second time, with that profile.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program as the tests have it, which unwinds.
fn unwinding() -> PathBuf {
    env!("CARGO_BIN_EXE_shibuya-abort").into()
}

/// The program as built with `panic = "abort"`. The folder is its own, so that neither build throws the other's away: some ten
/// crates the first time, and nothing from then on.
fn aborting() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abort");
    let build = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--offline", "--locked"])
        .args(["--config", "profile.dev.panic='abort'"])
        .args(["--config", "profile.dev.debug=false"])
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "{complaints}");
    let name = format!("shibuya-abort{}", std::env::consts::EXE_SUFFIX);
    target.join("debug").join(name)
}

fn run(program: &Path, what: &str) -> (Output, String, String) {
    let output = Command::new(program)
        .arg(what)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (output, stdout, stderr)
}

#[test]
fn all_but_panics_is_as_ever() {
    let (aborting, unwinding) = (aborting(), unwinding());
    for (program, how) in [(aborting, "aborts"), (unwinding, "unwinds")] {
        let (output, stdout, stderr) = run(&program, "calm");
        assert!(output.status.success(), "{how}: {stdout}{stderr}");
        assert!(
            stdout.starts_with(how) && stdout.ends_with("all is as ever\n"),
            "{stdout}"
        );
    }
}

#[test]
fn a_panic_ends_the_process_at_once_with_its_message() {
    let (output, stdout, stderr) = run(&aborting(), "panic");
    assert!(!output.status.success());
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGABRT: i32 = 6;
        assert_eq!(output.status.signal(), Some(SIGABRT), "{stderr}");
    }
    assert!(
        stderr.contains("boom") && stderr.contains("main.rs"),
        "{stderr}"
    );
    assert_eq!(
        stdout, "aborts\nbefore\n",
        "no destructor ran, and no group reported"
    );
}

/// The same program tells of the panic where it can: so the test above sees the setting, and not the program.
#[test]
fn where_it_unwinds_the_group_reports_it() {
    let (output, stdout, stderr) = run(&unwinding(), "panic");
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(
        lines[..4],
        ["unwinds", "before", "dropped", "task group: 1 failure"]
    );
    assert!(lines[4].ends_with("panicked: boom"), "{stdout}");
}
