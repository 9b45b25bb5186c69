use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdout};

/// What a process writes: all of it is read, so that it never waits for us, and so much is kept.
pub(super) struct Capture<R> {
    /// `None` once it has ended.
    source: Option<R>,
    kept: Vec<u8>,
    limit: usize,
    omitted: u64,
}

impl<R: AsyncRead + Unpin> Capture<R> {
    fn new(source: Option<R>, limit: usize) -> Self {
        Self {
            source,
            kept: Vec::new(),
            limit,
            omitted: 0,
        }
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 8 * 1024];
        while let Some(source) = &mut self.source {
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(source).poll_read(cx, &mut read))?;
            let read = read.filled();
            if read.is_empty() {
                self.source = None;
            }
            let keep = read.len().min(self.limit - self.kept.len());
            self.kept.extend_from_slice(&read[..keep]);
            self.omitted += (read.len() - keep) as u64;
        }
        Poll::Ready(Ok(()))
    }
}

/// Both of what a process writes.
pub(super) struct Captures {
    stdout: Capture<ChildStdout>,
    stderr: Capture<ChildStderr>,
}

impl Captures {
    /// Keeps at most `limit` bytes of each stream that is piped.
    pub(super) fn of(child: &mut Child, limit: usize) -> Self {
        Self {
            stdout: Capture::new(child.stdout.take(), limit),
            stderr: Capture::new(child.stderr.take(), limit),
        }
    }

    /// Reads what there is; ready when both have ended.
    pub(super) fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stdout = self.stdout.poll_to_end(cx)?;
        let stderr = self.stderr.poll_to_end(cx)?;
        ready!(stdout);
        stderr.map(Ok)
    }

    /// What was kept of each, and how many bytes were not.
    pub(super) fn into_kept(self) -> (Vec<u8>, Vec<u8>, u64) {
        let omitted = self.stdout.omitted + self.stderr.omitted;
        (self.stdout.kept, self.stderr.kept, omitted)
    }
}
