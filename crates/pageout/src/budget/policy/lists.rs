//! Three first-in, first-out queues through one vector of nodes, so that an entry is moved, removed or found by its id at once.

use std::collections::TryReserveError;

use crate::units::{self, KIB};

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
    prev: u32,
    next: u32,
    /// Its bytes in whole KiB, rounded up, at least 1. An entry beyond 4 TiB counts as 4 TiB.
    kib: u32,
    /// Of a ghost: how many entries had become ghosts, itself included. Wraps round.
    pub(super) ghost_number: u32,
    pub(super) place: Place,
    /// Whether it is in Main, or was when it was cooled.
    pub(super) was_main: bool,
    /// Uses since it last changed its queue or went round in it, up to [`USES_MAX`].
    pub(super) uses: u8,
}

/// More uses than these are not counted.
pub(super) const USES_MAX: u8 = 3;

const _: () = assert!(size_of::<Node>() <= 24, "a node is kept for each payload of a pager, resident or not");

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

    fn push(&mut self, nodes: &mut [Node], id: u32) {
        nodes[units::index(id)].prev = self.last;
        nodes[units::index(id)].next = NONE;
        match self.last {
            NONE => self.first = id,
            last => nodes[units::index(last)].next = id,
        }
        self.last = id;
        self.count += 1;
        self.kib += u64::from(nodes[units::index(id)].kib);
    }

    fn unlink(&mut self, nodes: &mut [Node], id: u32) {
        let Node { prev, next, kib, .. } = nodes[units::index(id)];
        match prev {
            NONE => self.first = next,
            prev => nodes[units::index(prev)].next = next,
        }
        match next {
            NONE => self.last = prev,
            next => nodes[units::index(next)].prev = prev,
        }
        self.count -= 1;
        self.kib -= u64::from(kib);
    }
}

/// The nodes and the queues.
#[derive(Debug)]
pub(super) struct Lists {
    nodes: Vec<Node>,
    pub(super) small: Queue,
    pub(super) main: Queue,
    pub(super) cooled: Queue,
    /// The cooled entry that a search looks at next; [`NONE`] between searches.
    pub(super) hand: u32,
}

impl Lists {
    pub(super) const EMPTY: Self =
        Self { nodes: Vec::new(), small: Queue::EMPTY, main: Queue::EMPTY, cooled: Queue::EMPTY, hand: NONE };

    /// Allocates a node for `id` and all below it.
    pub(super) fn prepare(&mut self, id: u32) -> Result<(), TryReserveError> {
        let length = units::index(id) + 1;
        let missing = length.saturating_sub(self.nodes.len());
        self.nodes.try_reserve(missing)?;
        self.nodes.resize(length.max(self.nodes.len()), Node::default());
        Ok(())
    }

    /// The node of `id`; of one that was never prepared, that of an entry of which nothing is known.
    pub(super) fn node(&self, id: u32) -> Node {
        self.nodes.get(units::index(id)).copied().unwrap_or_default()
    }

    /// The node of a prepared entry.
    pub(super) fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[units::index(id)]
    }

    /// The entry behind `id` in its queue, or [`NONE`].
    pub(super) fn next(&self, id: u32) -> u32 {
        self.nodes[units::index(id)].next
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

    /// Moves an entry to the end of `place`, or out of all queues, unused. A search that was to look at it goes on behind it.
    pub(super) fn put(&mut self, id: u32, place: Place) {
        let from = self.node(id).place;
        if self.hand == id {
            self.hand = self.next(id);
        }
        if let (Some(queue), nodes) = self.queue(from) {
            queue.unlink(nodes, id);
        }
        if let (Some(queue), nodes) = self.queue(place) {
            queue.push(nodes, id);
        }
        let node = self.node_mut(id);
        node.was_main = place == Place::Main || (place == Place::Cooled && node.was_main);
        (node.place, node.uses) = (place, 0);
    }

    fn queue(&mut self, place: Place) -> (Option<&mut Queue>, &mut [Node]) {
        let queue = match place {
            Place::Small => Some(&mut self.small),
            Place::Main => Some(&mut self.main),
            Place::Cooled => Some(&mut self.cooled),
            Place::Absent | Place::Ghost => None,
        };
        (queue, &mut self.nodes)
    }
}
