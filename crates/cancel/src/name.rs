use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a task or a group is called in errors and logs. An unnamed one is known by its spawn site.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    /// Counted, as whoever looks at a task or remembers it takes its name along.
    Shared(Arc<str>),
    /// Composed only when it is shown: a name for each of a million items must cost nothing.
    Numbered(Kind, usize),
}

/// What the combinators number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Future,
    Worker,
    Item,
}

impl Name {
    /// No name.
    pub const UNNAMED: Self = Self(Repr::Static(""));

    /// `future 2`: one of those that were gathered.
    pub const fn future(number: usize) -> Self {
        Self(Repr::Numbered(Kind::Future, number))
    }

    /// `item 17`: one of those that are mapped.
    pub const fn item(number: usize) -> Self {
        Self(Repr::Numbered(Kind::Item, number))
    }

    /// `worker 3`: one of those that map.
    pub const fn worker(number: usize) -> Self {
        Self(Repr::Numbered(Kind::Worker, number))
    }

    /// The worker's number, where it is one.
    pub fn as_worker(&self) -> Option<usize> {
        match self.0 {
            Repr::Numbered(Kind::Worker, number) => Some(number),
            _ => None,
        }
    }

    /// Whether there is none.
    pub fn is_unnamed(&self) -> bool {
        self.as_text().is_some_and(str::is_empty)
    }

    /// The words, unless they are yet to be composed.
    fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Static(text) => Some(text),
            Repr::Shared(text) => Some(text),
            Repr::Numbered(..) => None,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Numbered(kind, number), Repr::Numbered(other_kind, other_number)) => {
                (kind, number) == (other_kind, other_number)
            }
            _ => self.as_text() == other.as_text(),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Repr::Numbered(kind, number) => (kind, number).hash(state),
            _ => self.as_text().hash(state),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Static(text) => f.write_str(text),
            Repr::Shared(text) => f.write_str(text),
            Repr::Numbered(Kind::Future, number) => write!(f, "future {number}"),
            Repr::Numbered(Kind::Worker, number) => write!(f, "worker {number}"),
            Repr::Numbered(Kind::Item, number) => write!(f, "item {number}"),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self(Repr::Static(name))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(Repr::Shared(name.into()))
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        Self(Repr::Shared(name))
    }
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => name.into(),
            Cow::Owned(name) => name.into(),
        }
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        match self.as_text() {
            Some(text) => text == other,
            None => self.to_string().as_str() == other,
        }
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}
