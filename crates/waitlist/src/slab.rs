//! Doubly linked FIFOs whose nodes live in one vector and are named by their index: every operation is O(1), no node is
//! allocated on its own, and no pointer is needed.

/// Names a node from [`Slab::push_back`] until [`Slab::remove`]. Its one owner keeps it, so it needs no generation.
pub(crate) type Ticket = u32;

const NIL: Ticket = Ticket::MAX;

/// An emptied slab with more room than this is given back to the allocator.
const KEEP: usize = 64;

/// The most FIFOs that share a slab.
pub(crate) const LANES_MAX: usize = 4;

pub(crate) struct Slab<T> {
    nodes: Vec<Node<T>>,
    /// First vacant node; vacant nodes are chained through `next`.
    vacant: Ticket,
    lanes: [Lane; LANES_MAX],
    /// Nodes in a FIFO.
    linked: u32,
    /// Nodes that hold a value: linked, or unlinked and not yet removed.
    occupied: u32,
}

/// One FIFO.
struct Lane {
    head: Ticket,
    tail: Ticket,
    len: u32,
}

struct Node<T> {
    prev: Ticket,
    next: Ticket,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            vacant: NIL,
            lanes: [const { Lane::EMPTY }; LANES_MAX],
            linked: 0,
            occupied: 0,
        }
    }

    /// Number of nodes in all FIFOs.
    pub(crate) fn linked(&self) -> usize {
        self.linked as usize
    }

    /// Number of nodes in one FIFO.
    pub(crate) fn len(&self, lane: usize) -> usize {
        self.lanes[lane].len as usize
    }

    pub(crate) fn front(&self, lane: usize) -> Option<Ticket> {
        let head = self.lanes[lane].head;
        (head != NIL).then_some(head)
    }

    pub(crate) fn push_back(&mut self, lane: usize, value: T) -> Ticket {
        let tail = self.lanes[lane].tail;
        let ticket = self.occupy(Node {
            prev: tail,
            next: NIL,
            value: Some(value),
        });
        match tail {
            NIL => self.lanes[lane].head = ticket,
            tail => self.node(tail).next = ticket,
        }
        self.lanes[lane].tail = ticket;
        self.lanes[lane].len += 1;
        self.linked += 1;
        ticket
    }

    /// Takes a node out of the FIFO that it is in. It stays in the slab until [`Slab::remove`].
    pub(crate) fn unlink(&mut self, lane: usize, ticket: Ticket) {
        let Node { prev, next, .. } = *self.node(ticket);
        match prev {
            NIL => self.lanes[lane].head = next,
            prev => self.node(prev).next = next,
        }
        match next {
            NIL => self.lanes[lane].tail = prev,
            next => self.node(next).prev = prev,
        }
        self.lanes[lane].len -= 1;
        self.linked -= 1;
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> &mut T {
        self.node(ticket).value.as_mut().expect(STALE)
    }

    /// Frees an unlinked node.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> T {
        let vacant = self.vacant;
        let node = self.node(ticket);
        let value = node.value.take().expect(STALE);
        node.next = vacant;
        self.vacant = ticket;
        self.occupied -= 1;
        value
    }

    /// Whether the slab is empty and its memory worth giving back.
    pub(crate) fn is_spare(&self) -> bool {
        self.occupied == 0 && self.nodes.capacity() > KEEP
    }

    #[cfg(all(test, not(shibuya_loom)))]
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.capacity()
    }

    fn occupy(&mut self, node: Node<T>) -> Ticket {
        let ticket = self.vacant;
        if ticket == NIL {
            let ticket = Ticket::try_from(self.nodes.len())
                .ok()
                .filter(|&ticket| ticket != NIL);
            let ticket = ticket.expect("more than 4 billion tasks wait on one list");
            self.nodes.push(node);
            self.occupied += 1;
            return ticket;
        }
        self.vacant = self.node(ticket).next;
        *self.node(ticket) = node;
        self.occupied += 1;
        ticket
    }

    fn node(&mut self, ticket: Ticket) -> &mut Node<T> {
        &mut self.nodes[ticket as usize]
    }
}

impl Lane {
    const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        len: 0,
    };
}

const STALE: &str = "a ticket names an occupied node: does the pointer given to `Wait::new` always lead to the same list?";
