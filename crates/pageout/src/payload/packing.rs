//! What a pager does to its payloads on their way to scratch.

#[cfg(feature = "compression")]
use super::compressor::Compressor;
use super::protection::Protection;
#[cfg(feature = "compression")]
use crate::block::PAGE_BYTES;
#[cfg(feature = "compression")]
use crate::sync::UnsizedArc;

/// How payloads are put in slots: compressed or not, then protected.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    pub(crate) protection: Protection,
    /// Where they are compressed.
    #[cfg(feature = "compression")]
    compressor: Option<UnsizedArc<Compressor>>,
}

impl Packing {
    /// Not compressed.
    pub(crate) const fn new(protection: Protection) -> Self {
        Self {
            protection,
            #[cfg(feature = "compression")]
            compressor: None,
        }
    }

    /// Compressed.
    #[cfg(feature = "compression")]
    pub(crate) fn compressed(protection: Protection) -> Self {
        let compressor = Compressor::new(protection.is_sealed());
        Self { protection, compressor: Some(UnsizedArc::new(compressor)) }
    }

    /// What compresses a payload of `len_bytes`, if anything does: a slot has a page at least.
    #[cfg(feature = "compression")]
    pub(super) fn compressor(&self, len_bytes: u64) -> Option<&UnsizedArc<Compressor>> {
        self.compressor.as_ref().filter(|_| len_bytes > PAGE_BYTES)
    }

    /// Bytes that compression saves of the payloads that are counted.
    #[cfg_attr(not(feature = "compression"), allow(clippy::unused_self, reason = "nothing is saved"))]
    pub(crate) fn saved_bytes(&self) -> u64 {
        #[cfg(feature = "compression")]
        if let Some(compressor) = &self.compressor {
            return compressor.saved_bytes();
        }
        0
    }

    /// Frees memory that nobody works in.
    #[cfg_attr(not(feature = "compression"), allow(clippy::unused_self, reason = "there is none"))]
    pub(crate) fn trim(&self) {
        #[cfg(feature = "compression")]
        if let Some(compressor) = &self.compressor {
            compressor.trim();
        }
    }
}
