//! Which URLs are known, who links to them, and which are to be visited.
//!
//! This is what grows with the site, so it is small: a URL is kept once, its job in the queue points
//! to it, a link is four bytes, and nothing is spawned for a URL that only waits for its turn. So the
//! queue needs no bound; with one, a worker that found more than there is room for would wait for
//! room that only workers make.

use std::collections::HashMap;
use std::sync::Arc;

use shibuya_sync::Queue;
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
    /// How many clicks it is from the start.
    pub depth: usize,
    url: Arc<str>,
}

impl Job {
    /// The URL.
    #[must_use]
    pub fn url(&self) -> Url {
        Url::parse(&self.url).expect("only URLs are to be visited")
    }

    /// What a visit is called: the URL.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.url)
    }
}

/// The known URLs, and the way to the queue of those to visit.
#[derive(Debug)]
pub struct Frontier {
    ids: HashMap<Arc<str>, Id>,
    known: Vec<Known>,
    queue: Queue<Job>,
    /// What waits until all that is less deep is done.
    next_level: Vec<Job>,
    depth_max: Option<usize>,
}

impl Frontier {
    /// Nothing is known yet; URLs deeper than `depth_max` will not be visited, the others are put
    /// into `queue`.
    #[must_use]
    pub fn new(queue: Queue<Job>, depth_max: Option<usize>) -> Self {
        Self {
            ids: HashMap::new(),
            known: Vec::new(),
            queue,
            next_level: Vec::new(),
            depth_max,
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

    /// The job to visit `id`.
    pub(crate) fn job(&self, id: Id, depth: usize) -> Job {
        let url = Arc::clone(&self[id].url);
        Job { id, depth, url }
    }

    /// Has `id` visited, if it isn't too deep.
    ///
    /// Under a depth limit it waits for its [level](Self::begin_level). Otherwise a page could be
    /// reached first by a long way that a slow page on the short one allowed to win, and what is
    /// checked would depend on chance.
    pub fn plan(&mut self, id: Id, depth: usize) -> bool {
        let job = self.job(id, depth);
        match self.depth_max {
            None => self.put(job),
            Some(max) if depth <= max => self.next_level.push(job),
            Some(_) => return false,
        }
        true
    }

    /// Puts the next level into the queue; to be called when the one before is done. Says whether
    /// there is one.
    pub fn begin_level(&mut self) -> bool {
        let level = std::mem::take(&mut self.next_level);
        let is_some = !level.is_empty();
        level.into_iter().for_each(|job| self.put(job));
        is_some
    }

    fn put(&self, job: Job) {
        // It never waits, and a queue that is shut down means that the crawl is to end.
        let _ = self.queue.try_put(job);
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
        let mut frontier = Frontier::new(Queue::unbounded(), None);
        let (start, new) = frontier.link("http://a/", None);
        assert!(new);
        let (b, _) = frontier.link("http://a/b", Some(start));
        let (again, new) = frontier.link("http://a/b", Some(b));
        assert_eq!((again, new), (b, false));
        assert_eq!(frontier[b].referrers, [start, b]);
    }

    #[test]
    fn without_a_depth_limit_a_url_is_to_be_visited_at_once() {
        let queue = Queue::unbounded();
        let mut frontier = Frontier::new(queue.clone(), None);
        let (id, _) = frontier.link("http://a/", None);
        assert!(frontier.plan(id, 7));
        assert_eq!(queue.try_pop().unwrap().url().as_str(), "http://a/");
        assert!(!frontier.begin_level());
    }

    #[test]
    fn under_a_depth_limit_a_level_waits_for_the_one_before() {
        let queue = Queue::unbounded();
        let mut frontier = Frontier::new(queue.clone(), Some(2));
        let ids = ["http://a/1", "http://a/2", "http://a/3"].map(|url| frontier.link(url, None).0);
        assert!(frontier.plan(ids[0], 1));
        assert!(queue.is_empty());
        assert!(frontier.begin_level());
        assert_eq!(queue.try_pop().unwrap().id, ids[0]);

        assert!(frontier.plan(ids[1], 2));
        assert!(!frontier.plan(ids[2], 3));
        assert!(queue.is_empty());
        assert!(frontier.begin_level());
        assert_eq!(queue.try_pop().unwrap().id, ids[1]);
        assert!(!frontier.begin_level());
        assert!(queue.is_empty());
    }
}
