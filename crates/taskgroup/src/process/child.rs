//! A child process alone, where there are no process groups.

use std::io;
use std::process::ExitStatus;

use tokio::process::{Child, Command};

/// Dropping it kills the child.
pub(super) struct Tree {
    pub(super) child: Child,
}

impl Tree {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.kill_on_drop(true).spawn()?;
        Ok(Self { child })
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        self.child.wait().await.map(drop)
    }

    /// Its status, once it has ended.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.try_wait()?;
        status.ok_or_else(|| io::Error::other("it has ended, and has no status"))
    }

    /// Those that it started are not known.
    pub(super) async fn gone(&mut self) {}

    /// There is no signal to ask it with.
    pub(super) fn terminate(&mut self) {
        self.kill();
    }

    /// Kills it, if it has not ended.
    pub(super) fn kill(&mut self) {
        let _ = self.child.start_kill();
    }

    pub(super) fn close(&mut self) {}
}
