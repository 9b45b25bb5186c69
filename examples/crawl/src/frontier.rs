//! Which URLs are known, who links to them, and which is next.
//!
//! This is what grows with the site, so it is small: a URL is kept once, a link is four bytes, and
//! nothing is spawned for a URL that only waits for its turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use url::Url;

/// The number of a URL, in the order of discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u32);

/// A URL that is known.
#[derive(Debug)]
pub struct Known {
    /// As it was found, without its fragment.
    pub url: Arc<str>,
    /// The pages that link to it.
    pub referrers: Vec<Id>,
}

/// A URL to visit.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub id: Id,
    /// The URL.
    pub url: Url,
    /// How many clicks it is from the start.
    pub depth: usize,
}

/// The known URLs and the queue of those to visit.
#[derive(Debug)]
pub struct Frontier {
    ids: HashMap<Arc<str>, Id>,
    known: Vec<Known>,
    queue: VecDeque<(Id, usize)>,
    depth_max: Option<usize>,
    /// The depth of the last URL that was handed out.
    depth: usize,
}

impl Frontier {
    /// Nothing is known yet; URLs deeper than `depth_max` will not be visited.
    #[must_use]
    pub fn new(depth_max: Option<usize>) -> Self {
        Self {
            ids: HashMap::new(),
            known: Vec::new(),
            queue: VecDeque::new(),
            depth_max,
            depth: 0,
        }
    }

    /// Notes that the page `from` links to `url`; says whether that is the first that is heard of it.
    pub fn link(&mut self, url: &str, from: Option<Id>) -> (Id, bool) {
        let (id, is_new) = match self.ids.get(url) {
            Some(&id) => (id, false),
            None => (self.add(url), true),
        };
        self.known[id.0 as usize].referrers.extend(from);
        (id, is_new)
    }

    fn add(&mut self, url: &str) -> Id {
        let id =
            Id(u32::try_from(self.known.len())
                .expect("memory ends before four thousand million URLs"));
        let url: Arc<str> = url.into();
        self.ids.insert(Arc::clone(&url), id);
        self.known.push(Known {
            url,
            referrers: Vec::new(),
        });
        id
    }

    /// Puts `id` in the queue, if it isn't too deep.
    pub fn push(&mut self, id: Id, depth: usize) -> bool {
        let visit = self.depth_max.is_none_or(|max| depth <= max);
        if visit {
            self.queue.push_back((id, depth));
        }
        visit
    }

    /// The next URL to visit.
    ///
    /// Under a depth limit one level is done before the next begins (`idle`: nothing is under way).
    /// Otherwise a page could be reached first by a long way that a slow page on the short one
    /// allowed to win, and what is checked would depend on chance.
    pub fn pop(&mut self, idle: bool) -> Option<Job> {
        let &(id, depth) = self.queue.front()?;
        if self.depth_max.is_some() && depth > self.depth && !idle {
            return None;
        }
        self.queue.pop_front();
        self.depth = depth;
        let url = Url::parse(&self[id].url).expect("only URLs are pushed");
        Some(Job { id, url, depth })
    }

    /// How many wait for a visit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

impl std::ops::Index<Id> for Frontier {
    type Output = Known;

    fn index(&self, id: Id) -> &Known {
        &self.known[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_known_once_with_all_that_link_to_it() {
        let mut frontier = Frontier::new(None);
        let (start, new) = frontier.link("http://a/", None);
        assert!(new);
        let (b, _) = frontier.link("http://a/b", Some(start));
        let (again, new) = frontier.link("http://a/b", Some(b));
        assert_eq!((again, new), (b, false));
        assert_eq!(frontier[b].referrers, [start, b]);
    }

    #[test]
    fn under_a_depth_limit_a_level_waits_for_the_one_before() {
        let mut frontier = Frontier::new(Some(1));
        let ids = ["http://a/0", "http://a/1", "http://a/2"].map(|url| frontier.link(url, None).0);
        assert!(frontier.push(ids[0], 0));
        assert!(frontier.push(ids[1], 1));
        assert!(!frontier.push(ids[2], 2));
        assert_eq!(frontier.pop(true).unwrap().id, ids[0]);
        assert!(frontier.pop(false).is_none());
        assert_eq!(frontier.pop(true).unwrap().id, ids[1]);
        assert!(frontier.pop(true).is_none());
    }
}
