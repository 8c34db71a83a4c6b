//! A slot in use: the bytes of a payload in one scratch file.

use std::collections::TryReserveError;
use std::io::IoSlice;

use super::claim::Grown;
use super::slot_file::SlotFile;
use crate::error::Error;
use crate::sync::Arc;
use crate::sys::device::Outcome;
use crate::sys::{Destination, Failure, fork};
use crate::units;

/// A slot in use. Dropped, it is free again, without any I/O.
#[derive(Debug)]
pub(crate) struct Slot {
    file: Arc<SlotFile>,
    index: u32,
    /// When it was handed out, in forks.
    moment: u32,
}

impl Slot {
    /// A slot of `file` that was just claimed.
    pub(super) fn new(file: Arc<SlotFile>, index: u32) -> Self {
        Self { file, index, moment: fork::moment() }
    }

    /// Lists the slot among those whose space goes back once they are free.
    pub(super) fn list_in(&self, grown: &mut Grown) {
        grown.list(&self.file, self.index);
    }

    /// Writes all of `sources`, which fit the slot, to its beginning. The slot is dirty from then on.
    ///
    /// # Errors
    /// What the operating system said. The file takes no new payload unless only room or memory is short.
    pub(super) fn write(&self, sources: &[IoSlice<'_>]) -> Result<(), Error> {
        self.write_part(sources, 0)?;
        self.set_dirty();
        Ok(())
    }

    /// Writes all of `sources` from the slot's byte `start` on; who writes a slot in parts says when it is dirty.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_part(&self, sources: &[IoSlice<'_>], start: u64) -> Result<(), Error> {
        self.write_all(sources, self.file.offset(self.index) + start).map_err(|failure| {
            if !failure.is_out_of_space() && failure.errno != libc::ENOMEM {
                self.file.set_failed();
            }
            self.file.error(failure)
        })
    }

    /// All of the payload's part is written.
    pub(crate) fn set_dirty(&self) {
        self.file.add_dirty(self.index);
    }

    /// Whether this process may write to the slot: its file is the process's own and has not failed.
    pub(super) fn is_writable(&self) -> bool {
        self.file.is_own() && !self.file.has_failed()
    }

    fn write_all(&self, sources: &[IoSlice<'_>], mut offset: u64) -> Outcome<()> {
        let mut remaining_bytes: usize = sources.iter().map(|source| source.len()).sum();
        let written = self.write_some(sources, offset)?;
        remaining_bytes -= written;
        if remaining_bytes == 0 {
            return Ok(());
        }
        // More slices than one call takes, or a short write: go on with a copy of the list that can be advanced.
        let mut list = copied(sources).map_err(|_| Failure::new("malloc", libc::ENOMEM))?;
        let mut rest = &mut list[..];
        let mut done = written;
        while remaining_bytes > 0 {
            IoSlice::advance_slices(&mut rest, done);
            offset += units::to_u64(done);
            done = self.write_some(rest, offset)?;
            remaining_bytes -= done;
        }
        Ok(())
    }

    fn write_some(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        match self.file.with(|file| file.write_at(sources, offset))? {
            0 => Err(Failure::new("pwritev", libc::EIO)),
            written => Ok(written),
        }
    }

    /// Why bytes of the slot may not be what was written: the error number with which the device lost something of its
    /// file, where the system says so when it is asked now.
    pub(crate) fn write_back_errno(&self) -> Option<i32> {
        self.file.check_write_back();
        self.file.write_back_errno()
    }

    /// Whether the device has lost something of the slot's file, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.file.write_back_errno().is_some()
    }

    /// Fills `destinations` with the slot's bytes from `start` on.
    ///
    /// # Errors
    /// What the operating system said, or `None` where the file ends before.
    pub(crate) fn read(&self, destinations: &mut [Destination<'_>], start: u64) -> Result<(), Option<Error>> {
        let mut offset = self.file.offset(self.index) + start;
        let mut unfilled = destinations;
        while let Some(first) = unfilled.iter().position(|destination| destination.remaining_bytes() > 0) {
            unfilled = &mut unfilled[first..];
            match self.file.with(|file| file.read_at(unfilled, offset)) {
                Ok(0) => return Err(None),
                Ok(read) => offset += units::to_u64(read),
                Err(failure) => return Err(Some(self.file.error(failure))),
            }
        }
        Ok(())
    }

    /// As [`Self::read`], but only from memory, with one call; says whether all are full.
    pub(crate) fn read_cached(&self, destinations: &mut [Destination<'_>], start: u64) -> Result<bool, Error> {
        let offset = self.file.offset(self.index) + start;
        let outcome = self.file.with(|file| file.read_cached_at(destinations, offset));
        outcome.map_err(|failure| self.file.error(failure))?;
        Ok(destinations.iter().all(|destination| destination.remaining_bytes() == 0))
    }

    /// Bytes that a prefetch may bring in.
    pub(super) fn prefetch_bytes_max(&self) -> u64 {
        self.file.prefetch_bytes_max()
    }

    /// Starts bringing bytes of the slot into memory. A hint has no answer.
    pub(crate) fn prefetch(&self, start: u64, len_bytes: u64) {
        let _ = self.file.with(|file| {
            file.prefetch(self.file.offset(self.index) + start, len_bytes);
            Ok(())
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.file.release(self.index, self.moment);
    }
}

/// A copy of a list of slices, to be advanced over.
pub(super) fn copied<'a>(slices: &[IoSlice<'a>]) -> Result<Vec<IoSlice<'a>>, TryReserveError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(slices.len())?;
    copy.extend_from_slice(slices);
    Ok(copy)
}
