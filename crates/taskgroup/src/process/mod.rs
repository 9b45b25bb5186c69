//! [`process()`]: a child process that dies with its scope, and all that it started with it.

mod capture;
mod error;
mod stop;
#[cfg_attr(not(unix), path = "child.rs")]
mod tree;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::process::Command;

use self::capture::Captures;
pub use self::error::ProcessError;
use self::stop::{Stop, unless};
use self::tree::Tree;

/// A child process that belongs to the scope it runs in: it ends, with all the processes that it
/// started, when the scope does.
///
/// It runs in a process group of its own.
///
/// | when | then |
/// |---|---|
/// | it ends | what it left running in its group is killed |
/// | its scope is cancelled, with a grace | the group gets SIGTERM; what is left after the [grace](Process::grace) is killed |
/// | its future is dropped, as by a timeout or a scope without grace | the group is killed at once |
///
/// So a process that is to say goodbye needs a scope with a grace. A process that leaves the group, as
/// a daemon does, gets away. On Windows there are no groups and no SIGTERM: the child alone is killed,
/// and at once. Ctrl-C in a terminal goes to the foreground group, so the child does not get it; and
/// a child that reads from the terminal is stopped by the system: give it another `stdin`. Nobody can have
/// the other end of a pipe that the command asks for, so it is closed.
///
/// # Examples
///
/// ```
/// use shibuya_taskgroup::process;
/// use tokio::process::Command;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if cfg!(unix) {
/// let mut command = Command::new("sh");
/// command.args(["-c", "echo out; echo err >&2; exit 3"]);
/// let output = process(command).output().await?;
/// assert_eq!(output.stdout, b"out\n");
/// assert_eq!(output.stderr, b"err\n");
/// assert_eq!(output.status.code(), Some(3));
/// # }
/// # Ok(())
/// # }
/// ```
pub fn process(command: impl Into<Command>) -> Process {
    Process {
        command: command.into(),
        grace: Duration::from_secs(5),
        max_output: 8 << 20,
    }
}

/// A child process to be, from [`process()`].
#[derive(Debug)]
#[must_use = "a process does not start until `run` or `output` is awaited"]
pub struct Process {
    command: Command,
    grace: Duration,
    max_output: usize,
}

impl Process {
    /// How long the processes may go on after SIGTERM, before they are killed. Default: 5 s. Where the
    /// scope's grace is over before, that is the end.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many bytes of each stream [`output`](Self::output) keeps. Default: 8 MiB. What comes after
    /// is read and thrown away, so that the process goes on.
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// Starts it, and waits until it has ended. It starts with the first poll.
    ///
    /// When the scope is cancelled with a grace, the status is that of a process that ended by SIGTERM
    /// or SIGKILL, or whatever it makes of the former.
    ///
    /// Dropping the returned future kills the processes without waiting for their end. Tokio reaps the
    /// child then, as long as the runtime runs.
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: the process is killed. No process is left behind.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] when the program can't be started. An exit code other than 0 is none.
    ///
    /// # Panics
    ///
    /// When polled outside of a Tokio runtime, or in one without input and output.
    pub fn run(mut self) -> RunProcess {
        RunProcess(Box::pin(async move {
            let (mut tree, program) = self.spawn()?;
            // Else it waits for a reader that there isn't.
            drop((tree.child.stdout.take(), tree.child.stderr.take()));
            let mut stop = Stop::new(self.grace);
            supervise(&mut tree, &mut stop)
                .await
                .map_err(|source| ProcessError::Lost { program, source })
        }))
    }

    /// Starts it, and waits until it has ended, and gives what it wrote. Both streams are read while it
    /// runs, so that it never waits for that.
    ///
    /// The streams end when the last process that has them does. One that left the group may have them
    /// for long; a cancelled scope ends that wait, too, after the grace.
    ///
    /// Dropping the returned future kills the processes, as with [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// Not meant to be taken up again: the process is killed, and what it wrote is gone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn output(mut self) -> ProcessOutput {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        ProcessOutput(Box::pin(async move {
            let (mut tree, program) = self.spawn()?;
            let captures = Captures::of(&mut tree.child, self.max_output);
            let mut stop = Stop::new(self.grace);
            read_along(&mut tree, &mut stop, captures)
                .await
                .map_err(|source| ProcessError::Lost { program, source })
        }))
    }

    fn spawn(&mut self) -> Result<(Tree, String), ProcessError> {
        let program = self.command.as_std().get_program();
        let program = program.to_string_lossy().into_owned();
        match Tree::spawn(&mut self.command) {
            Ok(mut tree) => {
                // Else it waits for a writer that there isn't.
                drop(tree.child.stdin.take());
                tracing::debug!(program, id = tree.child.id(), "process started");
                Ok((tree, program))
            }
            Err(source) => Err(ProcessError::Spawn { program, source }),
        }
    }
}

/// Sees the first process to its end, and all others with it.
async fn supervise(tree: &mut Tree, stop: &mut Stop) -> io::Result<ExitStatus> {
    if unless(tree.ended(), stop.told())
        .await
        .transpose()?
        .is_none()
    {
        tree.terminate();
        if unless(tree.ended(), stop.over())
            .await
            .transpose()?
            .is_some()
        {
            // A shell dies of the signal at once; what it runs has its grace as well.
            let status = tree.reap()?;
            unless(tree.gone(), stop.over()).await;
            tree.kill();
            tree.close();
            return Ok(status);
        }
        tracing::warn!(
            id = tree.child.id(),
            "killed: still at work when the grace was over"
        );
    }
    // Not reaped yet, so the group's number is still its own.
    tree.kill();
    tree.ended().await?;
    let status = tree.reap()?;
    tree.close();
    Ok(status)
}

async fn read_along(
    tree: &mut Tree,
    stop: &mut Stop,
    mut captures: Captures,
) -> io::Result<Output> {
    let status = {
        let mut ending = pin!(supervise(tree, stop));
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = captures.poll_to_end(cx) {
                return Poll::Ready(Err(error));
            }
            ending.as_mut().poll(cx)
        })
        .await?
    };
    let rest = poll_fn(|cx| captures.poll_to_end(cx));
    unless(rest, stop.over()).await.transpose()?;
    let (stdout, stderr, omitted) = captures.into_kept();
    Ok(Output {
        status,
        stdout,
        stderr,
        omitted,
    })
}

/// How a process ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to `stdout`, up to the [maximum](Process::max_output).
    pub stdout: Vec<u8>,
    /// What it wrote to `stderr`, up to the same.
    pub stderr: Vec<u8>,
    /// How many bytes of both are missing, since they were more than that.
    pub omitted: u64,
}

/// The future of [`Process::run`].
#[must_use = "futures do nothing unless polled"]
pub struct RunProcess(BoxFuture<'static, Result<ExitStatus, ProcessError>>);

impl Future for RunProcess {
    type Output = Result<ExitStatus, ProcessError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for RunProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunProcess(..)")
    }
}

/// The future of [`Process::output`].
#[must_use = "futures do nothing unless polled"]
pub struct ProcessOutput(BoxFuture<'static, Result<Output, ProcessError>>);

impl Future for ProcessOutput {
    type Output = Result<Output, ProcessError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ProcessOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessOutput(..)")
    }
}
