//! A child process and those that it starts: one process group.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::sleep;

/// Dropping it kills the group. The child is reaped by Tokio.
pub(super) struct Tree {
    pub(super) child: Child,
    /// The child's number, which is the group's. As long as the child is not reaped, or another
    /// process is in the group, nobody else gets it.
    group: Pid,
    /// Rings when any child has ended. Tokio's own wait reaps at once, and the number would be free
    /// before the rest of the group is killed.
    exits: Signals,
    /// Nothing of the group is left, as far as we know.
    is_over: bool,
}

impl Tree {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        // First, so that no exit is missed.
        let exits = signal(SignalKind::child())?;
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id
            .and_then(Pid::from_raw)
            .expect("a new child has a number");
        Ok(Self {
            child,
            group,
            exits,
            is_over: false,
        })
    }

    /// Waits until the first process has ended, and leaves it unreaped.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.group), look)?.is_none() {
            self.exits.recv().await;
        }
        Ok(())
    }

    /// Takes the status of the first process, which has ended.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.try_wait()?;
        status.ok_or_else(|| io::Error::other("it has ended, and has no status"))
    }

    /// Waits until no process is left in the group. Nobody tells us of the end of those that are not
    /// our children, so it has to look again and again.
    pub(super) async fn gone(&mut self) {
        let mut pause = Duration::from_millis(1);
        loop {
            // Orphans are ours where we are the first process of a container.
            let reap = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(self.group)), reap) {}
            if test_kill_process_group(self.group) == Err(Errno::SRCH) {
                self.is_over = true;
                return;
            }
            sleep(pause).await;
            pause = (2 * pause).min(Duration::from_millis(50));
        }
    }

    /// Asks all of the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills all of the group.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// The group was killed, and its first process reaped.
    pub(super) fn close(&mut self) {
        self.is_over = true;
    }

    fn signal(&self, signal: Signal) {
        if !self.is_over {
            // It fails where nobody is left, which is as good.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
    }
}
