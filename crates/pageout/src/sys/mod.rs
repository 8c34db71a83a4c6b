//! The sys floor: the only unsafe code of the crate, one safe function for each system call.
//!
//! [`device`] is the seam: the store speaks to [`Device`], [`Directory`] and [`ScratchFile`] only, so that tests can put a
//! counting or failing device under it. [`Native`] is the real one, with everything the platform offers.

#![allow(unsafe_code, reason = "this floor exists to hold it; everything above is safe code")]

mod call;
pub(crate) mod destination;
pub mod device;
mod directory;
mod failure;
mod file;
pub(crate) mod fork;
#[cfg(feature = "addon-internals")]
mod freed;
#[cfg(target_os = "linux")]
mod in_memory;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod mapping;
pub mod memory;
pub(crate) mod mountinfo;
mod named;
pub(crate) mod nh;
pub(crate) mod page_cache;
mod plain_vec;
mod portable;
#[cfg(target_os = "linux")]
pub(crate) mod pressure;
pub(crate) mod process_limits;
mod random;
#[cfg(feature = "encryption")]
pub(crate) mod secret;
pub(crate) mod thread;

pub(crate) use destination::Destination;
pub(crate) use device::{Device, Directory, ScratchFile};
pub(crate) use failure::Failure;
pub(crate) use file::above_standard_streams;
#[cfg(target_os = "linux")]
pub(crate) use linux::Linux as Native;
#[cfg(target_os = "macos")]
pub(crate) use macos::MacOs as Native;
pub(crate) use named::random_name;
pub(crate) use plain_vec::PlainVec;
#[cfg(feature = "addon-internals")]
pub(crate) use portable::Portable;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) use portable::Portable as Native;
