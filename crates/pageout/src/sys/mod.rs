//! The sys floor: the only unsafe code of the crate, one safe function for each system call.
//!
//! [`device`] is the seam: the store speaks to [`Device`], [`Directory`] and [`ScratchFile`] only, so that tests can put a
//! counting or failing device under it. [`Kernel`] is the real one.

#![allow(unsafe_code, reason = "this floor exists to hold it; everything above is safe code")]

mod call;
pub(crate) mod destination;
pub mod device;
mod directory;
mod failure;
mod file;
pub(crate) mod fork;
mod kernel;
pub mod memory;
pub(crate) mod mountinfo;
pub(crate) mod nh;
mod plain_vec;
pub(crate) mod thread;

pub(crate) use destination::Destination;
pub(crate) use device::{Device, Directory, ScratchFile};
pub(crate) use failure::Failure;
pub(crate) use file::above_standard_streams;
pub(crate) use kernel::Kernel;
pub(crate) use plain_vec::PlainVec;
