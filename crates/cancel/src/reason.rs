use std::borrow::Cow;
use std::fmt;

/// Why a scope was cancelled. The first reason stays; later ones change nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it.
    Requested,
    /// The scope's deadline passed.
    Deadline,
    /// Something inside failed, so the rest is of no use.
    Failed,
    /// The future that ran the group was dropped, or the runtime of its tasks went away.
    Dropped,
    /// The program is shutting down.
    Shutdown,
    /// In the caller's own words.
    Other(Cow<'static, str>),
}

impl Reason {
    /// A reason in the caller's own words.
    pub fn other(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Other(text.into())
    }

    /// The number that stands for this reason in a node's state word.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Requested => 0,
            Self::Deadline => 1,
            Self::Failed => 2,
            Self::Dropped => 3,
            Self::Shutdown => 4,
            Self::Other(_) => OTHER,
        }
    }

    /// The reason that a number stands for; `None` for [`OTHER`], whose words are kept elsewhere.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::Requested,
            1 => Self::Deadline,
            2 => Self::Failed,
            3 => Self::Dropped,
            4 => Self::Shutdown,
            _ => return None,
        })
    }
}

pub(crate) const OTHER: u32 = 5;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "on request",
            Self::Deadline => "deadline passed",
            Self::Failed => "a sibling failed",
            Self::Dropped => "its owner was dropped",
            Self::Shutdown => "shutting down",
            Self::Other(text) => text,
        })
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Other(Cow::Borrowed(text))
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Other(Cow::Owned(text))
    }
}
