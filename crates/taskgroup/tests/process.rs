//! Child processes: how they end, with all that they started, and that none is left behind.
//!
//! Each test marks its processes by a word in their environment, which those that they start inherit, and finds them by
//! it in `/proc`.
#![cfg(all(target_os = "linux", feature = "process", not(shibuya_loom)))]

mod support;

use std::error::Error;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use shibuya_cancel::{CancelScope, timeout};
use shibuya_taskgroup::process::Output;
use shibuya_taskgroup::{Reason, TaskGroup, process};
use shibuya_testkit::{Ending, Harness};
use support::{HOUR, ms, no_hang, poll_once};
use tokio::process::Command;
use tokio::task::yield_now;

const TERM: Option<i32> = Some(15);
const KILL: Option<i32> = Some(9);

/// The processes of one test.
struct Family(String);

impl Family {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (program, test) = (std::process::id(), NEXT.fetch_add(1, Relaxed));
        Self(format!("SHIBUYA_FAMILY={program}.{test}."))
    }

    fn sh(&self, script: &str) -> Command {
        let (key, value) = self.0.split_once('=').unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(key, value);
        command
    }

    /// Where the living ones are: what is dead, and only not reaped, has no environment.
    fn members(&self) -> Vec<PathBuf> {
        let word = self.0.as_bytes();
        let is_one = |dir: &PathBuf| {
            let environ = fs::read(dir.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|entry| entry == word)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes.map(|dir| dir.path()).filter(is_one).collect()
    }

    fn living(&self) -> usize {
        self.members().len()
    }

    /// How many of them are `sleep` by now. A shell that has forked is still a shell, with its traps,
    /// and what it is told then may be lost on what it becomes.
    fn sleepers(&self) -> usize {
        self.members().iter().filter(is_sleeper).count()
    }

    /// In one look, since the one that was alone before may be gone at the next.
    fn is_one_sleeper(&self) -> bool {
        matches!(&self.members()[..], [one] if is_sleeper(&one))
    }

    async fn sleep(&self, count: usize) {
        while self.sleepers() != count {
            yield_now().await;
        }
    }

    async fn are_gone(&self) {
        while self.living() != 0 {
            yield_now().await;
        }
    }
}

fn is_sleeper(dir: &&PathBuf) -> bool {
    let command = fs::read(dir.join("cmdline")).unwrap_or_default();
    command.starts_with(b"sleep\0")
}

/// The children of this program, dead ones that are not reaped included.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|dir| fs::read_to_string(dir.path().join("stat")).ok());
    let children = stats.filter_map(|stat| {
        let (id, rest) = stat.split_once(' ')?;
        let parent = rest.rsplit_once(") ")?.1.split(' ').nth(1)?;
        (parent == own).then(|| id.parse().ok())?
    });
    children.collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn it_gives_the_exit_code() {
    let family = Family::new();
    for code in [0, 3, 255] {
        let status = process(family.sh(&format!("exit {code}")))
            .run()
            .await
            .unwrap();
        assert_eq!(status.code(), Some(code));
    }
    let status = process(family.sh("kill -9 $$")).run().await.unwrap();
    assert_eq!(status.signal(), KILL);
}

/// Nobody could write to it, or read from it.
#[tokio::test]
async fn a_pipe_that_nobody_has_holds_up_nobody() {
    no_hang(async {
        let family = Family::new();
        let mut reads = family.sh("cat; echo end");
        reads.stdin(Stdio::piped());
        let output = process(reads).output().await.unwrap();
        assert_eq!(text(&output.stdout), "end\n");
        let mut talks = family.sh("cat; head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
        talks
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let status = process(talks).run().await.unwrap();
        assert!(!status.success(), "its pipes are broken");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let error = process(Command::new("no-such-program"))
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "can't start `no-such-program`");
    assert!(error.is_not_found() && error.source().is_some());
    assert_eq!(error.program(), "no-such-program");
    let error = process(Command::new("/")).output().await.unwrap_err();
    assert!(!error.is_not_found(), "it is there, and no program");
}

#[tokio::test]
async fn large_output_is_read_while_it_runs() {
    no_hang(async {
        let family = Family::new();
        let script = "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2; echo end";
        let output = process(family.sh(script)).output().await.unwrap();
        assert!(output.status.success());
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (3_000_004, 2_000_000)
        );
        assert_eq!(
            (&output.stdout[3_000_000..], output.omitted),
            (&b"end\n"[..], 0)
        );
    })
    .await;
}

#[tokio::test]
async fn output_beyond_the_maximum_is_thrown_away() {
    no_hang(async {
        let family = Family::new();
        let script = "printf 123456789; head -c 1000000 /dev/zero >&2; exit 4";
        let run = process(family.sh(script)).max_output(5).output();
        let output = run.await.unwrap();
        assert_eq!((text(&output.stdout), output.stderr.len()), ("12345", 5));
        assert_eq!(
            (output.omitted, output.status.code()),
            (4 + 999_995, Some(4))
        );
    })
    .await;
}

#[tokio::test]
async fn what_it_leaves_running_is_killed() {
    no_hang(async {
        let family = Family::new();
        let status = process(family.sh("sleep 1000 & sleep 1000 & exit 0"))
            .run()
            .await;
        assert!(status.unwrap().success());
        family.are_gone().await;
        // They hold the pipe, too.
        let output = process(family.sh("sleep 1000 & echo done"))
            .output()
            .await
            .unwrap();
        assert_eq!(text(&output.stdout), "done\n");
        family.are_gone().await;
    })
    .await;
}

/// Runs a script in a scope with a long grace, and cancels it once so many of its processes sleep.
async fn cancelled_at(family: &Family, script: &str, count: usize, grace: Duration) -> Output {
    let scope = CancelScope::builder().grace(HOUR).build();
    let run = process(family.sh(script)).grace(grace).output();
    let (output, ()) = tokio::join!(scope.run(run), async {
        family.sleep(count).await;
        scope.cancel(Reason::Shutdown);
    });
    output.unwrap().unwrap()
}

#[tokio::test]
async fn a_cancelled_scope_ends_all_of_the_tree() {
    no_hang(async {
        let family = Family::new();
        let script = "sh -c 'sleep 1000 & sleep 1000 & wait' & sleep 1000 & wait";
        let output = cancelled_at(&family, script, 3, HOUR).await;
        assert_eq!(output.status.signal(), TERM);
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn it_has_its_grace_to_say_goodbye() {
    no_hang(async {
        let family = Family::new();
        let script = "trap 'echo bye; exit 7' TERM; sleep 1000 & wait";
        let output = cancelled_at(&family, script, 1, HOUR).await;
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            ("bye\n", Some(7))
        );
        family.are_gone().await;
    })
    .await;
}

/// The shell dies of the signal at once. What it runs goes on within the grace, and is waited for.
#[tokio::test]
async fn the_others_of_the_tree_have_their_grace_too() {
    no_hang(async {
        let family = Family::new();
        let dir = std::env::temp_dir().join(family.0.replace('=', "-"));
        fs::create_dir(&dir).unwrap();
        let dir = dir.display();
        let inner =
            format!("trap \"sleep 0.05; echo bye > {dir}/said; exit\" TERM; sleep 1000 & wait");
        let script = format!("sh -c '{inner}'; exit 0");
        let scope = CancelScope::builder().grace(HOUR).build();
        let run = process(family.sh(&script)).grace(HOUR).run();
        let (status, ()) = tokio::join!(scope.run(run), async {
            family.sleep(1).await;
            scope.cancel(Reason::Shutdown);
        });
        assert_eq!(status.unwrap().unwrap().signal(), TERM);
        let said = fs::read_to_string(format!("{dir}/said"));
        fs::remove_dir_all(dir.to_string()).unwrap();
        assert_eq!(said.unwrap(), "bye\n", "killed before it could say it");
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn what_ignores_the_signal_is_killed_when_the_grace_is_over() {
    no_hang(async {
        let family = Family::new();
        let script = "trap '' TERM; echo deaf; sleep 1000; sleep 1000";
        let output = cancelled_at(&family, script, 1, ms(30)).await;
        assert_eq!(
            (output.status.signal(), text(&output.stdout)),
            (KILL, "deaf\n")
        );
        family.are_gone().await;
    })
    .await;
}

/// Its parent is gone at once, and it does not hear.
#[tokio::test]
async fn a_deaf_grandchild_is_killed_when_the_grace_is_over() {
    no_hang(async {
        let family = Family::new();
        let script = "(trap '' TERM; sleep 1000; sleep 1000); exit 0";
        let output = cancelled_at(&family, script, 1, ms(30)).await;
        assert_eq!(output.status.signal(), TERM);
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_timeout_kills_the_tree_at_once() {
    no_hang(async {
        let family = Family::new();
        let run = process(family.sh("trap '' TERM; sleep 1000 & sleep 1000 & wait"))
            .grace(HOUR)
            .run();
        assert!(timeout(ms(20), run).await.is_err());
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_sibling_takes_it_along() {
    no_hang(async {
        let family = Family::new();
        let failed = TaskGroup::run(async |g| {
            let sleeper = process(family.sh("sleep 1000 & wait")).run();
            g.spawn(async { sleeper.await.map_err(|error| error.to_string()) });
            family.sleep(1).await;
            Err::<(), _>("enough".to_owned())
        });
        assert_eq!(
            failed.await.unwrap_err().into_first_error().unwrap(),
            "enough"
        );
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_process_is_killed_and_reaped() {
    no_hang(async {
        let family = Family::new();
        let mut run =
            Box::pin(process(family.sh("trap '' TERM; sleep 1000 & sleep 1000 & wait")).run());
        assert!(poll_once(run.as_mut()).await.is_pending());
        family.sleep(2).await;
        // Those of other tests among them end as well.
        let before = children();
        drop(run);
        family.are_gone().await;
        while before.iter().any(|id| children().contains(id)) {
            yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_runtime_that_shuts_down_kills_it() {
    let family = Family::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(process(family.sh("trap '' TERM; sleep 1000 & sleep 1000 & wait")).run());
    while family.sleepers() != 2 {
        std::thread::yield_now();
    }
    drop(runtime);
    while family.living() != 0 {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn nothing_starts_before_the_first_poll() {
    let family = Family::new();
    let run = process(family.sh("sleep 1000")).run();
    let output = process(family.sh("sleep 1000")).output();
    assert_eq!(family.living(), 0);
    drop((run, output));
}

/// A process that left the group has the pipe: the wait for the end of the output ends with the scope.
#[tokio::test]
async fn a_daemon_that_keeps_the_pipe_holds_up_nobody_for_ever() {
    no_hang(async {
        let family = Family::new();
        // It writes once it has left, and the shell ends then.
        let daemon = "echo left; echo $$ >&3; exec sleep 1000 >&3";
        let script = format!("exec 3>&1; setsid -f sh -c '{daemon}' | read said; exit 0");
        let scope = CancelScope::builder().grace(HOUR).build();
        let run = process(family.sh(&script)).grace(ms(10)).output();
        let (output, ()) = tokio::join!(scope.run(run), async {
            while !family.is_one_sleeper() {
                yield_now().await;
            }
            scope.cancel(Reason::Shutdown);
        });
        let output = output.unwrap().unwrap();
        assert!(output.status.success());
        let daemon = text(&output.stdout).trim();
        let kill = Command::new("kill").args(["-9", daemon]).status();
        assert!(kill.await.unwrap().success());
        family.are_gone().await;
    })
    .await;
}

#[tokio::test]
async fn it_can_be_dropped_at_every_poll() {
    let limit = Duration::from_secs(20);
    let report = Harness::new("ProcessOutput")
        .limit(limit)
        .run(
            async || {
                let family = Family::new();
                let script =
                    "sleep 1000 & echo a; sh -c 'echo b >&2'; echo c; kill $!; wait; exit 5";
                let output = process(family.sh(script)).output();
                (family, output)
            },
            async |family, ending| {
                if let Ending::Completed(output) = ending {
                    let output = output.unwrap();
                    assert_eq!(output.status.code(), Some(5));
                    assert_eq!(
                        (text(&output.stdout), text(&output.stderr)),
                        ("a\nc\n", "b\n")
                    );
                }
                family.are_gone().await;
            },
        )
        .await;
    assert!(report.polls >= 2, "{report:?}");

    let report = Harness::new("RunProcess")
        .limit(limit)
        .run(
            async || {
                let family = Family::new();
                let scope = CancelScope::builder().grace(HOUR).build();
                let script = "(trap '' TERM; sleep 1000; sleep 1000); exit 0";
                let run = process(family.sh(script)).grace(ms(20)).run();
                let stop = scope.clone();
                let marked = Family(family.0.clone());
                let run = async move {
                    let (status, ()) = tokio::join!(scope.run(run), async {
                        marked.sleep(1).await;
                        stop.cancel(Reason::Shutdown);
                    });
                    status.unwrap().unwrap()
                };
                (family, run)
            },
            async |family, ending| {
                if let Ending::Completed(status) = ending {
                    assert_eq!(status.signal(), TERM);
                }
                family.are_gone().await;
            },
        )
        .await;
    assert!(report.polls >= 3, "{report:?}");
}
