//! What a payload consists of while it is out: bytes in slots of the scratch files ([`Stored`]) or in this process
//! ([`Memory`]).
//!
//! Each kind is made in its own way and read in one, by [`Payload`]. Extents are checked by then.
//!
//! Of bytes in slots ([`slotted`]), [`pages`] is the one door: it fetches whole pages, verifies them and opens them in place.
//! [`range`] reads one extent through it, [`gather`] several. With encryption `sealing` writes them. With compression these bytes
//! are frames, and `framed` stands above all that.

#[cfg(feature = "compression")]
mod compressor;
mod extents;
#[cfg(feature = "compression")]
mod framed;
mod gather;
mod memory;
mod packing;
mod pages;
mod protection;
mod range;
mod reading;
#[cfg(feature = "encryption")]
mod sealing;
mod slotted;
mod stored;

pub(crate) use extents::{Extent, Extents};
#[cfg(feature = "addon-internals")]
pub use memory::Chunk;
pub(crate) use memory::Memory;
pub(crate) use packing::Packing;
pub(crate) use protection::Protection;
pub(crate) use reading::Payload;
pub(crate) use stored::{Stored, checksums};

/// Bytes of a piece of a payload that is put in slots piece by piece: long enough that a write costs what its bytes cost, and a slot
/// of its own.
pub(crate) const PIECE_BYTES: u32 = 4 << 20;
