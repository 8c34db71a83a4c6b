//! Reading a payload, whatever it consists of.

use super::extents::Extents;
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
