//! What a payload consists of while it is out: bytes in slots of the scratch files ([`Stored`]) or in this process
//! ([`Memory`]).
//!
//! Each kind is made in its own way and read in one, by [`Payload`]. Extents are checked by then.
//!
//! Of a payload in slots, [`pages`] is the one door: it fetches whole pages, verifies them and opens them in place. [`range`]
//! reads one extent through it, [`gather`] several. With encryption `sealing` writes them.

mod extents;
mod gather;
mod memory;
mod pages;
mod protection;
mod range;
mod reading;
#[cfg(feature = "encryption")]
mod sealing;
mod stored;

pub(crate) use extents::{Extent, Extents};
#[cfg(feature = "addon-internals")]
pub use memory::Chunk;
pub(crate) use memory::Memory;
pub(crate) use protection::Protection;
pub(crate) use reading::Payload;
pub(crate) use stored::{Stored, checksums};
