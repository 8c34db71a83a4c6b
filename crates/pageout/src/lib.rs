//! An explicit pager for cold data: put vectors out of memory now, read ranges of them later, or take the whole back.
//!
//! ```
//! use pageout::{self as pager, Backend, Handle};
//!
//! let mut chunks = [vec![1u64, 2, 3], vec![4, 5]];
//! let handle: Handle = pager::pageout(&mut chunks);
//! assert!(chunks.iter().all(Vec::is_empty));
//! assert_eq!((handle.len(), handle.backend()), (5, Backend::File));
//!
//! let mut some = Vec::new();
//! pager::read_at_many(&handle, &[(3, 2), (0, 1)], &mut some);
//! assert_eq!(some, [4, 5, 1]);
//!
//! let mut all = Vec::new();
//! pager::take(handle, &mut all);
//! assert_eq!(all, [1, 2, 3, 4, 5]);
//! ```
//!
//! The bytes go to unnamed files of a scratch directory ([`Backend::File`], the default), or stay in the process, hinted
//! cold, for the kernel to swap out ([`Backend::Swap`]). What comes back is checked against checksums kept in memory.
//! Nothing is left behind however the process ends.
//!
//! # Which one do I want?
//! - The module-level functions: one pager for the process, as simple as it gets. The plain forms panic on failures, the
//!   `try_` forms return them.
//! - A [`Pager`]: its own directory, capacity and options; every method returns a [`Result`], a failed take hands the
//!   [`Handle`] back, and nothing panics.
//!
//! # When not to use it
//! When the data must survive the process; when it is used all the time; when it is small. A round trip through the page
//! cache costs about two copies, one through the device what the device needs.
//!
//! # Where the bytes go
//! Without [`set_scratch_dir`] or [`PagerBuilder::scratch_dir`], the first usable of `$PAGEOUT_SCRATCH_DIR`, the system's
//! temporary directory and `/var/tmp`. A directory in memory (tmpfs) is refused unless it is allowed by option, since
//! paging out to it frees nothing.
//!
//! # Feature flags
//! There are none. Both backends and the checksums need nothing but the standard library and three small crates (bytemuck, libc,
//! log), so there is nothing to leave out; what is used is chosen when a pager is opened. It builds with Rust 1.88 or later.

#![deny(unsafe_code)]

mod backend;
mod block;
mod error;
mod global;
mod keeper;
mod limits;
#[cfg(all(test, pageout_loom))]
mod models;
mod pager;
mod slots;
mod store;
mod sync;
mod sys;
mod units;

#[doc(hidden)]
pub use pager::{BatchRead, read_batch};
#[doc(hidden)]
pub use sys::{device, memory};

pub use error::{Error, RefusedDir, SpaceFacts};
pub use global::{
    backend, pageout, pageout_with, pager, prefetch, read_at, read_at_many, set_backend, set_scratch_dir, take, trim,
    try_pageout, try_pageout_with, try_read_at, try_read_at_many, try_set_scratch_dir, try_take,
};
pub use pager::{Backend, Collector, Handle, Pager, PagerBuilder, PagerStats, TakeError};

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
