//! What is compared: ways to put a payload away and bring it back.

pub(crate) mod budgeted;
pub(crate) mod files;
pub(crate) mod lmdb;
pub(crate) mod memory;
pub(crate) mod paged;

use std::io;

/// pageout, the subject of every other table.
pub(crate) const SUBJECT: &str = "pageout";
/// pageout with a memory budget, the subject of the tables about that.
pub(crate) const BUDGET: &str = "pageout within a memory budget";
/// The design of the module whose contract this crate keeps.
pub(crate) const REFERENCE: &str = "the reference: a named file, cleared memory";
/// The design one writes first, and the one that most programs have.
pub(crate) const FILES: &str = "one named temp file per payload";
/// The design one writes after that.
pub(crate) const SLOTS: &str = "one open file with a free list";
/// Nothing but the transfers.
pub(crate) const BARE: &str = "bare pwrite + pread (the limit)";

/// One way to put payloads away.
pub(crate) trait Store {
    /// What the caller keeps for a payload.
    type Ticket;

    /// Readies the store for a lap; not timed.
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Puts the chunks, concatenated, away as one payload, and empties them.
    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket>;

    /// Brings a payload back into `destination`, which is empty, and forgets it.
    fn back(&self, ticket: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()>;

    /// Forgets a payload unread.
    fn forget(&self, _ticket: Self::Ticket) -> io::Result<()> {
        Ok(())
    }

    /// Says that a payload will be wanted soon.
    fn announce(&self, _ticket: &Self::Ticket) -> io::Result<()> {
        Ok(())
    }

    /// Files with a name that it has.
    fn count_names(&self) -> io::Result<usize> {
        Ok(0)
    }
}

fn total_bytes(chunks: &[Vec<u8>]) -> usize {
    chunks.iter().map(Vec::len).sum()
}

fn clear(chunks: &mut [Vec<u8>]) {
    chunks.iter_mut().for_each(Vec::clear);
}
