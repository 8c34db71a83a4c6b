//! An explicit pager for cold data: page vectors out of memory now, read ranges of them later, or take the whole back.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pageout::Pager;
//!
//! let pager = Pager::builder().build()?;
//! let column: Vec<u64> = (0..1 << 20).collect();
//! let handle = pager.pageout_vec(column)?; // 8 MiB of memory are free
//!
//! assert_eq!(handle.read(4_096..4_100)?, [4_096, 4_097, 4_098, 4_099]);
//! assert_eq!(handle.read_many(&[9..11, 0..2])?, [9, 10, 0, 1]);
//!
//! let column = handle.take()?; // all of it again, and its space is free
//! assert_eq!(column.len(), 1 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! The bytes go to unnamed files of a scratch directory ([`Backend::File`], the default), or stay in the process, hinted cold,
//! for the kernel to swap out ([`Backend::Swap`]). What is read back is verified by checksums that never left memory. Nothing is
//! left behind however the process ends. Elements are of any plain-old-data type ([`bytemuck::Pod`]): numbers, arrays of them,
//! and structures that derive it.
//!
//! # Which one do I want?
//! - A [`Pager`] and the methods of its [`Handle`]s: own directory, capacity and options, ranges as Rust has them, every failure
//!   returned, and nothing lost by one: a failed take gives the handle back, a failed pageout the vectors.
//! - The module-level functions ([`pageout()`], [`read_at`], [`take()`], ...): one pager for the process, as simple as it gets. The
//!   plain forms panic on failures, the `try_` forms return them; both panic where the call itself is wrong.
//! - A [`PagedMap`]: vectors under keys, within a memory budget, and with a limit a cache.
//! - A [`Collector`]: a payload whose length is not known yet, also through [`std::io::Write`] and [`Extend`].
//! - A [`Reader`]: a payload as [`std::io::Read`], [`std::io::BufRead`] and [`std::io::Seek`].
//!
//! # A memory budget
//! With [`PagerBuilder::resident_bytes`] payloads of the file backend stay in memory while there is room: a pageout moves the vectors in,
//! the coldest are written in the background and leave when room is needed, and a take of what is still there gives the same
//! allocation back, in a fraction of a microsecond at any size. [`Handle::borrow`] lends a payload, in memory, without giving its
//! place up. A [`MemoryBudget`] is shared by several pagers.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pager = pageout::Pager::builder().resident_bytes(1 << 20).build()?;
//! let handles: Vec<_> = (0..100u64).map(|seed| pager.pageout_vec(vec![seed; 8 << 10])).collect::<Result<_, _>>()?;
//! assert_eq!(handles[0].borrow()?[0], 0); // read in, since it has left
//! assert_eq!(handles[99].borrow()?[0], 99); // where it was
//! assert!(pager.stats().resident_bytes <= 1 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! # When not to use it
//! When the data must survive the process; when it is used all the time; when it is small. A round trip through the page
//! cache costs about two copies, one through the device what the device needs.
//!
//! # Where the bytes go
//! Without [`PagerBuilder::scratch_dir`] or [`set_scratch_dir`], to the first usable of `$PAGEOUT_SCRATCH_DIR`, the system's
//! temporary directory and `/var/tmp`. A directory in memory is refused unless it is allowed by option. What a machine has, and lacks,
//! is told by [`doctor`].
//!
//! Without [`PagerBuilder::capacity_bytes`] a pager leaves a tenth of the file system free, whoever else writes to it. A pageout that
//! is refused leaves the disk as full as it was. Disk space that no payload uses goes back by itself within seconds: what stays is
//! at most 64 MiB or an eighth of what is in use, shared by all pagers of the process, of which each may keep 4 MiB.
//!
//! # Pitfalls
//!
//! ## Memory of emptied vectors
//! [`Pager::pageout`] and the module-level functions clear the vectors, which **keep their capacity**: their memory is ready to be
//! filled again, and not free. [`Pager::pageout_vec`] and [`Pager::pageout_vecs`] free it. Freed memory is the allocator's, which
//! may keep some of it for what is allocated next: glibc gives large blocks back at once and small ones when it likes.
//!
//! ## Handles that are ignored
//! A [`Handle`] owns its payload. `pager.pageout(&mut chunks)?;` without a binding pages out, drops the handle, and the data is
//! gone: the compiler warns. `let _ =` drops it as well. A handle that is leaked ([`std::mem::forget`]) keeps its space until
//! its pager is [closed](Pager::close) or the process ends.
//!
//! ## `fork`
//! A child inherits handles and descriptors and may use both: what either process pages out afterwards, drops or trims changes
//! nothing of the other's payloads. The space of scratch files is free only when every process that inherited them has ended or
//! executed another program. Each process counts its capacity for itself. As anywhere, a child of a process with several threads should call nothing but `exec`: a lock that
//! another thread held at that moment is never released there.
//!
//! ## Limits of file sizes
//! Where the size of files is limited (`ulimit -f`, systemd's `LimitFSIZE=`), a payload that fits no file is an error like any other
//! (EFBIG), and no signal: the limit is looked at before a file grows. Only where it is lowered later, below the length that
//! scratch files already have, a write sends SIGXFSZ, which ends the process unless it is ignored.
//!
//! ## Blocking in asynchronous code
//! Every verb may wait for the device. In asynchronous code call it where waiting is allowed (`tokio::task::spawn_blocking`,
//! `smol::unblock`): handles and pagers are [`Send`] and [`Sync`], and need no runtime.
//!
//! ## Containers whose `/tmp` is in memory
//! On tmpfs, in a Kubernetes `emptyDir` with `medium: Memory`, and below an overlay of one, paging out frees nothing: such a
//! directory is refused ([`Error::RamBacked`]), and the search goes on. Mount a volume and name it in `$PAGEOUT_SCRATCH_DIR`. The
//! writable layer of a container serves, and counts against its limit of ephemeral storage. What is written passes through the
//! page cache, which the memory limit counts, and which the kernel takes back before it kills.
//!
//! ## Directories that are cleaned
//! Scratch files have no name, so that no cleaner of `/tmp` finds them, and `ls` and `du` do not show them: [`Pager::stats`]
//! does. When the directory itself is removed, what was paged out stays readable, and the next file makes it again.
//!
//! # Threads
//! Pagers and handles may be used by any number of threads at once; reads of one handle run side by side. A [`Collector`] and a
//! [`Reader`] are used by one thread at a time. Different handles never disturb each other, and descriptors do not grow with
//! the number of handles.
//!
//! The crate starts at most one thread, when more disk space is idle than may stay, a large file was closed, a file failed, or a memory
//! budget has payloads to write, which ends when there is nothing left to do. It gets no signals. Only calls that lack room, trims and
//! closes ever wait for it, and with a memory budget a take of a payload that it is just writing, for 4 MiB at most.
//!
//! # System calls
//! Once the files are as large as they have to be, a verb makes no call on metadata; each 64 MiB that were written, the files that
//! tell memory limits are read again. On Linux:
//!
//! | verb | file backend | swap backend |
//! | --- | --- | --- |
//! | pageout | `pwrite` or `pwritev` for each slot (64 MiB at most), with encryption for each 256 KiB; `fallocate` and `fstatfs` where a file grows, `sync_file_range` past the dirty budget | `madvise` (`COLD`) for each chunk |
//! | read | `pread` or `preadv` for each slot; of several ranges first `preadv2` (`NOWAIT`), then `posix_fadvise` (`WILLNEED`) and `preadv` for what is not in the page cache | none |
//! | take | as a read | none |
//! | prefetch | `posix_fadvise` (`WILLNEED`) for each 128 KiB | `madvise` (`WILLNEED`) |
//! | drop of a handle | none, or `posix_fadvise` (`DONTNEED`) where memory is short | what freeing memory takes |
//! | trim | `fallocate` (`PUNCH_HOLE`) or `ftruncate`, `close`, `sync_file_range` to ask for lost writes | none |
//! | close, end of a pager | `close`, of a large file `mmap` before | none |
//!
//! # Platforms
//! Linux and macOS, 64 bit. On macOS a scratch file has a name for an instant before it is unlinked, and no directory but one on
//! tmpfs is known to be in memory; the swap backend has no
//! hint for cold memory; nothing bounds the bytes that are not written back yet ([`PagerStats::dirty_budget_bytes`]), and a device
//! that lost bytes is noticed by checksums alone; memory cannot be kept out of core dumps. The interface is the same.
//!
//! # Feature flags
//! - `compression`: `PagerBuilder::compression`, by LZ4 in safe Rust (the crate `lz4_flex`). Off by default.
//! - `encryption`: `PagerBuilder::encryption`. Needs a C compiler where it is built, and adds 0.1 to 0.7 MB to a binary (the crate
//!   `aegis`). Off by default.
//!
//! All else needs nothing but the standard library and three small crates (bytemuck, libc, log), so there is nothing to leave out;
//! what is used is chosen when a pager is opened. `addon-internals` is for this project's Node addon and may change in any release.
//! The crate builds with Rust 1.89 or later.

#![deny(unsafe_code)]
// What only the addon uses is not reachable without its feature. With it, as the tests are built, all of it is looked at.
#![cfg_attr(not(feature = "addon-internals"), allow(dead_code, unreachable_pub, clippy::struct_field_names))]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("pageout supports Linux and macOS only: it is built on unnamed files, which other systems do not have");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("pageout supports 64-bit targets only: its payloads may be longer than a 32-bit address space");

mod block;
mod budget;
pub mod doctor;
mod error;
#[cfg(all(feature = "compression", feature = "addon-internals"))]
#[doc(hidden)]
pub mod frames;
#[cfg(all(feature = "compression", not(feature = "addon-internals")))]
mod frames;
mod global;
mod keeper;
mod limits;
mod map;
#[cfg(all(test, pageout_loom))]
mod models;
mod pager;
mod payload;
mod slots;
mod store;
mod sync;
mod sys;
mod units;

#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use budget::{Brought, Purpose, WeakBudget};
#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use pager::{BatchRead, Claimed, Claiming, Environment, Hold, LentGathered, LentRoom, read_batch};
#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use payload::Chunk;
#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use sys::{device, memory};

pub use budget::{MemoryBudget, Resident};
/// The crate whose [`Pod`](bytemuck::Pod) the elements are, in the version that this crate uses.
pub use bytemuck;
pub use error::{BudgetFacts, Error, RefusedDir, SpaceFacts};
pub use global::{
    backend, pageout, pageout_with, pager, prefetch, read_at, read_at_many, set_backend, set_scratch_dir, take, trim,
    try_pageout, try_pageout_with, try_read_at, try_read_at_many, try_set_scratch_dir, try_take,
};
pub use map::{Evicted, PagedMap};
#[cfg(feature = "compression")]
pub use pager::Compression;
pub use pager::{Backend, Borrowed, Collector, Handle, PageoutError, Pager, PagerBuilder, PagerStats, Reader, TakeError};
pub use sys::device::Exposure;

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
