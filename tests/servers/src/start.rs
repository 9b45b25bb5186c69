//! What becomes of a program on its way to a server that is ready.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

use crate::folder::Folder;
use crate::process::Process;

/// How long a server may take until it is ready, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// How many ports are tried: another program may take one between the moment it was free and the server's start.
const PORTS: usize = 10;

/// What is particular to a kind of server.
pub(crate) trait Kind {
    const PROGRAM: &str;

    /// The arguments.
    fn arguments(&self, address: SocketAddr, folder: &Path) -> Vec<String>;

    /// Whether the server with that process id answers. Another one may have taken the port.
    fn is_ready(&self, address: SocketAddr, id: u32) -> bool;
}

/// A server of some kind, and where it is.
#[derive(Debug)]
pub(crate) struct Server<K> {
    kind: K,
    address: SocketAddr,
    /// `None` while it is down. It goes before the folder.
    process: Option<Process>,
    folder: Folder,
}

impl<K: Kind> Server<K> {
    /// `None`, with a word on it, if there is no such program.
    #[track_caller]
    pub(crate) fn start(mut kind: K) -> Option<Self> {
        if !is_installed(K::PROGRAM) {
            return missing(
                K::PROGRAM,
                env::var_os("SHIBUYA_REQUIRE_SERVERS").is_some_and(|it| it == "1"),
            );
        }
        let mut complaint = String::new();
        for _ in 0..PORTS {
            let mut server = Self {
                address: free_port().expect("a free port"),
                process: None,
                folder: Folder::new(K::PROGRAM).expect("a temporary folder"),
                kind,
            };
            match server.launch() {
                Ok(()) => return Some(server),
                Err(error) => complaint = error,
            }
            kind = server.kind;
        }
        panic!("{complaint}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    pub(crate) fn signal(&mut self, name: &str) {
        let process = self.process.as_mut().expect("the server is down");
        process.signal(name).expect("its shell listens");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().expect("its shell ends");
        }
    }

    /// Starts it again on its port, which others may have for a moment.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut complaint = String::new();
        for _ in 0..PORTS {
            match self.launch() {
                Ok(()) => return,
                Err(error) => complaint = error,
            }
            sleep(50 * PAUSE);
        }
        panic!("{complaint}");
    }

    fn launch(&mut self) -> Result<(), String> {
        let arguments = self.kind.arguments(self.address, self.folder.path());
        let command = std::iter::once(K::PROGRAM.to_owned()).chain(arguments);
        let process = Process::spawn(self.folder.path(), command)
            .map_err(|error| format!("{}: {error}", K::PROGRAM))?;
        let began = Instant::now();
        let complaint = |what: &str| Err(format!("{} {what}:\n{}", K::PROGRAM, process.output()));
        while !self.kind.is_ready(self.address, process.id()) {
            if process.has_ended() {
                return complaint("ended");
            }
            if began.elapsed() > LIMIT {
                return complaint("was not ready in time");
            }
            sleep(PAUSE);
        }
        self.process = Some(process);
        Ok(())
    }
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[track_caller]
fn missing<T>(program: &str, is_required: bool) -> Option<T> {
    assert!(
        !is_required,
        "`{program}` is missing, and SHIBUYA_REQUIRE_SERVERS=1"
    );
    eprintln!("skipped: `{program}` is missing");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told() {
        assert!(!is_installed("no-such-program"));
        assert!(is_installed("sh"));
        assert_eq!(missing::<()>("no-such-program", false), None);
    }

    #[test]
    #[should_panic(expected = "`no-such-program` is missing, and SHIBUYA_REQUIRE_SERVERS=1")]
    fn a_missing_program_fails_the_test_where_it_is_required() {
        missing::<()>("no-such-program", true);
    }
}
