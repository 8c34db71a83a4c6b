//! One payload of a budget: its memory, its copy on disk, and who uses it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Account;
use super::resident::ResidentMemory;
use crate::block::Checksums;
use crate::payload::Stored;
use crate::store::Place;
use crate::sync::UnsizedArc;
use crate::sys::fork;

/// A payload: in memory, on disk, or both.
pub(super) struct Entry {
    pub(super) memory: Option<UnsizedArc<ResidentMemory>>,
    pub(super) copy: OnDisk,
    pub(super) borrows: u32,
    /// Who waits until it is not being written. Nobody begins another write meanwhile.
    waiters: u16,
    flags: u16,
}

const _: () =
    assert!(cfg!(pageout_loom) || size_of::<Entry>() <= 64, "each payload of a pager with a budget has one, in memory or not");

/// The payload on disk.
pub(super) enum OnDisk {
    /// There is none. The place that was claimed for it, unless that was given up; and what the memory held before anybody else
    /// could write to it, nothing where nobody could. Boxed, as few have that.
    Unwritten(Option<Place>, Option<Box<Checksums>>),
    /// This process is writing it, or looking whether it is still good, until it shall stop.
    Busy { process: u32, write: UnsizedArc<Write> },
    /// It is there. Good, unless the memory was changed since.
    Written(Stored),
    /// The same, and somebody has read it from there since it was in memory.
    Shared(UnsizedArc<Stored>),
}

/// A write that is under way.
pub(super) struct Write {
    /// Whose payload it is, of which the memory may be gone meanwhile.
    pub(super) account: UnsizedArc<Account>,
    /// Whether it shall end.
    pub(super) stop: AtomicBool,
}

impl Write {
    pub(super) fn new(account: &UnsizedArc<Account>) -> Self {
        Self { account: UnsizedArc::clone(account), stop: AtomicBool::new(false) }
    }
}

/// What else may be true of an entry.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(super) enum Flag {
    /// Nobody has a handle any more; whoever is done with the entry last removes it.
    Freed = 1,
    /// Somebody is reading it into memory.
    Arriving = 1 << 1,
    /// The keeper is, and no borrow that waits for that has been counted.
    Uncounted = 1 << 2,
    /// It is listed among those that are to be read into memory.
    Wanted = 1 << 3,
    /// Somebody else than this crate may write to its memory now, or free it. Nobody reads it through the pager then.
    Exposed = 1 << 4,
    /// Somebody may have changed its memory since it was written.
    Suspect = 1 << 5,
    /// It was written since it came into memory.
    Written = 1 << 6,
    /// It is listed among those that are to be written next.
    Due = 1 << 7,
    /// Writing it failed, and nobody has tried again with success.
    Failed = 1 << 8,
    /// A thread that this process does not have, being a forked one, uses its memory for good.
    Stuck = 1 << 9,
    /// It has gone to another thread: no memory of the one that it left may come for it.
    Moved = 1 << 10,
}

impl OnDisk {
    /// The copy, where there is one.
    pub(super) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Written(stored) => Some(stored),
            Self::Shared(stored) => Some(stored),
            Self::Unwritten(..) | Self::Busy { .. } => None,
        }
    }

    /// Counts what compression saves of the copy, or does not any more.
    pub(super) fn count_saved(&self, is_counted: bool) {
        if let Some(stored) = self.stored() {
            stored.count_saved(is_counted);
        }
    }

    /// A share of the copy, to read from it without the lock. One that nobody reads needs no allocation of its own.
    pub(super) fn share(&mut self) -> Option<UnsizedArc<Stored>> {
        *self = match std::mem::replace(self, Self::Unwritten(None, None)) {
            Self::Written(stored) => Self::Shared(UnsizedArc::new(stored)),
            other => other,
        };
        if let Self::Shared(stored) = self { Some(UnsizedArc::clone(stored)) } else { None }
    }

    /// Ends sharing, where nobody has another share.
    pub(super) fn unshare(&mut self) {
        *self = match std::mem::replace(self, Self::Unwritten(None, None)) {
            Self::Shared(stored) => UnsizedArc::try_unwrap(stored).map_or_else(Self::Shared, Self::Written),
            other => other,
        };
    }
}

impl Entry {
    pub(super) const fn new(memory: Option<UnsizedArc<ResidentMemory>>, copy: OnDisk) -> Self {
        Self { memory, copy, borrows: 0, waiters: 0, flags: 0 }
    }

    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u16 != 0
    }

    pub(super) fn set(&mut self, flag: Flag, is_set: bool) {
        self.flags = self.flags & !(flag as u16) | if is_set { flag as u16 } else { 0 };
    }

    /// Clears a flag, and says whether it was set.
    pub(super) fn take(&mut self, flag: Flag) -> bool {
        let was_set = self.is(flag);
        self.set(flag, false);
        was_set
    }

    /// Whose memory it is in.
    pub(super) fn account(&self) -> Option<&UnsizedArc<Account>> {
        self.memory.as_ref().and_then(|memory| memory.account())
    }

    /// Somebody begins to wait until it is not being written.
    pub(super) fn begin_wait(&mut self) {
        // Wraps round with 65,536 threads that wait: another write may begin then, and they wait for that too.
        self.waiters = self.waiters.wrapping_add(1);
    }

    pub(super) fn end_wait(&mut self) {
        self.waiters = self.waiters.wrapping_sub(1);
    }

    /// Whether this process is writing it. What another process was doing when it forked this one is not done.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.copy, OnDisk::Busy { process, .. } if process == fork::process())
    }

    /// Whether this process is writing it for a pager.
    pub(super) fn is_busy_for(&self, account: &UnsizedArc<Account>) -> bool {
        let is_theirs = matches!(&self.copy, OnDisk::Busy { write, .. } if UnsizedArc::ptr_eq(&write.account, account));
        is_theirs && self.is_busy()
    }

    /// Tells who writes it to stop.
    pub(super) fn stop(&self) {
        if let OnDisk::Busy { write, .. } = &self.copy {
            write.stop.store(true, Relaxed);
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.copy.stored().is_some() && !self.is(Flag::Suspect)
    }

    pub(super) fn may_leave(&self) -> bool {
        self.is_unused() && self.borrows == 0 && self.is_clean()
    }

    /// Whether it is in memory, which nobody uses at this moment.
    pub(super) fn is_unused(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| UnsizedArc::strong_count(memory) == 1)
    }

    /// Whether it may be written now, and somebody wants it to be.
    pub(super) fn is_writable(&self) -> bool {
        let is_wanted = !self.is(Flag::Freed) && self.waiters == 0;
        let is_open = self.account().is_some_and(|account| !account.is_closed());
        is_wanted && is_open && !self.is_clean() && !self.is_busy() && !self.is(Flag::Exposed)
    }

    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.bytes())
    }

    pub(super) fn dirty_bytes(&self) -> u64 {
        if self.is_clean() { 0 } else { self.bytes() }
    }

    /// A forked process forgets what threads were doing that it does not have.
    pub(super) fn inherit(&mut self) {
        self.waiters = 0;
        self.set(Flag::Arriving, false);
        let is_used = self.memory.as_ref().is_some_and(|memory| UnsizedArc::strong_count(memory) > 1);
        self.set(Flag::Stuck, self.borrows == 0 && is_used);
    }
}
