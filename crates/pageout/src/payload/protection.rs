//! How payloads are protected while they are on the disk.

#[cfg(feature = "encryption")]
use super::sealing::Seals;
#[cfg(feature = "encryption")]
use crate::error::Error;
#[cfg(feature = "encryption")]
use crate::sync::UnsizedArc;

/// What a pager does about the bytes of its payloads in scratch.
#[derive(Clone, Debug)]
pub(crate) enum Protection {
    /// Nothing.
    Nothing,
    /// Checksums, in memory.
    Checksums,
    /// They are encrypted, with tags in memory.
    #[cfg(feature = "encryption")]
    Sealed(UnsizedArc<Seals>),
}

impl Protection {
    /// Without encryption.
    pub(crate) fn of(integrity: bool) -> Self {
        if integrity { Self::Checksums } else { Self::Nothing }
    }

    /// With encryption. The key is drawn now.
    ///
    /// # Errors
    /// What the system said where it has no memory or no random bits.
    #[cfg(feature = "encryption")]
    pub(crate) fn sealed() -> Result<Self, Error> {
        Ok(Self::Sealed(UnsizedArc::new(Seals::draw()?)))
    }

    /// Whether a payload that was changed can be told from one that was not.
    pub(crate) fn verifies(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether they are encrypted.
    #[cfg(feature = "compression")]
    pub(super) fn is_sealed(&self) -> bool {
        match self {
            Self::Nothing | Self::Checksums => false,
            #[cfg(feature = "encryption")]
            Self::Sealed(_) => true,
        }
    }

    /// The pager is closed: keys are overwritten.
    pub(crate) fn forget(&self) {
        match self {
            Self::Nothing | Self::Checksums => {}
            #[cfg(feature = "encryption")]
            Self::Sealed(seals) => seals.forget(),
        }
    }
}
