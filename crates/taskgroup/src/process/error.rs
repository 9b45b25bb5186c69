use std::io;

/// Why there is no exit status. A timeout or a cancellation never looks like this: it drops what
/// waits, or the process ended by a signal and there is a status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program did not start: it is missing, may not be run, or the system is out of something.
    #[error("can't start `{program}`")]
    Spawn {
        /// What was to be run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It started, and the system could not say how it ended or what it wrote. It was killed then.
    #[error("lost touch with `{program}`")]
    Lost {
        /// What ran.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ProcessError {
    /// Whether there is no such program.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The program, as the command named it.
    pub fn program(&self) -> &str {
        match self {
            Self::Spawn { program, .. } | Self::Lost { program, .. } => program,
        }
    }
}
