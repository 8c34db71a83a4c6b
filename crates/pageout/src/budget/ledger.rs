//! The entries of a budget, behind its lock: where each payload is, and who uses it. No I/O, and nothing is freed here: what leaves
//! is handed to the caller, who drops it without the lock.

use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::Ordering::{AcqRel, Release};

use super::Account;
use super::account::count;
use super::entry::{Entry, Flag, OnDisk, Write};
use super::policy::Policy;
use super::resident::ResidentMemory;
use super::slab::Slab;
use super::writer::Wanted;
use crate::error::Error;
use crate::payload::Stored;
use crate::sync::UnsizedArc;
use crate::sys::fork;
use crate::units;

/// How often one call searches on for a payload that may leave.
const SEARCHES_MAX: usize = 16;
/// The most entries that are listed to be written next. Others are found when these are written.
const DUE_MAX: usize = 1024;
/// While so many are listed, a search goes no further than what is cooled.
const DUE_ENOUGH: usize = 64;
/// No position.
const NONE: u32 = u32::MAX;

/// What is removed of an entry, to be dropped without the lock.
pub(super) struct Removed {
    _memory: Option<UnsizedArc<ResidentMemory>>,
    _copy: OnDisk,
}

/// What somebody writes, or looks at again, without the lock.
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) memory: UnsizedArc<ResidentMemory>,
    pub(super) copy: OnDisk,
    pub(super) write: UnsizedArc<Write>,
}

/// How that ended.
pub(super) struct Outcome {
    pub(super) copy: OnDisk,
    /// Whether it was written, and not only found to be still good.
    pub(super) is_written: bool,
    /// Whether somebody stopped it, so that nothing is known of a copy that there was.
    pub(super) is_stopped: bool,
    pub(super) failure: Option<Error>,
}

/// A position of the list of entries.
enum Position {
    Used(Entry),
    /// And the next free one.
    Free(u32),
}

const _: () = assert!(size_of::<Position>() == size_of::<Entry>(), "whether a position is free takes no memory");

impl Position {
    fn entry(&self) -> Option<&Entry> {
        if let Self::Used(entry) = self { Some(entry) } else { None }
    }

    fn entry_mut(&mut self) -> Option<&mut Entry> {
        if let Self::Used(entry) = self { Some(entry) } else { None }
    }
}

pub(super) struct Ledger {
    positions: Slab<Position>,
    /// The first free one.
    free: u32,
    policy: Policy,
    /// Cold ones to be written, coldest first.
    due: VecDeque<u32>,
    /// To be read into memory by the keeper.
    wanted: VecDeque<Wanted>,
    /// The pagers that share the budget.
    accounts: Vec<Weak<Account>>,
    /// Bytes in memory.
    resident_bytes: u64,
    /// Those of them without a good copy.
    dirty_bytes: u64,
    borrowed_bytes: u64,
    /// Why payloads could not be written; nothing once they were.
    failure: Option<Error>,
    /// How many these are.
    failed: u32,
    /// Whether a thread is finding room for several payloads at once, while it keeps those that are in memory.
    is_gathering: bool,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            positions: Slab::new(),
            free: NONE,
            policy: Policy::new(),
            due: VecDeque::new(),
            wanted: VecDeque::new(),
            accounts: Vec::new(),
            resident_bytes: 0,
            dirty_bytes: 0,
            borrowed_bytes: 0,
            failure: None,
            failed: 0,
            is_gathering: false,
        }
    }

    /// Begins to find room for several payloads, unless another thread does.
    pub(super) fn begin_gathering(&mut self) -> bool {
        !std::mem::replace(&mut self.is_gathering, true)
    }

    /// Ends that.
    pub(super) fn end_gathering(&mut self) {
        self.is_gathering = false;
    }

    /// Knows a pager that may have entries here.
    pub(super) fn register(&mut self, account: &UnsizedArc<Account>) {
        self.accounts.retain(|account| account.strong_count() > 0);
        self.accounts.push(UnsizedArc::downgrade(account));
    }

    /// Forgets what threads were doing which a forked process does not have.
    pub(super) fn inherit(&mut self) {
        self.is_gathering = false;
        // Memory that is in no entry was theirs.
        self.accounts.iter().filter_map(Weak::upgrade).for_each(|account| account.forget_resident());
        for entry in self.positions.iter_mut().filter_map(Position::entry_mut) {
            entry.account().inspect(|account| account.add_resident(entry.bytes()));
            entry.inherit();
        }
    }

    /// Makes room for one more entry.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        if self.free == NONE {
            let id = self.positions.len();
            if id == NONE {
                return Err(Error::out_of_memory());
            }
            self.positions.try_reserve()?;
            self.due.try_reserve(DUE_MAX.min(units::index(id) + 1).saturating_sub(self.due.len()))?;
            self.policy.prepare(id)?;
        }
        Ok(())
    }

    /// Adds an entry, for which room was made.
    pub(super) fn add(&mut self, entry: Entry) -> u32 {
        let (bytes, dirty_bytes) = (entry.bytes(), entry.dirty_bytes());
        let id = match self.free {
            NONE => self.positions.push(Position::Used(entry)),
            id => {
                if let Position::Free(next) = std::mem::replace(&mut self.positions[id], Position::Used(entry)) {
                    self.free = next;
                }
                id
            }
        };
        if bytes > 0 {
            self.policy.insert(id, bytes);
            self.resident_bytes += bytes;
            self.dirty_bytes += dirty_bytes;
        }
        id
    }

    /// The entry of a ticket.
    #[inline]
    pub(super) fn entry(&mut self, id: u32) -> &mut Entry {
        self.positions[id].entry_mut().expect("an entry is there as long as its ticket")
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.positions.iter().filter_map(Position::entry)
    }

    /// The memory of an entry that is about to be read, where it is in memory.
    #[inline]
    pub(super) fn touch(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let memory = self.entry(id).memory.clone();
        if memory.is_some() {
            self.policy.touch(id);
        }
        memory
    }

    /// Removes an entry that nobody uses.
    pub(super) fn remove(&mut self, id: u32) -> Removed {
        let position = std::mem::replace(&mut self.positions[id], Position::Free(self.free));
        let Position::Used(entry) = position else { unreachable!("an entry is there as long as its ticket") };
        self.free = id;
        self.policy.forget(id);
        self.resident_bytes -= entry.bytes();
        self.dirty_bytes -= entry.dirty_bytes();
        if entry.is(Flag::Failed) {
            self.end_failure();
        }
        if entry.is(Flag::Wanted) {
            self.wanted.retain(|wanted| wanted.id != id);
        }
        if let Some(account) = entry.account().filter(|_| !entry.is_clean()) {
            count(&account.counters.writes_elided);
        }
        Removed { _memory: entry.memory, _copy: entry.copy }
    }

    /// Removes an entry whose ticket is gone, if nobody uses it.
    #[inline]
    pub(super) fn remove_if_unused(&mut self, id: u32) -> Option<Removed> {
        let entry = self.entry(id);
        let is_used = entry.borrows > 0 || entry.is_busy() || entry.is(Flag::Arriving);
        (entry.is(Flag::Freed) && !is_used).then(|| self.remove(id))
    }

    /// A payload has come into memory.
    pub(super) fn arrive(&mut self, id: u32, memory: UnsizedArc<ResidentMemory>) {
        let bytes = memory.bytes();
        let entry = self.entry(id);
        entry.set(Flag::Written, false);
        entry.copy.unshare();
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
    #[inline]
    pub(super) fn borrow(&mut self, id: u32) {
        let entry = self.entry(id);
        entry.borrows += 1;
        if entry.borrows == 1 {
            self.add_borrowed(id);
        }
    }

    /// A borrow ends.
    #[inline]
    pub(super) fn end_borrow(&mut self, id: u32) {
        if self.entry(id).borrows == 1 {
            self.remove_borrowed(id);
        }
        self.entry(id).borrows -= 1;
    }

    /// Somebody else borrows an entry, and may write to its memory.
    #[cfg(feature = "addon-internals")]
    pub(super) fn expose(&mut self, id: u32) {
        self.borrow(id);
        self.entry(id).set(Flag::Exposed, true);
    }

    /// Ends that.
    #[cfg(feature = "addon-internals")]
    pub(super) fn end_exposure(&mut self, id: u32) {
        let entry = self.entry(id);
        let was_dirty_bytes = entry.dirty_bytes();
        // Without checksums nobody could tell.
        if entry.account().is_some_and(|account| account.packing.protection.verifies()) {
            entry.set(Flag::Suspect, true);
        }
        entry.set(Flag::Exposed, false);
        let is_dirty_bytes = entry.dirty_bytes();
        self.dirty_bytes = self.dirty_bytes - was_dirty_bytes + is_dirty_bytes;
        self.end_borrow(id);
    }

    /// Counts the memory of an entry that is borrowed.
    fn add_borrowed(&mut self, id: u32) {
        let entry = self.entry(id);
        if let Some(memory) = entry.memory.as_ref().filter(|_| entry.borrows > 0) {
            let bytes = memory.bytes();
            memory.account().inspect(|account| _ = account.borrowed_bytes.fetch_add(bytes, Release));
            self.borrowed_bytes += bytes;
        }
    }

    /// Undoes that, before it has other memory or borrows.
    fn remove_borrowed(&mut self, id: u32) {
        let entry = self.entry(id);
        if let Some(memory) = entry.memory.as_ref().filter(|_| entry.borrows > 0) {
            let bytes = memory.bytes();
            memory.account().inspect(|account| _ = account.borrowed_bytes.fetch_sub(bytes, AcqRel));
            self.borrowed_bytes -= bytes;
        }
    }

    /// The memory of an entry is gone: its owner took it away, and does not look at it any more. Says whether there is a copy.
    pub(super) fn lose_memory(&mut self, id: u32) -> (bool, Option<UnsizedArc<ResidentMemory>>) {
        self.remove_borrowed(id);
        let entry = self.entry(id);
        let (bytes, dirty_bytes) = (entry.bytes(), entry.dirty_bytes());
        let has_copy = entry.copy.stored().is_some();
        let memory = entry.memory.take();
        entry.borrows -= u32::from(entry.take(Flag::Exposed));
        entry.set(Flag::Suspect, false);
        self.resident_bytes -= bytes;
        self.dirty_bytes -= dirty_bytes;
        self.policy.remove(id);
        (has_copy, memory)
    }

    /// Lets the coldest clean payload leave memory.
    pub(super) fn evict(&mut self) -> Option<UnsizedArc<ResidentMemory>> {
        // Each search looks at few. Where nothing is clean one says what is to be written first.
        let searches_max = if self.dirty_bytes < self.resident_bytes { SEARCHES_MAX } else { 0 };
        let mut found = self.search();
        for _ in 0..searches_max {
            if found.is_some() || !self.policy.is_searching() {
                break;
            }
            found = self.search();
        }
        self.evicted(found?)
    }

    /// Lets a payload leave memory that was written for that, unless it was used since.
    pub(super) fn evict_written(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let may_leave = self.positions[id].entry_mut().is_some_and(|entry| entry.may_leave());
        if may_leave && self.policy.evict_this(id) { self.evicted(id) } else { None }
    }

    /// Counts that, and gives the memory.
    fn evicted(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let entry = self.entry(id);
        let was_written = entry.take(Flag::Written);
        let memory = entry.memory.take()?;
        if let Some(account) = memory.account() {
            count(&account.counters.evictions);
            if !was_written {
                count(&account.counters.evictions_without_write);
            }
        }
        memory.memory.set_evicted();
        self.resident_bytes -= memory.bytes();
        Some(memory)
    }

    /// The coldest that may leave, among those that one search looks at; lists those on the way that have to be written first.
    /// While enough of these wait for that, warmer ones stay.
    fn search(&mut self) -> Option<u32> {
        let Self { positions, policy, due, .. } = self;
        let is_enough_listed = due.len() >= DUE_ENOUGH;
        let may_leave = |id: u32| {
            let entry = positions[id].entry_mut().expect("what is in memory has an entry");
            let may_leave = entry.may_leave();
            if !may_leave && entry.is_writable() {
                list(due, id, entry);
            }
            may_leave
        };
        if is_enough_listed { policy.evict_cooled(may_leave) } else { policy.evict(may_leave) }
    }

    /// Lets a payload leave memory where nobody uses that, also one that is borrowed for later.
    #[cfg(feature = "addon-internals")]
    pub(super) fn leave(&mut self, id: u32) -> Option<UnsizedArc<ResidentMemory>> {
        let entry = self.entry(id);
        if !entry.is_unused() || !entry.is_clean() || entry.is(Flag::Exposed) {
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
            // What is gone may have left its number to another, which is not listed.
            let is_due = self.positions[id].entry_mut().is_some_and(|entry| entry.take(Flag::Due));
            if is_due && self.may_write(id) {
                return Some(id);
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
        entry.is_writable() && !entry.is(Flag::Failed)
    }

    /// Lists what could not be written, to be tried again. There is no failure then until one fails again.
    pub(super) fn list_failed(&mut self) {
        let Self { positions, due, .. } = self;
        for (id, position) in (0u32..).zip(positions.iter_mut()) {
            let Some(entry) = position.entry_mut() else { continue };
            if entry.take(Flag::Failed) && entry.is_writable() {
                list(due, id, entry);
            }
        }
        self.failed = 0;
        self.failure = None;
    }

    /// One that could not be written, and may be tried again.
    pub(super) fn next_failed(&self) -> Option<u32> {
        let is_failed = |position: &Position| position.entry().is_some_and(|entry| entry.is(Flag::Failed) && entry.is_writable());
        (0u32..).zip(self.positions.iter()).find(|(_, position)| is_failed(position)).map(|(id, _)| id)
    }

    /// Begins to write an entry, if that is to be done.
    pub(super) fn begin(&mut self, id: u32) -> Option<Job> {
        let entry = self.positions[id].entry_mut().filter(|entry| entry.is_writable())?;
        let memory = UnsizedArc::clone(entry.memory.as_ref()?);
        let write = UnsizedArc::new(Write::new(memory.account()?));
        let busy = OnDisk::Busy { process: fork::process(), write: UnsizedArc::clone(&write) };
        Some(Job { id, memory, copy: std::mem::replace(&mut entry.copy, busy), write })
    }

    /// Ends it. Gives what is left of an entry that nobody wants any more.
    pub(super) fn end(&mut self, id: u32, Outcome { copy, is_written, is_stopped, failure }: Outcome) -> Option<Removed> {
        let entry = self.entry(id);
        let was_failed = entry.take(Flag::Failed);
        entry.set(Flag::Failed, failure.is_some());
        if failure.is_none() && !is_stopped {
            entry.set(Flag::Suspect, false);
        }
        if is_written {
            entry.set(Flag::Written, true);
        }
        copy.count_saved(!entry.is(Flag::Freed));
        entry.copy = copy;
        let is_clean = entry.is_clean();
        self.dirty_bytes -= if is_clean { self.entry(id).bytes() } else { 0 };
        match failure {
            Some(error) => {
                self.failed += u32::from(!was_failed);
                self.failure = Some(error);
            }
            None if was_failed => self.end_failure(),
            None if is_clean && self.failed == 0 => self.failure = None,
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
        self.entries().any(Entry::is_busy)
    }

    /// Whether something may leave, or may soon: somebody reads it at this moment.
    pub(super) fn may_evict(&self) -> bool {
        let is_free =
            |entry: &Entry| entry.memory.is_some() && entry.borrows == 0 && !entry.is(Flag::Failed) && !entry.is(Flag::Stuck);
        self.entries().any(is_free)
    }

    /// Lists an entry among those that are to be read into memory by the keeper, unless it is there, on its way or listed. A hint:
    /// where the list cannot grow it is not.
    pub(super) fn want(&mut self, wanted: Wanted) {
        let is_listed = self.wanted.try_reserve(1).is_ok();
        let entry = self.entry(wanted.id);
        if is_listed && entry.memory.is_none() && !entry.is(Flag::Arriving) && !entry.is(Flag::Wanted) {
            entry.set(Flag::Wanted, true);
            self.wanted.push_back(wanted);
        }
    }

    /// Begins to read the next entry in that somebody wanted and that has not changed since.
    pub(super) fn begin_arrival(&mut self) -> Option<(Wanted, UnsizedArc<Stored>)> {
        while let Some(wanted) = self.wanted.pop_front() {
            let entry = self.entry(wanted.id);
            entry.set(Flag::Wanted, false);
            let is_in_use = entry.memory.is_some() || entry.is(Flag::Arriving) || entry.is(Flag::Freed);
            if is_in_use || wanted.account.is_closed() {
                continue;
            }
            if let Some(stored) = entry.copy.share() {
                entry.set(Flag::Arriving, true);
                entry.set(Flag::Uncounted, true);
                return Some((wanted, stored));
            }
        }
        None
    }

    /// Entries, those that are gone included.
    pub(super) fn positions(&self) -> u32 {
        self.positions.len()
    }

    /// What an entry of a pager that is closed has in memory, where nobody borrows it.
    pub(super) fn take_of(&mut self, id: u32, account: &UnsizedArc<Account>) -> Option<UnsizedArc<ResidentMemory>> {
        let entry = self.positions.get(id)?.entry()?;
        let is_there = entry.account().is_some_and(|other| UnsizedArc::ptr_eq(other, account));
        if is_there && entry.borrows == 0 && !entry.is_busy() { self.lose_memory(id).1 } else { None }
    }

    /// Tells those who write for a pager to stop. Says whether there are some.
    pub(super) fn stop_all_of(&mut self, account: &UnsizedArc<Account>) -> bool {
        self.entries().filter(|entry| entry.is_busy_for(account)).map(Entry::stop).count() > 0
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

/// Lists an entry among those that are to be written next, as far as there is room.
fn list(due: &mut VecDeque<u32>, id: u32, entry: &mut Entry) {
    if !entry.is(Flag::Due) && due.len() < due.capacity().min(DUE_MAX) {
        entry.set(Flag::Due, true);
        due.push_back(id);
    }
}
