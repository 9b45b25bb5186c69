//! `--tree`: what runs, on standard error.

use std::io::{BufRead, BufReader, Read};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::run::{Report, command, signal};
use crate::server::{Reply, Server, html, not_found, page};

#[test]
fn a_crawl_that_stands_still_says_at_a_signal_what_it_waits_for() {
    let (request, requested) = channel();
    let request = Mutex::new(request);
    let server = Server::start(move |path| match path {
        "/" => html("<a href=/hang>"),
        "/hang" => {
            request.lock().unwrap().send(()).unwrap();
            Reply::Hang
        }
        _ => not_found(),
    });
    let arguments = ["--tree", "--json", "--concurrency", "2"];
    let mut child = command(&arguments).arg(server.url("/")).spawn().unwrap();
    requested.recv().unwrap();
    signal(&child, "USR1");

    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(line(), "crawl: asked for what runs\n");
    let mut tree: Vec<String> = (0..5).map(|_| line()).collect();
    for line in &mut tree {
        // Without the place in the code, and what it does this very moment.
        line.truncate(line.rfind(" (").expect("each line has its place"));
        line.truncate(line.rfind(": ").unwrap_or(line.len()));
    }
    // Which worker took the page, and so where in the tree it is, is a matter of chance.
    let worker = |n| format!("─ worker {n}");
    let visit = format!("─ step {}", server.url("/hang"));
    assert_eq!(tree[0], "crawl");
    for part in [&worker(1), &worker(2), &visit] {
        assert!(tree.iter().any(|line| line.ends_with(part)), "{tree:#?}");
    }
    let visit = tree.iter().position(|line| line.ends_with(&visit)).unwrap();
    assert!(tree[visit + 1].ends_with("─ step connect and wait for the answer"));

    // It goes on as if nobody had asked.
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("crawl: interrupted"), "{rest}");
    assert_eq!(Report::of(&output).json["stopped"], "interrupted");
}

#[test]
fn a_wait_for_another_attempt_has_a_name() {
    let server = Server::start(|path| match path {
        "/" => page("503 Later", "Retry-After: 30\r\n", ""),
        _ => not_found(),
    });
    let mut child = command(&["--tree", "--json"])
        .arg(server.url("/"))
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    // Nobody outside is told when it begins to wait, so it is asked until it does; and not before it listens, as SIGUSR1 ends
    // who doesn't.
    while server.requests() == 0 {
        std::thread::yield_now();
    }
    let mut lines = BufReader::new(stderr).lines();
    loop {
        signal(&child, "USR1");
        let dump: Vec<String> = (0..4).map(|_| lines.next().unwrap().unwrap()).collect();
        assert_eq!(dump[0], "crawl: asked for what runs");
        if dump[3].contains("─ step wait before another attempt (") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
