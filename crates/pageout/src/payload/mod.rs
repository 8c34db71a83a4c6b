//! What a payload consists of while it is out: bytes in slots of the scratch files ([`Stored`]) or in this process
//! ([`Memory`]).
//!
//! Each kind is made in its own way and read in one, by [`Payload`]. Extents are checked by then.
//!
//! Of a payload in slots, [`pages`] is the one door: it fetches whole pages, verifies them and opens them in place. [`range`]
//! reads one extent through it, [`gather`] several.

mod extents;
mod gather;
mod memory;
mod pages;
mod range;
mod stored;

pub(crate) use extents::{Extent, Extents};
pub(crate) use memory::Memory;
pub(crate) use stored::Stored;

use crate::error::Error;
use crate::sys::Destination;

/// A payload that is out.
pub(crate) trait Payload {
    /// Fills `whole`, which is as long as `extents` together, with their bytes in request order.
    ///
    /// # Errors
    /// What kept the bytes from being read whole and verified.
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error>;

    /// As [`Self::read`], if it is short and needs no waiting for the device; says whether it was.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error>;

    /// Starts bringing bytes into memory. A hint: it may do nothing.
    fn prefetch(&self, extents: &Extents);
}
