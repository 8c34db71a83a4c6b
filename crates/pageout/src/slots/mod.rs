//! Which slots are free and which is next: pure bookkeeping without I/O, locks or clocks.
//!
//! [`Class`] maps a length to a slot size, [`FreeSlots`] decides which slot of a file is handed out next, and [`BitSet`]
//! is the set of slot indices that it uses.

mod bitset;
mod class;
mod free;

pub(crate) use bitset::{BitSet, Run};
pub(crate) use class::{CLASS_COUNT, Class, LARGEST_SLOT_BYTES, classes_for, slot_bytes_for};
pub(crate) use free::FreeSlots;
