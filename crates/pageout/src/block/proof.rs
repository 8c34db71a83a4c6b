//! What a payload keeps in memory to verify the pages that come back, and to open them.

use std::collections::TryReserveError;

use super::Checksums;
#[cfg(feature = "encryption")]
use super::Sealed;

/// By what the pages of a payload are verified.
#[derive(Debug)]
pub(crate) enum Proof {
    /// By checksums, where the pager has them. What lies on the disk is the payload.
    Plain(Checksums),
    /// By tags. What lies on the disk is encrypted.
    #[cfg(feature = "encryption")]
    Sealed(Box<Sealed>),
}

const _: () = assert!(size_of::<Proof>() == size_of::<Checksums>(), "each payload has one");

impl Proof {
    /// Of a payload that has none.
    pub(crate) const NONE: Self = Self::Plain(Checksums::Off);

    /// Whether pages are verified, so that they are needed whole.
    pub(crate) fn is_of_pages(&self) -> bool {
        match self {
            Self::Plain(checksums) => checksums.are_kept(),
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => true,
        }
    }

    /// Verifies whole pages that begin at the payload's byte `start`, a multiple of a page, and makes of what lies in a slot what
    /// the payload has there, in place. The last page may be the short end of the payload.
    ///
    /// # Errors
    /// The payload's byte at which the first wrong page begins. The content of `pages` is unspecified then.
    pub(crate) fn open(&self, start: u64, pages: &mut [u8]) -> Result<(), u64> {
        match self {
            Self::Plain(checksums) => checksums.verify(start, pages),
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.open(start, pages),
        }
    }

    /// Whether nothing can be opened any more, since the pager was closed.
    pub(crate) fn is_forgotten(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "encryption")]
            Self::Sealed(sealed) => sealed.is_forgotten(),
        }
    }

    /// The proof of a payload made of `pieces`, of one pager, of which each but the last has `piece_bytes` bytes, whole pages.
    ///
    /// # Errors
    /// When the memory for it cannot be allocated.
    #[cfg_attr(not(feature = "encryption"), allow(unused_variables, reason = "checksums know no pieces"))]
    pub(crate) fn join<'a>(pieces: impl Iterator<Item = &'a Self> + Clone, piece_bytes: u32) -> Result<Self, TryReserveError> {
        #[cfg(feature = "encryption")]
        if pieces.clone().any(|piece| matches!(piece, Self::Sealed(_))) {
            let sealed = pieces.filter_map(|piece| if let Self::Sealed(sealed) = piece { Some(&**sealed) } else { None });
            return Ok(Self::Sealed(Box::new(Sealed::join(sealed, piece_bytes)?)));
        }
        Ok(Self::Plain(Checksums::join(pieces.filter_map(Self::checksums))?))
    }

    /// The checksums, where these are what it consists of.
    #[cfg_attr(not(feature = "encryption"), allow(clippy::unnecessary_wraps, reason = "there is nothing else then"))]
    pub(crate) fn checksums(&self) -> Option<&Checksums> {
        match self {
            Self::Plain(checksums) => Some(checksums),
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => None,
        }
    }
}
