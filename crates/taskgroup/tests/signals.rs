//! Signals, sent to a child process: this test binary, once more, which then is the service.
#![cfg(all(unix, feature = "signal", not(shibuya_loom)))]

use std::future::pending;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use shibuya_taskgroup::{Signal, cancelled, serve};
use tokio::signal::unix::{SignalKind, signal};

const SERVICE: &str = "SHIBUYA_TEST_SERVICE";
const MINUTE: Duration = Duration::from_secs(60);

/// Not a test by itself: what the others run in a process of its own.
#[tokio::test]
async fn service() {
    let Ok(kind) = std::env::var(SERVICE) else {
        return;
    };
    // Named twice, it still comes once.
    let serve = serve(MINUTE).on_signals([Signal::Term, Signal::Int, Signal::Term]);
    if kind == "starts slowly" {
        let mut term = signal(SignalKind::terminate()).unwrap();
        println!("ready");
        // Whoever listens has it now, and there is no body yet.
        term.recv().await;
    }
    let asks = kind == "asked otherwise";
    let serve = serve.on(async move {
        if !asks {
            pending::<()>().await;
        }
    });
    let served = serve.run(async |g| {
        g.task("polite").spawn(async {
            cancelled().await;
            println!("asked");
            Ok::<_, ()>(())
        });
        if kind == "deaf" || asks {
            g.task("deaf").spawn(pending::<Result<(), ()>>());
        }
        println!("ready");
        g.shutdown_requested().await;
        Ok(())
    });
    let report = served.await.report;
    println!(
        "report: {} finished, {} aborted",
        report.finished(),
        report.aborted().len()
    );
}

struct Service {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Service {
    fn start(kind: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "service", "--nocapture", "--test-threads=1"])
            .env(SERVICE, kind)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line that ends so, past what the test harness says.
    fn expect(&mut self, text: &str) {
        let found = self
            .lines
            .by_ref()
            .any(|line| line.unwrap().ends_with(text));
        assert!(found, "it never said `{text}`");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status();
        assert!(killed.unwrap().success());
    }

    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // For a test that failed; one that has ended is not hurt.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_asks() {
    for signal in ["-TERM", "-INT"] {
        let mut service = Service::start("polite");
        service.expect("ready");
        service.signal(signal);
        service.expect("asked");
        service.expect("report: 1 finished, 0 aborted");
        service.ends_well();
    }
}

#[test]
fn the_second_aborts() {
    for second in ["-TERM", "-INT"] {
        let mut service = Service::start("deaf");
        service.expect("ready");
        service.signal("-TERM");
        service.expect("asked");
        service.signal(second);
        service.expect("report: 1 finished, 1 aborted");
        service.ends_well();
    }
}

/// It is the second *signal* that aborts: an orchestrator sends its first one after other notices. (No task
/// lived yet when it was asked, so none counts as finished.)
#[test]
fn after_another_trigger_the_first_still_asks() {
    let mut service = Service::start("asked otherwise");
    service.expect("asked");
    service.signal("-TERM");
    service.signal("-INT");
    service.expect("report: 0 finished, 1 aborted");
    service.ends_well();
}

#[test]
fn one_during_start_up_counts() {
    let mut service = Service::start("starts slowly");
    service.expect("ready");
    service.signal("-TERM");
    service.expect("asked");
    service.expect("report: 0 finished, 0 aborted");
    service.ends_well();
}
