//! The order of use, which most caches follow.

use std::collections::{BTreeMap, HashMap};

/// Says what would be in memory where the least recently used leaves first.
pub(super) struct Lru {
    room: usize,
    /// When each number was used.
    times: HashMap<usize, u64>,
    /// What was used at that time.
    numbers: BTreeMap<u64, usize>,
    now: u64,
}

impl Lru {
    pub(super) fn new(room: usize) -> Self {
        Self { room, times: HashMap::new(), numbers: BTreeMap::new(), now: 0 }
    }

    /// Uses a number; says whether it was there.
    pub(super) fn hits(&mut self, number: usize) -> bool {
        self.now += 1;
        self.numbers.insert(self.now, number);
        let before = self.times.insert(number, self.now);
        if let Some(time) = before {
            self.numbers.remove(&time);
        }
        if self.numbers.len() > self.room
            && let Some((_, coldest)) = self.numbers.pop_first()
        {
            self.times.remove(&coldest);
        }
        before.is_some()
    }
}
