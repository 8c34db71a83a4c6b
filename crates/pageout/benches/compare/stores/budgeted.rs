//! What this crate does within a memory budget.

use std::io;

use pageout::{Handle, Pager, TakeError};

use super::Store;
use crate::payload::as_u64;
use crate::site::Site;

/// A pager in the site's directory, which keeps payloads in memory as long as there is room.
pub(crate) struct Budgeted(Pager);

impl Budgeted {
    pub(crate) fn new(site: &Site, resident_bytes: usize) -> io::Result<Self> {
        Ok(Self(Pager::builder().scratch_dir(site.path()).resident_bytes(as_u64(resident_bytes)).build()?))
    }
}

impl Store for Budgeted {
    type Ticket = Handle<u8>;

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        Ok(self.0.pageout(chunks)?)
    }

    /// The memory that went out, where it still is in memory, takes the place of the destination's.
    fn back(&self, ticket: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        *destination = ticket.take().map_err(TakeError::into_error)?;
        Ok(())
    }
}
