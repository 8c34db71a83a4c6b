//! Where a payload lives: [`file`] (scratch files) or [`swap`] (this process, hinted cold).
//!
//! A backend makes its payloads in its own way and gives them one small trait. Ranges are checked by then.

mod extents;
pub(crate) mod file;
pub(crate) mod swap;

pub(crate) use extents::{Extent, Extents};

use crate::error::Error;
use crate::sys::Destination;

/// A payload that is out.
pub(crate) trait Payload {
    /// Fills `whole`, which is as long as `extents` together, with their bytes in request order.
    ///
    /// # Errors
    /// What kept the bytes from coming back whole and proven.
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error>;

    /// As [`Self::read`], if it is short and needs no waiting for the device; says whether it was.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error>;

    /// Starts bringing bytes in. A hint: it may do nothing.
    fn prefetch(&self, extents: &Extents);
}
