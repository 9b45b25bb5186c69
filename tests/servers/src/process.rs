use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A running server, held by a shell that ends it when this is dropped or the test's process dies.
#[derive(Debug)]
pub(crate) struct Process {
    keeper: Child,
    /// `None` once it was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStderr>,
    id: u32,
    output: Arc<Mutex<String>>,
    /// Ends when the server has.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` in a group of its own: a Ctrl-C is for the test.
    pub(crate) fn spawn(
        folder: &Path,
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> io::Result<Self> {
        let mut keeper = Command::new("sh")
            .args(["-c", include_str!("keeper.sh"), "keeper"])
            .arg(folder)
            .args(command)
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = keeper.stdout.take().expect("piped");
        let output = Arc::new(Mutex::new(String::new()));
        let heard = output.clone();
        let reader = thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut part) {
                lock(&heard).push_str(&String::from_utf8_lossy(&part[..length]));
            }
        });
        let mut process = Self {
            orders: keeper.stdin.take(),
            answers: BufReader::new(keeper.stderr.take().expect("piped")),
            keeper,
            id: 0,
            output,
            reader: Some(reader),
        };
        process.id = process.answer()?.parse().map_err(io::Error::other)?;
        Ok(process)
    }

    /// Of the server, not of its shell.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        lock(&self.output).clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&mut self, name: &str) -> io::Result<()> {
        self.order(name)?;
        self.answer().map(drop)
    }

    /// SIGKILL, and waits for the end. The folder stays.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.order("keep")?;
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.orders.take().is_some() {
            self.keeper.wait()?;
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok(())
    }

    fn order(&mut self, line: &str) -> io::Result<()> {
        let orders = self.orders.as_mut().expect("it runs");
        writeln!(orders, "{line}")
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
