//! Memory of a payload that is out and in memory, and the part of a budget that it takes.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire},
};

use bytemuck::Pod;

use super::Account;
use crate::error::Error;
use crate::payload::{Extents, Memory, Payload, Stored};
use crate::sync::UnsizedArc;
use crate::sys::destination;
use crate::units;

/// Bytes of a budget, until it is dropped.
pub(crate) struct Room {
    account: UnsizedArc<Account>,
    bytes: u64,
    /// Whether the memory has left already and only waits to be freed.
    is_departing: AtomicBool,
}

impl Room {
    /// `bytes` that were reserved.
    pub(super) fn new(account: UnsizedArc<Account>, bytes: u64) -> Self {
        account.add_resident(bytes);
        Self { account, bytes, is_departing: AtomicBool::new(false) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The memory has left, and is freed as soon as its own thread comes to it.
    pub(crate) fn depart(&self) {
        if !self.is_departing.swap(true, AcqRel) {
            self.account.budget().departing_bytes.fetch_add(self.bytes, AcqRel);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.account.remove_resident(self.bytes);
        let budget = self.account.budget();
        // In this order what departs is never more than what there is.
        if self.is_departing.load(Acquire) {
            budget.departing_bytes.fetch_sub(self.bytes, AcqRel);
        }
        budget.used_bytes.fetch_sub(self.bytes, AcqRel);
    }
}

/// Memory of one payload. Whoever uses it outside of the ledger's lock holds a share of it, and it neither leaves nor is given
/// away as long as somebody does.
pub(crate) struct ResidentMemory {
    pub(crate) memory: Memory,
    /// Behind the memory: it is given up when that is freed. Nothing without a budget, and where the memory itself knows.
    _room: Option<Room>,
    bytes: u64,
    /// Whether writing it shall end.
    pub(super) stop: AtomicBool,
}

impl ResidentMemory {
    /// Memory in its room.
    pub(crate) fn new(memory: Memory, room: Room) -> Self {
        let bytes = room.bytes();
        Self { memory, _room: Some(room), bytes, stop: AtomicBool::new(false) }
    }

    /// Memory that counts in no budget (0 bytes), or that knows its room of `bytes` itself.
    pub(crate) fn roomless(memory: Memory, bytes: u64) -> Self {
        Self { memory, _room: None, bytes, stop: AtomicBool::new(false) }
    }

    /// What it takes of the budget.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A stored payload, read into new memory.
    ///
    /// # Errors
    /// Those of a read, and out of memory.
    pub(crate) fn read<T: Pod>(stored: &Stored, len_bytes: u64, exclude: bool) -> Result<Memory, Error> {
        Self::filled::<T>(len_bytes, exclude, |whole| stored.read(&Extents::whole(len_bytes), whole))
    }

    /// Memory of several chunks, copied to one.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn joined<T: Pod>(memory: &Memory, len_bytes: u64, exclude: bool) -> Result<Memory, Error> {
        Self::filled::<T>(len_bytes, exclude, |whole| memory.read(&Extents::whole(len_bytes), whole))
    }

    fn filled<T: Pod>(
        len_bytes: u64,
        exclude: bool,
        fill: impl FnOnce(crate::sys::Destination<'_>) -> Result<(), Error>,
    ) -> Result<Memory, Error> {
        let len = units::to_usize(len_bytes) / size_of::<T>();
        let mut vec: Vec<T> = Vec::new();
        vec.try_reserve_exact(len)?;
        destination::append_to(&mut vec, len, fill)?;
        Memory::moved_in(&mut [vec], exclude)
    }
}
