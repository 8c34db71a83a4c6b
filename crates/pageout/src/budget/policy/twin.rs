//! The same policy in plain collections: each operation does what its documentation says, and nothing for speed. What was
//! measured before it was chosen is a parameter here.

use std::collections::{BTreeMap, VecDeque};

use super::{COOLED_MAX, COOLED_PARTS, LOOKS_MAX, Place, SMALL_PARTS, TURNS_MAX, USES_FOR_MAIN, USES_MAX};
use crate::units::{self, KIB};

/// Which evicted entries enter Main when they are back soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ghosts {
    Nobody,
    /// Those that were not in Main.
    OfSmall,
    /// Those, while fewer left since than Main has entries, not all queues.
    OfSmallAsMain,
    All,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    pub(super) small_parts: u64,
    pub(super) uses_for_main: u8,
    pub(super) ghosts: Ghosts,
    pub(super) turns_max: u32,
}

impl Parameters {
    /// Those of [`super::Policy`].
    pub(super) const CHOSEN: Self =
        Self { small_parts: SMALL_PARTS, uses_for_main: USES_FOR_MAIN, ghosts: Ghosts::OfSmall, turns_max: TURNS_MAX };
}

/// An entry in memory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kib: u64,
    uses: u8,
    place: Place,
    /// Whether it is in Main, or was when it was cooled.
    was_main: bool,
}

#[derive(Debug)]
pub(super) struct Twin {
    parameters: Parameters,
    entries: BTreeMap<u32, Entry>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    cooled: VecDeque<u32>,
    /// The cooled entries that the search has still to look at; empty between searches.
    ahead: VecDeque<u32>,
    /// The ghosts, and their numbers.
    ghosts: BTreeMap<u32, u32>,
    ghosts_ever: u32,
    /// Bytes of Small, Main and Cooled in KiB.
    kib: [u64; 3],
}

impl Twin {
    pub(super) fn new(parameters: Parameters) -> Self {
        let queue = VecDeque::new;
        let (small, main, cooled, ahead) = (queue(), queue(), queue(), queue());
        Self {
            parameters,
            entries: BTreeMap::new(),
            small,
            main,
            cooled,
            ahead,
            ghosts: BTreeMap::new(),
            ghosts_ever: 0,
            kib: [0; 3],
        }
    }

    pub(super) fn insert(&mut self, id: u32, bytes: u64) {
        let number = self.ghosts.remove(&id);
        let is_known = number.is_some_and(|at| units::index(self.ghosts_ever - at) < self.ghosts_max());
        self.remove(id);
        let kib = bytes.div_ceil(KIB).clamp(1, u64::from(u32::MAX));
        self.entries.insert(id, Entry { kib, uses: 0, place: Place::Absent, was_main: false });
        self.push(id, if is_known { Place::Main } else { Place::Small });
    }

    pub(super) fn touch(&mut self, id: u32) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.uses = USES_MAX.min(entry.uses + 1);
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        if self.entries.contains_key(&id) {
            self.pull(id);
            self.entries.remove(&id);
        }
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.remove(id);
        self.ghosts.remove(&id);
    }

    pub(super) fn cool(&mut self) -> Option<u32> {
        let mut turns = self.parameters.turns_max;
        self.cool_within(&mut turns)
    }

    pub(super) fn evict(&mut self, mut may_leave: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut found = self.search(&mut may_leave);
        if found.is_none() && self.ahead.is_empty() {
            found = self.cool_and_search(&mut may_leave);
        }
        found.inspect(|&id| self.leave(id))
    }

    pub(super) fn evict_cooled(&mut self, mut may_leave: impl FnMut(u32) -> bool) -> Option<u32> {
        self.search(&mut may_leave).inspect(|&id| self.leave(id))
    }

    pub(super) fn evict_this(&mut self, id: u32) -> bool {
        let is_cold = self.entries.get(&id).is_some_and(|entry| entry.place == Place::Cooled && entry.uses == 0);
        if is_cold {
            self.leave(id);
        }
        is_cold
    }

    pub(super) fn is_searching(&self) -> bool {
        !self.ahead.is_empty()
    }

    pub(super) fn next_cooled(&mut self, after: Option<u32>) -> Option<u32> {
        let at = after.and_then(|id| self.cooled.iter().position(|&cooled| cooled == id)).map_or(0, |at| at + 1);
        while let Some(&id) = self.cooled.get(at) {
            if !self.rescue(id) {
                return Some(id);
            }
        }
        None
    }

    pub(super) fn cooled_bytes(&self) -> u64 {
        self.kib[2] * KIB
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kib.iter().sum::<u64>() * KIB
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn ghosts_max(&self) -> usize {
        if self.parameters.ghosts == Ghosts::OfSmallAsMain { self.main.len() } else { self.len() }
    }

    fn search(&mut self, may_leave: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        if self.ahead.is_empty() {
            self.ahead.clone_from(&self.cooled);
        }
        for _ in 0..LOOKS_MAX {
            let id = self.ahead.pop_front()?;
            if !self.rescue(id) && may_leave(id) {
                return Some(id);
            }
        }
        None
    }

    fn cool_and_search(&mut self, may_leave: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut turns, mut count) = (self.parameters.turns_max, 0);
        let (cooled_before, eighth) = (self.cooled_bytes(), self.bytes() / COOLED_PARTS);
        while turns > 0 && (count < COOLED_MAX || self.cooled_bytes() - cooled_before < eighth) {
            let id = self.cool_within(&mut turns)?;
            if may_leave(id) {
                return Some(id);
            }
            turns = turns.saturating_sub(1);
            count += 1;
        }
        None
    }

    fn cool_within(&mut self, turns: &mut u32) -> Option<u32> {
        loop {
            let is_small = self.kib[0] * self.parameters.small_parts > self.kib[0] + self.kib[1] || self.main.is_empty();
            let id = *if is_small { self.small.front() } else { self.main.front() }?;
            if *turns > 0 && self.pass_over(id) {
                *turns -= 1;
            } else {
                self.pull(id);
                self.push(id, Place::Cooled);
                return Some(id);
            }
        }
    }

    fn pass_over(&mut self, id: u32) -> bool {
        let Entry { uses, place, .. } = self.entries[&id];
        let (is_used, left) = match place {
            Place::Small => (uses >= self.parameters.uses_for_main, 0),
            _ => (uses > 0, uses.max(1) - 1),
        };
        if is_used {
            self.pull(id);
            self.push(id, Place::Main);
            self.entries.get_mut(&id).expect("in memory").uses = left;
        }
        is_used
    }

    fn rescue(&mut self, id: u32) -> bool {
        let is_used = self.entries[&id].uses > 0;
        if is_used {
            self.pull(id);
            self.push(id, Place::Main);
        }
        is_used
    }

    fn leave(&mut self, id: u32) {
        let was_main = self.entries[&id].was_main;
        self.remove(id);
        let is_ghost = match self.parameters.ghosts {
            Ghosts::Nobody => false,
            Ghosts::OfSmall | Ghosts::OfSmallAsMain => !was_main,
            Ghosts::All => true,
        };
        if is_ghost {
            self.ghosts_ever += 1;
            self.ghosts.insert(id, self.ghosts_ever);
        }
    }

    /// Takes an entry out of its queue.
    fn pull(&mut self, id: u32) {
        let Entry { kib, place, .. } = self.entries[&id];
        let (queue, queue_kib) = self.queue(place);
        let at = queue.iter().position(|&other| other == id).expect("in its queue");
        queue.remove(at);
        *queue_kib -= kib;
        self.ahead.retain(|&other| other != id);
    }

    /// Puts an entry that is in no queue at the end of one, unused.
    fn push(&mut self, id: u32, place: Place) {
        let entry = self.entries.get_mut(&id).expect("in memory");
        (entry.place, entry.uses) = (place, 0);
        entry.was_main |= place == Place::Main;
        let kib = entry.kib;
        let (queue, queue_kib) = self.queue(place);
        queue.push_back(id);
        *queue_kib += kib;
        if place == Place::Cooled && !self.ahead.is_empty() {
            self.ahead.push_back(id);
        }
    }

    fn queue(&mut self, place: Place) -> (&mut VecDeque<u32>, &mut u64) {
        let [small, main, cooled] = &mut self.kib;
        match place {
            Place::Small => (&mut self.small, small),
            Place::Main => (&mut self.main, main),
            _ => (&mut self.cooled, cooled),
        }
    }
}
