//! Memory of a payload that is out and in memory, and the part of a budget that it takes.

use std::sync::atomic::Ordering::AcqRel;

use bytemuck::Pod;

use super::Account;
use crate::error::Error;
use crate::payload::{Extents, Memory, Payload, Stored};
use crate::sync::UnsizedArc;
use crate::sys::destination;
use crate::units;

/// Set in the number of bytes of a room that another room stands for. No memory has as many bytes.
const ELSEWHERE: u64 = 1 << 63;

/// Bytes of a budget, until it is dropped.
pub(crate) struct Room {
    account: UnsizedArc<Account>,
    bytes: u64,
}

impl Room {
    /// `bytes` that were reserved.
    pub(super) fn new(account: UnsizedArc<Account>, bytes: u64) -> Self {
        account.add_resident(bytes);
        Self { account, bytes }
    }

    /// `bytes` that another room has, which the memory itself keeps.
    fn elsewhere(account: UnsizedArc<Account>, bytes: u64) -> Self {
        Self { account, bytes: bytes | ELSEWHERE }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes & !ELSEWHERE
    }

    /// A part of it as a room of its own; nothing where it has not as much.
    pub(super) fn split(&mut self, bytes: u64) -> Option<Self> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Self { account: UnsizedArc::clone(&self.account), bytes })
    }

    /// The memory has left, and is freed as soon as its own thread comes to it. Once for a room.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn begin_departure(&self) {
        self.account.budget().departing_bytes.fetch_add(self.bytes(), AcqRel);
    }

    /// It is freed, and the room is given up next: in this order what departs is never more than what there is.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn end_departure(&self) {
        self.account.budget().departing_bytes.fetch_sub(self.bytes(), AcqRel);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes & ELSEWHERE == 0 {
            self.account.remove_resident(self.bytes);
            self.account.budget().used_bytes.fetch_sub(self.bytes, AcqRel);
        }
    }
}

/// Memory of one payload. Whoever uses it outside of the ledger's lock holds a share of it, and it neither leaves nor is given
/// away as long as somebody does.
pub(crate) struct ResidentMemory {
    pub(crate) memory: Memory,
    /// Behind the memory: it is given up when that is freed. Nothing without a budget.
    room: Option<Room>,
}

const _: () = assert!(size_of::<ResidentMemory>() <= 32, "each payload in memory has one");

impl ResidentMemory {
    /// Memory in its room.
    pub(crate) fn new(memory: Memory, room: Room) -> Self {
        Self { memory, room: Some(room) }
    }

    /// Memory that knows its room of `bytes` itself.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn lent(memory: Memory, account: &UnsizedArc<Account>, bytes: u64) -> Self {
        Self { memory, room: Some(Room::elsewhere(UnsizedArc::clone(account), bytes)) }
    }

    /// Memory that counts in no budget.
    pub(crate) const fn roomless(memory: Memory) -> Self {
        Self { memory, room: None }
    }

    /// What it takes of the budget.
    pub(super) fn bytes(&self) -> u64 {
        self.room.as_ref().map_or(0, Room::bytes)
    }

    /// Whose it is, where it counts in a budget.
    pub(super) fn account(&self) -> Option<&UnsizedArc<Account>> {
        self.room.as_ref().map(|room| &room.account)
    }

    /// A stored payload, read into new memory.
    ///
    /// # Errors
    /// Those of a read, and out of memory.
    pub(crate) fn read<T: Pod>(stored: &Stored, len_bytes: u64, exclude: bool) -> Result<Memory, Error> {
        Self::filled::<T>(len_bytes, exclude, |whole| stored.payload().read(&Extents::whole(len_bytes), whole))
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
