//! Other policies, as small as they get, to compare hit ratios with.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// What a cache does on an access; the sizes are kept by whoever drives it.
pub(super) trait Cache {
    /// An entry in memory is used.
    fn touch(&mut self, id: u32);
    fn insert(&mut self, id: u32, kib: u64);
    /// Takes the next entry out of memory.
    fn evict(&mut self) -> u32;
}

/// The least recently used leaves first.
#[derive(Default)]
pub(super) struct Lru {
    order: BTreeMap<u64, u32>,
    at: HashMap<u32, u64>,
    time: u64,
}

impl Cache for Lru {
    fn touch(&mut self, id: u32) {
        self.order.remove(&self.at[&id]);
        self.insert(id, 0);
    }

    fn insert(&mut self, id: u32, _kib: u64) {
        self.time += 1;
        self.at.insert(id, self.time);
        self.order.insert(self.time, id);
    }

    fn evict(&mut self) -> u32 {
        let (_, id) = self.order.pop_first().expect("something to evict");
        self.at.remove(&id);
        id
    }
}

/// One queue; what was used goes round once more.
#[derive(Default)]
pub(super) struct Clock {
    queue: VecDeque<u32>,
    used: HashMap<u32, bool>,
}

impl Cache for Clock {
    fn touch(&mut self, id: u32) {
        self.used.insert(id, true);
    }

    fn insert(&mut self, id: u32, _kib: u64) {
        self.used.insert(id, false);
        self.queue.push_back(id);
    }

    fn evict(&mut self) -> u32 {
        loop {
            let id = self.queue.pop_front().expect("something to evict");
            if self.used.insert(id, false) == Some(false) {
                self.used.remove(&id);
                return id;
            }
            self.queue.push_back(id);
        }
    }
}

/// A hand goes from the oldest to the newest, and leaves what was used where it is.
#[derive(Default)]
pub(super) struct Sieve {
    order: BTreeMap<u64, u32>,
    used: HashMap<u32, bool>,
    hand: u64,
    time: u64,
}

impl Cache for Sieve {
    fn touch(&mut self, id: u32) {
        self.used.insert(id, true);
    }

    fn insert(&mut self, id: u32, _kib: u64) {
        self.time += 1;
        self.order.insert(self.time, id);
        self.used.insert(id, false);
    }

    fn evict(&mut self) -> u32 {
        loop {
            let next = self.order.range(self.hand..).next().or_else(|| self.order.first_key_value());
            let (&at, &id) = next.expect("something to evict");
            self.hand = at + 1;
            if self.used.insert(id, false) == Some(false) {
                self.used.remove(&id);
                self.order.remove(&at);
                return id;
            }
        }
    }
}

/// S3-FIFO as published: Small of a tenth, Main, and a queue of as many ghosts as Main may have entries.
#[derive(Default)]
pub(super) struct S3Fifo {
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghosts: VecDeque<u32>,
    ghost_set: HashSet<u32>,
    /// Uses and size.
    entries: HashMap<u32, (u8, u64)>,
    small_kib: u64,
    kib: u64,
}

impl S3Fifo {
    fn evict_small(&mut self) -> Option<u32> {
        let id = self.small.pop_front()?;
        let (uses, kib) = self.entries[&id];
        self.small_kib -= kib;
        if uses > 1 {
            self.entries.insert(id, (0, kib));
            self.main.push_back(id);
            return None;
        }
        self.ghosts.push_back(id);
        self.ghost_set.insert(id);
        while self.ghosts.len() > self.entries.len() * 9 / 10 {
            let oldest = self.ghosts.pop_front().expect("not empty");
            self.ghost_set.remove(&oldest);
        }
        Some(id)
    }

    fn evict_main(&mut self) -> Option<u32> {
        let id = self.main.pop_front()?;
        let (uses, kib) = self.entries[&id];
        if uses > 0 {
            self.entries.insert(id, (uses - 1, kib));
            self.main.push_back(id);
            return None;
        }
        Some(id)
    }
}

impl Cache for S3Fifo {
    fn touch(&mut self, id: u32) {
        let (uses, _) = self.entries.get_mut(&id).expect("in memory");
        *uses = 3.min(*uses + 1);
    }

    fn insert(&mut self, id: u32, kib: u64) {
        self.entries.insert(id, (0, kib));
        self.kib += kib;
        if self.ghost_set.remove(&id) {
            self.ghosts.retain(|&ghost| ghost != id);
            self.main.push_back(id);
        } else {
            self.small_kib += kib;
            self.small.push_back(id);
        }
    }

    fn evict(&mut self) -> u32 {
        loop {
            let is_small = self.small_kib * 10 > self.kib || self.main.is_empty();
            if let Some(id) = if is_small { self.evict_small() } else { self.evict_main() } {
                let (_, kib) = self.entries.remove(&id).expect("in memory");
                self.kib -= kib;
                return id;
            }
        }
    }
}
