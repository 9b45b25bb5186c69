//! Ctrl-C.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::run::{Report, command, signal};
use crate::server::{Reply, Server, html, not_found};

/// A site with a page that hangs and one that answers when it is told to.
struct Slow {
    server: Server,
    requested: Receiver<()>,
    release: Sender<()>,
}

fn slow_site() -> Slow {
    let (request, requested) = channel();
    let (release, released) = channel();
    let (request, released) = (Mutex::new(request), Mutex::new(released));
    let server = Server::start(move |path| match path {
        "/" => html("<a href=/slow><a href=/hang>"),
        "/slow" => {
            request.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            html("<title>Slow</title><a href=/never>")
        }
        "/hang" => {
            request.lock().unwrap().send(()).unwrap();
            Reply::Hang
        }
        _ => not_found(),
    });
    Slow {
        server,
        requested,
        release,
    }
}

fn interrupt(child: &Child) {
    signal(child, "INT");
}

/// Spawns a crawl, and interrupts it when both pages are under way.
fn interrupted(site: &Slow) -> (Child, impl BufRead) {
    let mut child = command(&["--json", &site.server.url("/")]).spawn().unwrap();
    for _ in 0..2 {
        site.requested.recv().unwrap();
    }
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("crawl: interrupted"), "{line}");
    (child, stderr)
}

#[test]
fn the_first_lets_requests_end_and_prints_the_report() {
    let site = slow_site();
    let (child, mut stderr) = interrupted(&site);
    site.release.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();

    let report = Report::of(&output);
    assert_eq!((report.status, report.checked()), (0, 2));
    assert_eq!(report.titles()[&site.server.url("/slow")], "Slow");
    assert_eq!(report.json["stopped"], "interrupted");
    assert_eq!(
        report.json["unvisited"], 2,
        "the page that hangs, and the one that was found too late"
    );
}

#[test]
fn the_second_ends_it_at_once() {
    let site = slow_site();
    let (mut child, _stderr) = interrupted(&site);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
