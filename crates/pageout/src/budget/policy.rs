//! Which entry leaves memory next: pure bookkeeping over ids and sizes, without I/O, locks or clocks.
//!
//! The order is that of S3-FIFO, with a departure lounge. Three queues, first in, first out:
//! - **Small**, a tenth: where entries begin. What is used there goes to Main, the rest is cooled: a scan passes through quickly.
//! - **Main**: what is used goes round once more for each use, up to three.
//! - **Cooled**: what leaves next. The keeper writes it in this order ([`Policy::next_cooled`]) while it is still in memory, so
//!   that evicting costs no write. What is used here is rescued to Main; what is being written or borrowed stays where it is.
//!
//! A use only counts up: no list is moved. An entry that left without having come as far as Main is a **ghost**: where it is back
//! before as many others became ghosts as there are entries in memory, it enters Main. No queue of ghosts is kept for that: the
//! number of a ghost is in its node.
//!
//! Ids are indices of a slab of the caller's. A node of 16 bytes is kept for each id, whether its entry is in memory or not;
//! nothing but [`Policy::prepare`] allocates. Each call takes constant time, some averaged over the calls before: moving an
//! entry in use is paid by the use. The work of one [`Policy::evict`] or [`Policy::cool`] is bounded too, since it runs under a
//! lock; that of [`Policy::next_cooled`] is not.
//!
//! # Measured
//! Percent of hits of 1,000,000 accesses after 500,000, by the command in `simulation`: Zipf 0.9 over 100,000 objects, the cache
//! 1 % or 25 % of them; the latter with a scan of all of them beside it; with other objects becoming popular ten times; a loop of
//! 110 % of the cache. Keeping the 1,000 or 25,000 most popular objects would give 47.4 and 81.6.
//!
//! | | 1 % | 25 % | 25 %, scan | 1 %, changing | 25 %, changing | loop |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | LRU | 34.1 | 74.2 | 72.7 | 34.0 | 70.3 | 0.0 |
//! | clock | 35.3 | 75.0 | 73.7 | 35.2 | 70.3 | 0.0 |
//! | SIEVE | 45.2 | 78.2 | 77.4 | 35.8 | 59.7 | 0.0 |
//! | S3-FIFO with its queue of ghosts | 45.1 | 78.0 | 77.4 | 43.0 | 67.0 | 83.0 |
//! | this | 45.0 | 78.1 | 77.5 | 43.1 | 67.5 | 74.5 |
//! | this, an eighth cooled ahead | 44.1 | 77.5 | 76.8 | 42.6 | 68.5 | 63.0 |
//! | Small a fifth | 44.1 | 77.5 | 76.8 | 42.6 | 68.7 | 69.8 |
//! | Small a twentieth | 45.5 | 78.5 | 77.9 | 43.3 | 66.7 | 74.9 |
//! | two uses lead to Main | 45.1 | 78.2 | 77.7 | 43.0 | 66.5 | 80.5 |
//! | no ghosts | 45.9 | 78.8 | 78.4 | 37.2 | 64.4 | 0.0 |
//! | what leaves Main is a ghost too | 45.1 | 78.3 | 77.8 | 43.1 | 67.5 | 9.1 |
//! | ghosts for as long as Main has entries | 45.1 | 78.2 | 77.7 | 43.1 | 67.5 | 0.0 |
//!
//! So ghosts are worth keeping where what is popular changes, though LRU is better there in a large cache. Only those of
//! Small serve in a loop, where Main is empty at first: how long they count may not depend on it. A second use before Main gains
//! 0.2 at most where nothing changes, more in a loop, and loses up to 1.0 where much does: one suffices. A tenth for Small lies
//! between what is better while nothing changes and what is better when it does. An eighth of the memory that is cooled ahead
//! costs a point at most, except in a loop. A share of Small that adapted to what was missed gave 69.5 instead of 67.5 where what
//! is popular changes, 77.3 instead of 78.1 where it does not, and 71.3 instead of 74.5 in a loop: a trade that is not worth its
//! code. One seed, and the parameters were chosen on these traces.

mod lists;
#[cfg(test)]
mod rivals;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use std::collections::TryReserveError;

use self::lists::{Lists, NONE, Place, USES_MAX};
use crate::units::KIB;

/// Small gives its entries away while it holds more than one part in this many of what is not cooled.
const SMALL_PARTS: u64 = 10;
/// Entries of Small with at least this many uses go to Main.
const USES_FOR_MAIN: u8 = 1;
/// The most entries that one call passes over because they are in use, before it takes the next as it comes.
const TURNS_MAX: u32 = 64;
/// The most cooled entries that one call of [`Policy::evict`] looks at.
const LOOKS_MAX: u32 = 64;
/// One call of [`Policy::evict`] cools no more than the larger of these: entries, and one part in so many of all bytes.
const COOLED_MAX: u32 = 16;
const COOLED_PARTS: u64 = 8;

/// The entries in memory, in the order in which they leave.
#[derive(Debug)]
pub(crate) struct Policy {
    lists: Lists,
    /// Entries that became ghosts so far. Wraps round: one that comes back 2^32 ghosts later may enter Main for it.
    ghosts: u32,
}

impl Policy {
    /// Of no entries.
    pub(crate) const fn new() -> Self {
        Self { lists: Lists::EMPTY, ghosts: 0 }
    }

    /// Allocates for `id`, so that its [`Self::insert`] does not.
    ///
    /// # Errors
    /// When memory cannot be allocated; nothing has changed.
    pub(crate) fn prepare(&mut self, id: u32) -> Result<(), TryReserveError> {
        self.lists.prepare(id)
    }

    /// The entry came into memory, with so many bytes. `id` was [prepared](Self::prepare). One that is in memory is removed
    /// first.
    pub(crate) fn insert(&mut self, id: u32, bytes: u64) {
        self.remove(id);
        let place = if self.was_missed(id) { Place::Main } else { Place::Small };
        self.lists.set_bytes(id, bytes);
        self.lists.put(id, place);
    }

    /// The entry is used. Of one that is not in memory nothing is noted.
    pub(crate) fn touch(&mut self, id: u32) {
        if self.lists.is_linked(id) {
            let node = self.lists.node_mut(id);
            node.uses = USES_MAX.min(node.uses + 1);
        }
    }

    /// The entry left memory, and was not evicted. Nothing happens where it is not in memory.
    pub(crate) fn remove(&mut self, id: u32) {
        if self.lists.is_linked(id) {
            self.lists.put(id, Place::Absent);
        }
    }

    /// There is no such entry any more, in memory or not: `id` may stand for another one.
    pub(crate) fn forget(&mut self, id: u32) {
        if self.lists.node(id).place != Place::Absent {
            self.lists.put(id, Place::Absent);
        }
    }

    /// Cools the coldest entry that is not cooled yet, and returns it. `None` when there is none.
    pub(crate) fn cool(&mut self) -> Option<u32> {
        let mut turns = TURNS_MAX;
        self.cool_within(&mut turns)
    }

    /// Takes the next entry that leaves out of memory. `may_leave` is asked for each that would be next, and says no while an
    /// entry is being written or borrowed: it stays where it is.
    ///
    /// `None` says that nothing of what was looked at may leave. One call looks at a bounded number of entries, the next goes on
    /// where it stopped: see [`Self::is_searching`].
    pub(crate) fn evict(&mut self, mut may_leave: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.search_cooled(&mut may_leave);
        let found = found.or_else(|| if self.is_searching() { None } else { self.cool_and_search(&mut may_leave) });
        found.inspect(|&id| self.leave(id))
    }

    /// The same among those that are cooled already: for as long as enough of them are on their way to be written.
    pub(crate) fn evict_cooled(&mut self, mut may_leave: impl FnMut(u32) -> bool) -> Option<u32> {
        self.search_cooled(&mut may_leave).inspect(|&id| self.leave(id))
    }

    /// Takes this entry out of memory, before its turn, if it is cooled and was not used since. Returns whether it was.
    pub(crate) fn evict_this(&mut self, id: u32) -> bool {
        let node = self.lists.node(id);
        let is_cold = node.place == Place::Cooled && node.uses == 0;
        if is_cold {
            self.leave(id);
        }
        is_cold
    }

    /// Whether the last [`Self::evict`] left cooled entries that it has not looked at. When it returned `None`, another call may
    /// find one without waiting for a write or for the end of a borrow.
    pub(crate) fn is_searching(&self) -> bool {
        self.lists.hand != NONE
    }

    /// The cooled entry that leaves after `after`, if that is cooled; else the first to leave. Entries on the way that were
    /// used since they were cooled are rescued. `after` may have been cooled anew, and be the last.
    pub(crate) fn next_cooled(&mut self, after: Option<u32>) -> Option<u32> {
        let after = after.filter(|&id| self.lists.node(id).place == Place::Cooled);
        let mut next = after.map_or(self.lists.cooled.first(), |id| self.lists.next(id));
        while next != NONE {
            let id = next;
            next = self.lists.next(id);
            if !self.rescue(id) {
                return Some(id);
            }
        }
        None
    }

    /// Bytes of the cooled entries, each rounded up to whole KiB.
    pub(crate) fn cooled_bytes(&self) -> u64 {
        self.lists.cooled.kib * KIB
    }

    /// Bytes of all entries in memory, each rounded up to whole KiB.
    pub(crate) fn bytes(&self) -> u64 {
        self.cooled_bytes() + (self.lists.small.kib + self.lists.main.kib) * KIB
    }

    /// Entries in memory.
    pub(crate) fn len(&self) -> u32 {
        self.lists.small.count + self.lists.main.count + self.lists.cooled.count
    }

    /// Whether `id` is a ghost, and fewer entries became ghosts since than are in memory.
    fn was_missed(&self, id: u32) -> bool {
        let number = self.lists.node(id).ghost_number();
        number.is_some_and(|number| self.ghosts.wrapping_sub(number) < self.len())
    }

    fn cool_within(&mut self, turns: &mut u32) -> Option<u32> {
        let coldest = self.coldest(turns)?;
        self.lists.put(coldest, Place::Cooled);
        Some(coldest)
    }

    /// The entry that S3-FIFO would evict. Past `turns` entries in use the next is taken as if it were not.
    fn coldest(&mut self, turns: &mut u32) -> Option<u32> {
        loop {
            let first = self.first_warm();
            if first == NONE {
                return None;
            }
            if *turns == 0 || !self.pass_over(first) {
                return Some(first);
            }
            *turns -= 1;
        }
    }

    /// The first of Small where that holds more than its share, else of Main.
    fn first_warm(&self) -> u32 {
        let Lists { small, main, .. } = &self.lists;
        if small.kib * SMALL_PARTS > small.kib + main.kib || main.count == 0 { small.first() } else { main.first() }
    }

    /// Moves an entry that is in use to the end of Main. Returns whether it is.
    fn pass_over(&mut self, id: u32) -> bool {
        let node = self.lists.node(id);
        let (is_used, uses) = match node.place {
            Place::Small => (node.uses >= USES_FOR_MAIN, 0),
            _ => (node.uses > 0, node.uses.saturating_sub(1)),
        };
        if is_used {
            self.lists.put(id, Place::Main);
            self.lists.node_mut(id).uses = uses;
        }
        is_used
    }

    /// Looks at the cooled entries from where the last search stopped.
    fn search_cooled(&mut self, may_leave: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        if !self.is_searching() {
            self.lists.hand = self.lists.cooled.first();
        }
        for _ in 0..LOOKS_MAX {
            let id = self.lists.hand;
            if id == NONE {
                break;
            }
            self.lists.hand = self.lists.next(id);
            if !self.rescue(id) && may_leave(id) {
                return Some(id);
            }
        }
        None
    }

    /// Cools entries until one may leave, within bounds.
    fn cool_and_search(&mut self, may_leave: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let bytes_max = self.cooled_bytes() + self.bytes() / COOLED_PARTS;
        let count_max = self.lists.cooled.count + COOLED_MAX;
        let mut turns = TURNS_MAX;
        while turns > 0 && (self.lists.cooled.count < count_max || self.cooled_bytes() < bytes_max) {
            let id = self.cool_within(&mut turns)?;
            if may_leave(id) {
                return Some(id);
            }
            turns = turns.saturating_sub(1);
        }
        None
    }

    /// Moves a cooled entry that was used since to Main. Returns whether it was.
    fn rescue(&mut self, id: u32) -> bool {
        let is_used = self.lists.node(id).uses > 0;
        if is_used {
            self.lists.put(id, Place::Main);
        }
        is_used
    }

    fn leave(&mut self, id: u32) {
        if self.lists.node(id).was_main {
            return self.lists.put(id, Place::Absent);
        }
        self.ghosts = self.ghosts.wrapping_add(1);
        self.lists.put(id, Place::Ghost);
        self.lists.set_ghost_number(id, self.ghosts);
    }
}
