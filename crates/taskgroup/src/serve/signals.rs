use std::io;
use std::task::{Context, Poll};

/// A request of the system or its user to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGTERM`, as `kill` and orchestrators send it. On Windows: the console is closed.
    Term,
    /// `SIGINT`, as Ctrl-C sends it. On Windows: Ctrl-C.
    Int,
}

/// A signal that does not end the process any more.
pub(super) struct Caught {
    pub(super) signal: Signal,
    stream: Stream,
}

impl Caught {
    #[track_caller]
    pub(super) fn new(signal: Signal) -> Self {
        match listen(signal) {
            Ok(stream) => Self { signal, stream },
            Err(error) => panic!("{signal:?} can't be caught: {error}"),
        }
    }

    /// Ready for each that came.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.stream.poll_recv(cx) {
            Poll::Ready(Some(())) => Poll::Ready(()),
            // Its sender lives as long as the process.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(unix)]
type Stream = tokio::signal::unix::Signal;

#[cfg(unix)]
#[track_caller]
fn listen(signal: Signal) -> io::Result<Stream> {
    use tokio::signal::unix::{SignalKind, signal as listen};
    listen(match signal {
        Signal::Term => SignalKind::terminate(),
        Signal::Int => SignalKind::interrupt(),
    })
}

#[cfg(windows)]
enum Stream {
    Close(tokio::signal::windows::CtrlClose),
    Ctrl(tokio::signal::windows::CtrlC),
}

#[cfg(windows)]
impl Stream {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        match self {
            Self::Close(stream) => stream.poll_recv(cx),
            Self::Ctrl(stream) => stream.poll_recv(cx),
        }
    }
}

#[cfg(windows)]
fn listen(signal: Signal) -> io::Result<Stream> {
    use tokio::signal::windows::{ctrl_c, ctrl_close};
    Ok(match signal {
        Signal::Term => Stream::Close(ctrl_close()?),
        Signal::Int => Stream::Ctrl(ctrl_c()?),
    })
}
