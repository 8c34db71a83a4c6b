//! What happens to a payload's bytes between the caller's memory and a slot: pure, no I/O.
//!
//! One stage: the [`Checksums`].

mod checksum;

pub(crate) use checksum::{Checksums, PAGE_BYTES};
