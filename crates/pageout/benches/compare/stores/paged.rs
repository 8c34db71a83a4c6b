//! What this crate does.

use std::io;

use pageout::{Backend, Handle, Pager, TakeError};

use super::Store;
use crate::site::Site;

/// A pager in the site's directory.
pub(crate) struct Paged(Pager);

impl Paged {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        Ok(Self(Pager::builder().scratch_dir(site.path()).build()?))
    }

    pub(crate) fn without_integrity(site: &Site) -> io::Result<Self> {
        Ok(Self(Pager::builder().scratch_dir(site.path()).integrity(false).build()?))
    }

    pub(crate) fn sealed(site: &Site) -> io::Result<Self> {
        Ok(Self(Pager::builder().scratch_dir(site.path()).encryption(true).build()?))
    }

    pub(crate) fn swapped() -> io::Result<Self> {
        Ok(Self(Pager::builder().backend(Backend::Swap).build()?))
    }
}

impl Store for Paged {
    type Ticket = Handle<u8>;

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        Ok(self.0.pageout(chunks)?)
    }

    fn back(&self, ticket: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        Ok(self.0.take(ticket, destination).map_err(TakeError::into_error)?)
    }

    fn announce(&self, ticket: &Self::Ticket) -> io::Result<()> {
        Ok(self.0.prefetch(ticket, &[(0, ticket.len())])?)
    }
}
