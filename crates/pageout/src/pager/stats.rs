//! What a pager holds and has done.

use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::budget::Account;
use crate::sync::{AtomicU64, thread_number};

/// What a pager holds and has done, from [`Pager::stats`](crate::Pager::stats). Counters run from the pager's beginning.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pager = pageout::Pager::builder().build()?;
/// let handle = pager.pageout_vec(vec![0u8; 5_000])?;
/// handle.read(..100)?;
/// let stats = pager.stats();
/// assert_eq!((stats.handles, stats.payload_bytes, stats.stored_bytes, stats.used_bytes), (1, 5_000, 5_000, 8_192));
/// assert_eq!((stats.pageouts, stats.reads, stats.read_bytes), (1, 1, 100));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagerStats {
    /// Handles that exist.
    pub handles: u64,
    /// Bytes of their payloads, both backends together.
    pub payload_bytes: u64,
    /// Bytes of scratch slots in use. At least the bytes of the file backend's payloads.
    pub used_bytes: u64,
    /// What the payloads of the file backend take in their slots, after compression. One that is in memory and not written yet
    /// counts in full.
    pub stored_bytes: u64,
    /// Upper limit on `used_bytes`; 0 while neither an option nor an open scratch directory decides it.
    pub capacity_bytes: u64,
    /// Bytes of disk space that the scratch files hold, in use or ready for use.
    pub scratch_bytes: u64,
    /// Upper limit on bytes of slots in use that are not written back yet.
    pub dirty_bytes: u64,
    /// Dirty bytes that are tolerated before write-back is started: an eighth of the memory group's limit, at most half of what
    /// anonymous memory leaves of it, at most a quarter of the available memory. Past that, each pageout starts the write-back of as much as it added; 0 until a scratch directory is open.
    pub dirty_budget_bytes: u64,
    /// Bytes whose write-back was started because of that.
    pub pushed_bytes: u64,
    /// Scratch files of which the device has lost something after it was written, as far as the system has reported it. No new
    /// payload goes there.
    pub write_back_failures: u64,
    /// Bytes of slots in use in such files: what may be lost ([`Handle::is_at_risk`](crate::Handle::is_at_risk)).
    pub at_risk_bytes: u64,
    /// Bytes of buffers kept for later results: none in Rust, where results go into the caller's vectors.
    pub spare_bytes: u64,
    /// The scratch directory, once one is open.
    pub scratch_dir: Option<PathBuf>,
    /// Name of its file system, for instance `ext4`.
    pub file_system: Option<String>,
    /// Pageouts that succeeded.
    pub pageouts: u64,
    /// Bytes of their payloads.
    pub pageout_bytes: u64,
    /// Reads of ranges that succeeded; a call with several ranges counts once, and each time that a [`Reader`](crate::Reader) fills
    /// its buffer.
    pub reads: u64,
    /// Bytes that they read.
    pub read_bytes: u64,
    /// Takes that succeeded.
    pub takes: u64,
    /// Bytes of their payloads.
    pub take_bytes: u64,
    /// Bytes of its payloads that are in memory within its budget, borrowed ones included.
    pub resident_bytes: u64,
    /// Bytes of those that are borrowed.
    pub borrowed_bytes: u64,
    /// The most that its budget allows, for all pagers that share it; 0 without one.
    pub resident_limit_bytes: u64,
    /// Reads, borrows and takes of the file backend that memory served. These counters need a budget.
    pub resident_hits: u64,
    /// Those that the disk served; borrows that shared a read count once.
    pub resident_misses: u64,
    /// Payloads that left memory for lack of room.
    pub evictions: u64,
    /// Those of them whose copy on disk was good already when they came into memory.
    pub evictions_without_write: u64,
    /// Payloads that were taken or freed before they were written.
    pub writes_elided: u64,
    /// Writes in the background that failed; their payloads are in memory.
    pub background_write_failures: u64,
    /// Payloads that were changed while they were borrowed, against the rule, which Rust does not allow.
    pub changed_borrows: u64,
    /// Bytes of swap space that the machine has. Without any, the swap backend frees nothing.
    pub swap_bytes: u64,
    /// Bytes of it that are free.
    pub swap_free_bytes: u64,
}

impl PagerStats {
    /// Writes in what a pager has of a budget.
    pub(super) fn fill_residents(&mut self, account: &Account) {
        let counters = account.counters();
        self.resident_bytes = account.resident_bytes();
        self.borrowed_bytes = account.borrowed_bytes();
        self.resident_limit_bytes = account.budget().limit_bytes();
        self.resident_hits = counters.hits.load(Acquire);
        self.resident_misses = counters.misses.load(Acquire);
        self.evictions = counters.evictions.load(Acquire);
        self.evictions_without_write = counters.evictions_without_write.load(Acquire);
        self.writes_elided = counters.writes_elided.load(Acquire);
        self.background_write_failures = counters.background_write_failures.load(Acquire);
        self.changed_borrows = counters.changed_borrows.load(Acquire);
    }
}

/// Threads that count apart, so that they do not wait for each other's cache lines.
const LINES: usize = 8;

/// The counters behind [`PagerStats`]. All of them only rise; what exists now is what began and has not ended.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Of both backends.
    all: [Line; LINES],
    /// Of the swap backend alone.
    swap: [SwapLine; LINES],
}

/// The counters of some threads.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line {
    begun: Tally,
    ended: Tally,
    read: Tally,
    taken: Tally,
}

/// Bytes of payloads of the swap backend, of some threads.
#[derive(Debug, Default)]
#[repr(align(64))]
struct SwapLine {
    begun_bytes: AtomicU64,
    ended_bytes: AtomicU64,
}

/// Events and their bytes.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn add(&self, bytes: u64) {
        // Releases, so that who sees the end of a handle sees its beginning.
        self.count.fetch_add(1, Release);
        self.bytes.fetch_add(bytes, Release);
    }
}

impl Counters {
    /// A handle of `len_bytes` begins.
    pub(super) fn pageout(&self, len_bytes: u64) {
        self.line().begun.add(len_bytes);
    }

    /// A payload of `len_bytes` of the swap backend begins.
    pub(super) fn swap_in(&self, len_bytes: u64) {
        self.swap_line().begun_bytes.fetch_add(len_bytes, Release);
    }

    /// A payload of `len_bytes` of the swap backend ends.
    pub(super) fn swap_out(&self, len_bytes: u64) {
        self.swap_line().ended_bytes.fetch_add(len_bytes, Release);
    }

    /// A read brought `len_bytes` back.
    pub(super) fn read(&self, len_bytes: u64) {
        self.line().read.add(len_bytes);
    }

    /// A take brought `len_bytes` back.
    pub(super) fn take(&self, len_bytes: u64) {
        self.line().taken.add(len_bytes);
    }

    /// A handle of `len_bytes` ends.
    pub(super) fn end(&self, len_bytes: u64) {
        self.line().ended.add(len_bytes);
    }

    /// Writes the counters into `stats`.
    pub(super) fn fill(&self, stats: &mut PagerStats) {
        // The ends first: each has its beginning among those that are counted after it.
        let (ends, ended_bytes) = self.sum(|line| &line.ended);
        let swap_ended_bytes = self.sum_swap(|line| &line.ended_bytes);
        let swap_bytes = self.sum_swap(|line| &line.begun_bytes) - swap_ended_bytes;
        (stats.pageouts, stats.pageout_bytes) = self.sum(|line| &line.begun);
        (stats.handles, stats.payload_bytes) = (stats.pageouts - ends, stats.pageout_bytes - ended_bytes);
        // A payload of the swap backend may have begun or ended in between.
        stats.stored_bytes = stats.payload_bytes.saturating_sub(swap_bytes);
        (stats.reads, stats.read_bytes) = self.sum(|line| &line.read);
        (stats.takes, stats.take_bytes) = self.sum(|line| &line.taken);
    }

    fn line(&self) -> &Line {
        &self.all[thread_number() % LINES]
    }

    fn swap_line(&self) -> &SwapLine {
        &self.swap[thread_number() % LINES]
    }

    /// Count and bytes of all threads.
    fn sum(&self, tally: impl Fn(&Line) -> &Tally) -> (u64, u64) {
        self.all
            .iter()
            .map(tally)
            .fold((0, 0), |(count, bytes), tally| (count + tally.count.load(Acquire), bytes + tally.bytes.load(Acquire)))
    }

    fn sum_swap(&self, bytes: impl Fn(&SwapLine) -> &AtomicU64) -> u64 {
        self.swap.iter().map(|line| bytes(line).load(Acquire)).sum()
    }
}
