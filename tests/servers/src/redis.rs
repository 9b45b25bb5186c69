use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::start::{Kind, Server};

/// How long an answer may take; a server that is starting up says nothing at first.
const LIMIT: Duration = Duration::from_secs(5);

/// A `redis-server` on loopback. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Redis(Server<Settings>);

#[derive(Clone, Copy, Debug)]
struct Settings {
    is_durable: bool,
}

impl Kind for Settings {
    const PROGRAM: &str = "redis-server";

    fn arguments(&self, address: SocketAddr, folder: &Path) -> Vec<String> {
        let appends = if self.is_durable { "yes" } else { "no" };
        let settings = [
            ("bind", address.ip().to_string()),
            ("port", address.port().to_string()),
            ("dir", folder.display().to_string()),
            ("save", String::new()),
            ("appendonly", appends.to_owned()),
            ("appendfsync", "always".to_owned()),
        ];
        let arguments = settings.map(|(name, value)| [format!("--{name}"), value]);
        arguments.into_iter().flatten().collect()
    }

    fn is_ready(&self, address: SocketAddr, id: u32) -> bool {
        let own = format!("process_id:{id}\r\n");
        ask(address, &["INFO", "server"]).is_ok_and(|about| about.contains(&own))
            && ask(address, &["PING"]).is_ok_and(|answer| answer == "PONG")
    }
}

impl Redis {
    /// One that keeps nothing on its disk: after a restart it is empty. `None` if there is no `redis-server`.
    ///
    /// # Panics
    ///
    /// When it does not start, and when it is missing though `SHIBUYA_REQUIRE_SERVERS=1`.
    #[track_caller]
    pub fn start() -> Option<Self> {
        Server::start(Settings { is_durable: false }).map(Self)
    }

    /// One that has written to its disk whatever it has answered to: a restart forgets nothing.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start) does.
    #[track_caller]
    pub fn start_durable() -> Option<Self> {
        Server::start(Settings { is_durable: true }).map(Self)
    }

    /// Where it listens, or will again.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The address as clients want it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.0.id()
    }

    /// SIGKILL. It is gone when this returns, and its port is free.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it on the same port, in the same folder; kills it first if it runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// SIGSTOP: it accepts connections and answers nothing.
    #[track_caller]
    pub fn pause(&mut self) {
        self.0.signal("STOP");
    }

    /// SIGCONT: it goes on with what it was asked meanwhile.
    #[track_caller]
    pub fn resume(&mut self) {
        self.0.signal("CONT");
    }

    /// Sends one command, on a connection of its own, and gives the text of its answer; an array's is its items, a line each.
    ///
    /// # Errors
    ///
    /// When there is no answer within five seconds, and when it is an error.
    pub fn command(&self, words: &[&str]) -> io::Result<String> {
        ask(self.address(), words)
    }
}

fn ask(address: SocketAddr, words: &[&str]) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes())?;
    answer(&mut BufReader::new(stream))
}

fn answer(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line
        .split_at_checked(1)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = || rest.parse::<i64>().map_err(io::Error::other);
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "$" => {
            let Ok(length) = usize::try_from(length()?) else {
                return Ok(String::new()); // nil
            };
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text)?;
            text.truncate(length);
            String::from_utf8(text).map_err(io::Error::other)
        }
        "*" => {
            let items = (0..length()?).map(|_| answer(stream));
            Ok(items.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        _ => Err(io::Error::other(rest.to_owned())),
    }
}
