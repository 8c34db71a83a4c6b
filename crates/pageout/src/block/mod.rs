//! What happens to a payload's bytes between the caller's memory and a slot: pure, no I/O.
//!
//! Pages are verified by their [`Checksums`], or they are [sealed](seal): encrypted, with a tag each that verifies them too. A
//! [`Proof`] is what a payload keeps in memory of either.

mod checksum;
#[cfg(feature = "encryption")]
mod cipher;
mod proof;
#[cfg(feature = "encryption")]
mod seal;
mod unread;

pub(crate) use checksum::Checksums;
pub(crate) use proof::Proof;
#[cfg(feature = "encryption")]
pub(crate) use seal::{Sealed, Sealer};
#[cfg(any(feature = "compression", feature = "encryption"))]
pub(crate) use unread::Unread;

use crate::units::KIB;

/// Bytes of payload under one checksum or tag; the last page of a payload may be shorter.
pub(crate) const PAGE_BYTES: u64 = 4 * KIB;
