//! Three first-in, first-out queues through one slab of nodes, so that an entry is moved, removed or found by its id at once.

use std::collections::TryReserveError;

use crate::budget::slab::Slab;
use crate::units::KIB;

/// No entry: the end of a queue.
pub(super) const NONE: u32 = u32::MAX;

/// Where an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Not in memory, and nothing is known of it.
    #[default]
    Absent,
    /// Not in memory: it was evicted, and had not come as far as Main.
    Ghost,
    Small,
    Main,
    Cooled,
}

/// What is kept of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    /// The entry before it in its queue. Of a ghost: how many entries had become ghosts, itself included; wraps round.
    prev_or_ghost_number: u32,
    next: u32,
    /// Its bytes in whole KiB, rounded up, at least 1. An entry beyond 4 TiB counts as 4 TiB.
    kib: u32,
    pub(super) place: Place,
    /// Whether it is in Main, or was when it was cooled.
    pub(super) was_main: bool,
    /// Uses since it last changed its queue or went round in it, up to [`USES_MAX`].
    pub(super) uses: u8,
}

/// More uses than these are not counted.
pub(super) const USES_MAX: u8 = 3;

const _: () = assert!(size_of::<Node>() <= 16, "a node is kept for each payload of a pager, resident or not");

impl Node {
    /// Which ghost it is, where it is one.
    pub(super) fn ghost_number(&self) -> Option<u32> {
        (self.place == Place::Ghost).then_some(self.prev_or_ghost_number)
    }
}

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
    pub(super) count: u32,
    pub(super) kib: u64,
}

impl Queue {
    const EMPTY: Self = Self { first: NONE, last: NONE, count: 0, kib: 0 };

    /// The entry that entered first, or [`NONE`].
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    fn push(&mut self, nodes: &mut Slab<Node>, id: u32) {
        let node = &mut nodes[id];
        (node.prev_or_ghost_number, node.next) = (self.last, NONE);
        self.count += 1;
        self.kib += u64::from(node.kib);
        match self.last {
            NONE => self.first = id,
            last => nodes[last].next = id,
        }
        self.last = id;
    }

    fn unlink(&mut self, nodes: &mut Slab<Node>, id: u32) {
        let Node { prev_or_ghost_number: prev, next, kib, .. } = nodes[id];
        match prev {
            NONE => self.first = next,
            prev => nodes[prev].next = next,
        }
        match next {
            NONE => self.last = prev,
            next => nodes[next].prev_or_ghost_number = prev,
        }
        self.count -= 1;
        self.kib -= u64::from(kib);
    }
}

/// The nodes and the queues.
#[derive(Debug)]
pub(super) struct Lists {
    nodes: Slab<Node>,
    pub(super) small: Queue,
    pub(super) main: Queue,
    pub(super) cooled: Queue,
    /// The cooled entry that a search looks at next; [`NONE`] between searches.
    pub(super) hand: u32,
}

impl Lists {
    pub(super) const EMPTY: Self =
        Self { nodes: Slab::new(), small: Queue::EMPTY, main: Queue::EMPTY, cooled: Queue::EMPTY, hand: NONE };

    /// Allocates a node for `id` and all below it.
    pub(super) fn prepare(&mut self, id: u32) -> Result<(), TryReserveError> {
        while self.nodes.len() <= id {
            self.nodes.try_reserve()?;
            self.nodes.push(Node::default());
        }
        Ok(())
    }

    /// The node of `id`; of one that was never prepared, that of an entry of which nothing is known.
    pub(super) fn node(&self, id: u32) -> Node {
        self.nodes.get(id).copied().unwrap_or_default()
    }

    /// The node of a prepared entry.
    pub(super) fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The entry behind `id` in its queue, or [`NONE`].
    pub(super) fn next(&self, id: u32) -> u32 {
        self.nodes[id].next
    }

    /// Whether `id` is in one of the queues.
    pub(super) fn is_linked(&self, id: u32) -> bool {
        !matches!(self.node(id).place, Place::Absent | Place::Ghost)
    }

    /// Sets the size of an entry that is in no queue.
    pub(super) fn set_bytes(&mut self, id: u32, bytes: u64) {
        debug_assert!(!self.is_linked(id), "the size of a queued entry is part of its queue's");
        self.node_mut(id).kib = u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX);
    }

    /// Notes which ghost an entry is, which is one.
    pub(super) fn set_ghost_number(&mut self, id: u32, number: u32) {
        debug_assert!(self.nodes[id].ghost_number().is_some(), "the number is where a queue has its link");
        self.nodes[id].prev_or_ghost_number = number;
    }

    /// Moves an entry to the end of `place`, or out of all queues, unused. A search that was to look at it goes on behind it.
    pub(super) fn put(&mut self, id: u32, place: Place) {
        let node = self.node_mut(id);
        let (from, next) = (node.place, node.next);
        node.was_main = place == Place::Main || (place == Place::Cooled && node.was_main);
        (node.place, node.uses) = (place, 0);
        if self.hand == id {
            self.hand = next;
        }
        if let (Some(queue), nodes) = self.queue(from) {
            queue.unlink(nodes, id);
        }
        if let (Some(queue), nodes) = self.queue(place) {
            queue.push(nodes, id);
        }
    }

    fn queue(&mut self, place: Place) -> (Option<&mut Queue>, &mut Slab<Node>) {
        let queue = match place {
            Place::Small => Some(&mut self.small),
            Place::Main => Some(&mut self.main),
            Place::Cooled => Some(&mut self.cooled),
            Place::Absent | Place::Ghost => None,
        };
        (queue, &mut self.nodes)
    }
}
