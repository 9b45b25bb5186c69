use std::borrow::Cow;
use std::fmt;

/// What a task or a group is called in errors and logs. An unnamed one is known by its spawn site.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Text(Cow<'static, str>),
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
    pub const UNNAMED: Self = Self(Repr::Text(Cow::Borrowed("")));

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
        *self == Self::UNNAMED
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Text(text) => f.write_str(text),
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
        Self(Repr::Text(Cow::Borrowed(name)))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(Repr::Text(Cow::Owned(name)))
    }
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Self {
        Self(Repr::Text(name))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        match &self.0 {
            Repr::Text(text) => text == other,
            Repr::Numbered(..) => self.to_string().as_str() == other,
        }
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}
