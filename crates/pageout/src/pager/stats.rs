//! What a pager holds and has done.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a pager holds and has done, from [`Pager::stats`](crate::Pager::stats). Counters run from the pager's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagerStats {
    /// Handles that exist.
    pub handles: u64,
    /// Bytes of their payloads, both backends together.
    pub payload_bytes: u64,
    /// Bytes of scratch slots in use. At least the bytes of the file backend's payloads.
    pub used_bytes: u64,
    /// The most that `used_bytes` may become; 0 while neither an option nor an open scratch directory decides it.
    pub capacity_bytes: u64,
    /// Bytes of disk space that the scratch files hold, in use or ready for use.
    pub scratch_bytes: u64,
    /// Bytes of slots in use that the device may not have yet, counted from above.
    pub dirty_bytes: u64,
    /// Most of them that are left alone: an eighth of the memory group's limit, at most a quarter of the available memory.
    /// Past that, each pageout starts writing as much as it added; 0 until a scratch directory is open.
    pub dirty_budget_bytes: u64,
    /// Bytes whose writing was started because of that.
    pub pushed_bytes: u64,
    /// Bytes of buffers kept for later results: none in Rust, where results go into the caller's vectors.
    pub spare_bytes: u64,
    /// The scratch directory, once one is open.
    pub scratch_dir: Option<PathBuf>,
    /// Name of its file system, for instance `ext4`.
    pub file_system: Option<String>,
    /// Pageouts that succeeded.
    pub pageouts: u64,
    /// Bytes they put out.
    pub pageout_bytes: u64,
    /// Reads of ranges that succeeded; a call with several ranges counts once.
    pub reads: u64,
    /// Bytes they brought back.
    pub read_bytes: u64,
    /// Takes that succeeded.
    pub takes: u64,
    /// Bytes they brought back.
    pub take_bytes: u64,
    /// Bytes of swap space that the machine has. Without any, the swap backend frees nothing.
    pub swap_bytes: u64,
    /// Bytes of it that are free.
    pub swap_free_bytes: u64,
}

/// The counters behind [`PagerStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    handles: AtomicU64,
    payload_bytes: AtomicU64,
    pageouts: AtomicU64,
    pageout_bytes: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    takes: AtomicU64,
    take_bytes: AtomicU64,
}

macro_rules! getters {
    ($($name:ident)+) => {
        $(pub(super) fn $name(&self) -> u64 { self.$name.load(Relaxed) })+
    };
}

impl Counters {
    getters! { handles payload_bytes pageouts pageout_bytes reads read_bytes takes take_bytes }

    /// A handle of `len_bytes` begins.
    pub(super) fn pageout(&self, len_bytes: u64) {
        self.handles.fetch_add(1, Relaxed);
        self.payload_bytes.fetch_add(len_bytes, Relaxed);
        self.pageouts.fetch_add(1, Relaxed);
        self.pageout_bytes.fetch_add(len_bytes, Relaxed);
    }

    /// A read brought `len_bytes` back.
    pub(super) fn read(&self, len_bytes: u64) {
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(len_bytes, Relaxed);
    }

    /// A take brought `len_bytes` back.
    pub(super) fn take(&self, len_bytes: u64) {
        self.takes.fetch_add(1, Relaxed);
        self.take_bytes.fetch_add(len_bytes, Relaxed);
    }

    /// A handle of `len_bytes` ends.
    pub(super) fn end(&self, len_bytes: u64) {
        self.handles.fetch_sub(1, Relaxed);
        self.payload_bytes.fetch_sub(len_bytes, Relaxed);
    }
}
