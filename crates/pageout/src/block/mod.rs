//! What happens to a payload's bytes between the caller's memory and a slot: pure, no I/O.
//!
//! Today that is one stage, the [`Checksums`]. Compression and encryption would be further stages here.

mod checksum;

pub(crate) use checksum::{Checksums, PAGE_BYTES};
