//! The entries of a budget, behind its lock: where each payload is, and who uses it. No I/O, and nothing is freed here: what leaves
//! is handed to the caller, who drops it without the lock.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use super::Account;
use super::account::count;
use super::policy::Policy;
use super::resident::ResidentMemory;
use crate::error::Error;
use crate::payload::Stored;
use crate::store::Place;
use crate::sync::UnsizedArc;
use crate::sys::fork;

/// How often one call searches on for a payload that may leave.
const SEARCHES_MAX: usize = 16;

/// A payload: in memory, on disk, or both.
pub(super) struct Entry {
    pub(super) account: UnsizedArc<Account>,
    pub(super) memory: Option<UnsizedArc<ResidentMemory>>,
    pub(super) copy: Copy,
    pub(super) len_bytes: u64,
    pub(super) borrows: u32,
    /// Who waits until it is not being written. Nobody begins another write meanwhile.
    pub(super) waiters: u32,
    pub(super) flags: Flags,
}

/// The payload on disk.
pub(super) enum Copy {
    /// There is none, and no place for one.
    None,
    /// A place was claimed, nothing is written there.
    Claimed(Place),
    /// This process is writing it, or looking whether it is still good.
    Busy(u32),
    /// It is there. Good, unless the memory was changed since.
    Written(UnsizedArc<Stored>),
}

/// What else is true of an entry.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with a name")]
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// Nobody has a handle any more; whoever is done with the entry last removes it.
    pub(super) is_freed: bool,
    /// Somebody is reading it into memory.
    pub(super) is_arriving: bool,
    /// The keeper is, and no borrow that waits for that has been counted.
    pub(super) is_uncounted: bool,
    /// It is listed among those that are to be read into memory.
    pub(super) is_wanted: bool,
    /// Somebody else than this crate may write to its memory now, or free it. Nobody reads it through the pager then.
    pub(super) is_exposed: bool,
    /// It has gone to another thread: no memory of the one that it left may come for it.
    pub(super) is_moved: bool,
    /// Somebody may have changed its memory since it was written.
    pub(super) is_suspect: bool,
    /// It was written since it came into memory.
    is_written: bool,
    /// It is listed among those that are to be written next.
    is_due: bool,
    /// Writing it failed, and nobody has tried again with success.
    is_failed: bool,
    /// A thread that this process does not have, being a forked one, uses its memory for good.
    is_stuck: bool,
}

impl Entry {
    /// Whether this process is writing it. What another process was doing when it forked this one is not done.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.copy, Copy::Busy(process) if process == fork::process())
    }

    fn is_clean(&self) -> bool {
        matches!(self.copy, Copy::Written(_)) && !self.flags.is_suspect
    }

    fn may_leave(&self) -> bool {
        self.is_unused() && self.borrows == 0 && self.is_clean()
    }

    /// Whether it is in memory, which nobody uses at this moment.
    pub(super) fn is_unused(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| UnsizedArc::strong_count(memory) == 1)
    }

    /// Whether it may be written now, and somebody wants it to be.
    fn is_writable(&self) -> bool {
        let is_wanted = !self.flags.is_freed && !self.account.is_closed() && self.waiters == 0;
        is_wanted && self.memory.is_some() && !self.is_clean() && !self.is_busy() && !self.flags.is_exposed
    }

    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.bytes())
    }

    fn dirty_bytes(&self) -> u64 {
        if self.is_clean() { 0 } else { self.bytes() }
    }
}

/// What is removed of an entry, to be dropped without the lock.
pub(super) struct Removed {
    _memory: Option<UnsizedArc<ResidentMemory>>,
    _copy: Copy,
}

/// What somebody writes, or looks at again, without the lock.
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) account: UnsizedArc<Account>,
    pub(super) memory: UnsizedArc<ResidentMemory>,
    pub(super) copy: Copy,
    pub(super) len_bytes: u64,
}

pub(super) struct Ledger {
    entries: Vec<Option<Entry>>,
    /// Positions of none.
    free: Vec<u32>,
    policy: Policy,
    /// Cold ones to be written, coldest first.
    due: VecDeque<u32>,
    /// To be read into memory by the keeper.
    pub(super) wanted: VecDeque<super::writer::Wanted>,
    /// Bytes in memory.
    resident_bytes: u64,
    /// Those of them without a good copy.
    dirty_bytes: u64,
    borrowed_bytes: u64,
    /// Why payloads could not be written; nothing once they were.
    failure: Option<Error>,
    /// How many these are.
    failed: u32,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            policy: Policy::new(),
            due: VecDeque::new(),
            wanted: VecDeque::new(),
            resident_bytes: 0,
            dirty_bytes: 0,
            borrowed_bytes: 0,
            failure: None,
            failed: 0,
        }
    }

    /// Forgets what threads were doing which a forked process does not have.
    pub(super) fn inherit(&mut self) {
        // Memory that is in no entry was theirs.
        self.entries.iter().flatten().for_each(|entry| entry.account.forget_resident());
        for entry in self.entries.iter_mut().flatten() {
            entry.account.add_resident(entry.bytes());
            entry.waiters = 0;
            entry.flags.is_arriving = false;
            entry.flags.is_stuck =
                entry.borrows == 0 && entry.memory.as_ref().is_some_and(|memory| UnsizedArc::strong_count(memory) > 1);
        }
    }

    /// Makes room for one more entry.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        if self.free.is_empty() {
            self.entries.try_reserve(1)?;
            // For the day on which all entries are gone.
            let count = self.entries.len() + 1;
            self.free.try_reserve(count)?;
            self.due.try_reserve(count.saturating_sub(self.due.len()))?;
            self.policy.prepare(u32::try_from(self.entries.len()).map_err(|_| Error::out_of_memory())?)?;
        }
        Ok(())
    }

    /// Adds an entry, for which room was made.
    pub(super) fn add(&mut self, entry: Entry) -> u32 {
        let (bytes, dirty_bytes) = (entry.bytes(), entry.dirty_bytes());
        let id = if let Some(id) = self.free.pop() {
            self.entries[id as usize] = Some(entry);
            id
        } else {
            self.entries.push(Some(entry));
            u32::try_from(self.entries.len() - 1).expect("fewer entries than handles fit into memory")
        };
        if bytes > 0 {
            self.policy.insert(id, bytes);
            self.resident_bytes += bytes;
            self.dirty_bytes += dirty_bytes;
        }
        id
    }

    /// The entry of a ticket.
    pub(super) fn entry(&mut self, id: u32) -> &mut Entry {
        self.entries[id as usize].as_mut().expect("an entry is there as long as its ticket")
    }

    /// The memory of an entry that is about to be read, where it is in memory.
    pub(super) fn touch(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let memory = self.entry(id).memory.clone();
        if memory.is_some() {
            self.policy.touch(id);
        }
        memory
    }

    /// Removes an entry that nobody uses.
    pub(super) fn remove(&mut self, id: u32) -> Removed {
        let mut entry = self.entries[id as usize].take().expect("an entry is there as long as its ticket");
        self.policy.forget(id);
        self.free.push(id);
        self.resident_bytes -= entry.bytes();
        self.dirty_bytes -= entry.dirty_bytes();
        if entry.flags.is_failed {
            self.end_failure();
        }
        if entry.memory.is_some() && !entry.is_clean() {
            count(&entry.account.counters.writes_elided);
        }
        Removed { _memory: entry.memory.take(), _copy: entry.copy }
    }

    /// Removes an entry whose ticket is gone, if nobody uses it.
    pub(super) fn remove_if_unused(&mut self, id: u32) -> Option<Removed> {
        let entry = self.entry(id);
        let is_used = entry.borrows > 0 || entry.is_busy() || entry.flags.is_arriving;
        (entry.flags.is_freed && !is_used).then(|| self.remove(id))
    }

    /// A payload has come into memory.
    pub(super) fn arrive(&mut self, id: u32, memory: UnsizedArc<ResidentMemory>) {
        let bytes = memory.bytes();
        let entry = self.entry(id);
        entry.flags.is_written = false;
        entry.memory = Some(memory);
        self.resident_bytes += bytes;
        self.policy.insert(id, bytes);
        self.add_borrowed(id);
    }

    /// Gives an entry other memory with the same bytes, and gives back what it had.
    pub(super) fn replace(&mut self, id: u32, memory: UnsizedArc<ResidentMemory>) -> Option<UnsizedArc<ResidentMemory>> {
        self.remove_borrowed(id);
        let bytes = memory.bytes();
        let entry = self.entry(id);
        let (was_bytes, was_dirty_bytes) = (entry.bytes(), entry.dirty_bytes());
        let old = entry.memory.replace(memory);
        let is_dirty_bytes = entry.dirty_bytes();
        self.add_borrowed(id);
        self.resident_bytes = self.resident_bytes + bytes - was_bytes;
        self.dirty_bytes = self.dirty_bytes - was_dirty_bytes + is_dirty_bytes;
        self.policy.remove(id);
        self.policy.insert(id, bytes);
        old
    }

    /// Somebody borrows an entry, which stays in memory.
    pub(super) fn borrow(&mut self, id: u32) {
        let entry = self.entry(id);
        entry.borrows += 1;
        if entry.borrows == 1 {
            self.add_borrowed(id);
        }
    }

    /// A borrow ends.
    pub(super) fn end_borrow(&mut self, id: u32) {
        if self.entry(id).borrows == 1 {
            self.remove_borrowed(id);
        }
        self.entry(id).borrows -= 1;
    }

    /// Somebody else borrows an entry, and may write to its memory.
    pub(super) fn expose(&mut self, id: u32) {
        self.borrow(id);
        self.entry(id).flags.is_exposed = true;
    }

    /// Ends that.
    pub(super) fn end_exposure(&mut self, id: u32) {
        let entry = self.entry(id);
        let was_dirty_bytes = entry.dirty_bytes();
        // Without checksums nobody could tell.
        entry.flags.is_suspect |= entry.account.integrity;
        entry.flags.is_exposed = false;
        let is_dirty_bytes = entry.dirty_bytes();
        self.dirty_bytes = self.dirty_bytes - was_dirty_bytes + is_dirty_bytes;
        self.end_borrow(id);
    }

    /// Counts the memory of an entry that is borrowed.
    fn add_borrowed(&mut self, id: u32) {
        let entry = self.entry(id);
        let bytes = if entry.borrows > 0 { entry.bytes() } else { 0 };
        entry.account.borrowed_bytes.fetch_add(bytes, Release);
        self.borrowed_bytes += bytes;
    }

    /// Undoes that, before it has other memory or borrows.
    fn remove_borrowed(&mut self, id: u32) {
        let entry = self.entry(id);
        let bytes = if entry.borrows > 0 { entry.bytes() } else { 0 };
        entry.account.borrowed_bytes.fetch_sub(bytes, AcqRel);
        self.borrowed_bytes -= bytes;
    }

    /// The memory of an entry is gone: its owner took it away, and does not look at it any more. Says whether there is a copy.
    pub(super) fn lose_memory(&mut self, id: u32) -> (bool, Option<UnsizedArc<ResidentMemory>>) {
        self.remove_borrowed(id);
        let entry = self.entry(id);
        let (bytes, dirty_bytes) = (entry.bytes(), entry.dirty_bytes());
        let has_copy = matches!(entry.copy, Copy::Written(_));
        let memory = entry.memory.take();
        entry.borrows -= u32::from(entry.flags.is_exposed);
        entry.flags.is_exposed = false;
        entry.flags.is_suspect = false;
        self.resident_bytes -= bytes;
        self.dirty_bytes -= dirty_bytes;
        self.policy.remove(id);
        (has_copy, memory)
    }

    /// Lets the coldest clean payload leave memory.
    pub(super) fn evict(&mut self) -> Option<UnsizedArc<ResidentMemory>> {
        // Each search looks at few.
        let mut found = self.search();
        for _ in 0..SEARCHES_MAX {
            if found.is_some() || !self.policy.is_searching() {
                break;
            }
            found = self.search();
        }
        let id = found?;
        let entry = self.entry(id);
        count(&entry.account.counters.evictions);
        if !std::mem::take(&mut entry.flags.is_written) {
            count(&entry.account.counters.evictions_without_write);
        }
        let memory = entry.memory.take()?;
        memory.memory.set_evicted();
        self.resident_bytes -= memory.bytes();
        Some(memory)
    }

    /// The coldest that may leave, among those that one search looks at; lists those on the way that have to be written first.
    fn search(&mut self) -> Option<u32> {
        let Self { entries, policy, due, .. } = self;
        policy.evict(|id| {
            let entry = entries[id as usize].as_mut().expect("what is in memory has an entry");
            let may_leave = entry.may_leave();
            if !may_leave && entry.is_writable() && !entry.flags.is_due && due.len() < due.capacity() {
                entry.flags.is_due = true;
                due.push_back(id);
            }
            may_leave
        })
    }

    /// Lets a payload leave memory where nobody uses that, also one that is borrowed for later.
    #[cfg(feature = "addon-internals")]
    pub(super) fn leave(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let entry = self.entry(id);
        if !entry.is_unused() || !entry.is_clean() || entry.flags.is_exposed {
            return None;
        }
        self.remove_borrowed(id);
        let memory = self.entry(id).memory.take()?;
        self.resident_bytes -= memory.bytes();
        self.policy.remove(id);
        Some(memory)
    }

    /// The coldest payload that needs to be written.
    pub(super) fn next_due(&mut self) -> Option<u32> {
        self.next_listed().or_else(|| self.next_cold())
    }

    /// The first that was to leave and has to be written before.
    pub(super) fn next_listed(&mut self) -> Option<u32> {
        while let Some(id) = self.due.pop_front() {
            if let Some(entry) = self.entries[id as usize].as_mut() {
                entry.flags.is_due = false;
                if self.may_write(id) {
                    return Some(id);
                }
            }
        }
        None
    }

    fn next_cold(&mut self) -> Option<u32> {
        while let Some(id) = self.policy.cool() {
            if self.may_write(id) {
                return Some(id);
            }
        }
        // What could not be written when it was cooled.
        let mut last = None;
        while let Some(id) = self.policy.next_cooled(last) {
            if self.may_write(id) {
                return Some(id);
            }
            last = Some(id);
        }
        None
    }

    fn may_write(&mut self, id: u32) -> bool {
        let entry = self.entry(id);
        entry.is_writable() && !entry.flags.is_failed
    }

    /// Lists what could not be written, to be tried again. There is no failure then until one fails again.
    pub(super) fn list_failed(&mut self) {
        for (id, entry) in (0u32..).zip(&mut self.entries) {
            let Some(entry) = entry else { continue };
            let has_failed = std::mem::take(&mut entry.flags.is_failed);
            if has_failed && entry.is_writable() && !entry.flags.is_due && self.due.len() < self.due.capacity() {
                entry.flags.is_due = true;
                self.due.push_back(id);
            }
        }
        self.failed = 0;
        self.failure = None;
    }

    /// Begins to write an entry, if that is to be done.
    pub(super) fn begin(&mut self, id: u32) -> Option<Job> {
        let entry = self.entries[id as usize].as_mut().filter(|entry| entry.is_writable())?;
        let memory = UnsizedArc::clone(entry.memory.as_ref()?);
        memory.stop.store(false, Relaxed);
        let copy = std::mem::replace(&mut entry.copy, Copy::Busy(fork::process()));
        Some(Job { id, account: UnsizedArc::clone(&entry.account), memory, copy, len_bytes: entry.len_bytes })
    }

    /// Ends it: the entry has `copy` now. Gives what is left of an entry that nobody wants any more.
    pub(super) fn end(&mut self, id: u32, copy: Copy, failure: Option<Error>) -> Option<Removed> {
        let entry = self.entry(id);
        let bytes = entry.bytes();
        let was_suspect = entry.flags.is_suspect;
        entry.flags.is_suspect &= failure.is_some();
        let is_written = matches!(copy, Copy::Written(_)) && failure.is_none();
        entry.flags.is_written |= is_written && !was_suspect;
        entry.copy = copy;
        let was_failed = std::mem::replace(&mut entry.flags.is_failed, failure.is_some());
        self.dirty_bytes -= if is_written { bytes } else { 0 };
        match failure {
            Some(error) => {
                count(&self.entry(id).account.counters.background_write_failures);
                self.failed += u32::from(!was_failed);
                self.failure = Some(error);
            }
            None if was_failed => self.end_failure(),
            None if is_written && self.failed == 0 => self.failure = None,
            None => {}
        }
        self.remove_if_unused(id)
    }

    fn end_failure(&mut self) {
        self.failed = self.failed.saturating_sub(1);
        if self.failed == 0 {
            self.failure = None;
        }
    }

    /// How many there are that were to leave and have to be written before, about.
    pub(super) fn listed(&self) -> usize {
        self.due.len()
    }

    /// Whether something is being written.
    pub(super) fn is_any_busy(&self) -> bool {
        self.entries.iter().flatten().any(Entry::is_busy)
    }

    /// Whether something may leave, or may soon: somebody reads it at this moment.
    pub(super) fn may_evict(&self) -> bool {
        let is_free =
            |entry: &Entry| entry.memory.is_some() && entry.borrows == 0 && !entry.flags.is_failed && !entry.flags.is_stuck;
        self.entries.iter().flatten().any(is_free)
    }

    /// Begins to read an entry in that somebody wanted. Nothing where it has changed since.
    pub(super) fn begin_arrival(&mut self, id: u32, account: &UnsizedArc<Account>) -> Option<(UnsizedArc<Stored>, u64)> {
        let entry = self.entries.get_mut(id as usize)?.as_mut()?;
        entry.flags.is_wanted = false;
        let is_wanted = UnsizedArc::ptr_eq(&entry.account, account) && entry.memory.is_none();
        let Copy::Written(stored) = &entry.copy else { return None };
        if !is_wanted || entry.flags.is_arriving || entry.flags.is_freed || account.is_closed() {
            return None;
        }
        entry.flags.is_arriving = true;
        entry.flags.is_uncounted = true;
        Some((UnsizedArc::clone(stored), entry.len_bytes))
    }

    /// Entries, those that are gone included.
    pub(super) fn positions(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("fewer entries than handles fit into memory")
    }

    /// What an entry of a pager that is closed has in memory, where nobody borrows it.
    pub(super) fn take_of(&mut self, id: u32, account: &UnsizedArc<Account>) -> Option<UnsizedArc<ResidentMemory>> {
        let entry = self.entries.get(id as usize)?.as_ref()?;
        let is_there = entry.memory.is_some() && UnsizedArc::ptr_eq(&entry.account, account);
        if is_there && entry.borrows == 0 && !entry.is_busy() { self.lose_memory(id).1 } else { None }
    }

    /// Tells those who write for a pager to stop. Says whether there are some.
    pub(super) fn stop_all_of(&mut self, account: &UnsizedArc<Account>) -> bool {
        let busy = self.entries.iter().flatten().filter(|entry| entry.is_busy() && UnsizedArc::ptr_eq(&entry.account, account));
        let memories = busy.filter_map(|entry| entry.memory.as_ref());
        memories.map(|memory| memory.stop.store(true, Relaxed)).count() > 0
    }

    /// Whether some of the rooms, `used_bytes` together, are with a thread that is bringing memory in, or freeing it.
    pub(super) fn is_any_on_its_way(&self, used_bytes: u64) -> bool {
        used_bytes > self.resident_bytes
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes
    }

    pub(super) fn borrowed_bytes(&self) -> u64 {
        self.borrowed_bytes
    }

    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }
}
