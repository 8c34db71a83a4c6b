//! When dirty pages have to leave: pure accounting against a budget.
//!
//! A written slot is dirty in the page cache until the kernel has written it to the device. While the dirty bytes fit a share
//! of the memory there is, nothing is done about them: what is freed or overwritten first is never written, and pushing it
//! would make every rewrite wait for the device. Past that share, pageouts start the write-back of as much as they add, from
//! the file that has most of it, lowest slots first, so that pages leave steadily. Without that the kernel lets
//! them pile up to the limit of the memory group and then stops the writer until they are gone.
//!
//! The count is an estimate from above: the kernel does not tell what it has written on its own.

use std::sync::atomic::Ordering::Relaxed;

use crate::limits;
use crate::sync::{AtomicU64, UnsizedArc};
use crate::sys::Device;
use crate::sys::device::MemorySample;
use crate::units::MIB;

/// Share of a memory group's limit that may be dirty. Version 1 groups are not throttled by their own dirty pages, so that
/// reclaim has to write them: with a quarter the longest stalls are twice as long as with an eighth.
const GROUP_SHARE: u64 = 8;
/// Share of what anonymous memory leaves of the group that may be dirty: a group that is nearly full has less to give.
const GROUP_FREE_SHARE: u64 = 2;
/// Share of the machine's available memory that may be dirty. The kernel itself begins to write at a tenth and slows
/// writers down at a fifth, so this only bounds what it leaves.
const MACHINE_SHARE: u64 = 4;
/// Share of a memory group that the page cache of scratch files can have beside everything else.
const CACHE_SHARE: u64 = 2;
/// The least and the most bytes that one call starts to write: small payloads leave many at a time.
const PUSH_BYTES_MIN: u64 = MIB;
const PUSH_BYTES_MAX: u64 = 16 * MIB;

/// Dirty bytes and how many of them are allowed.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    device: UnsizedArc<dyn Device>,
    /// Whether the device leaves it to the operating system to say how much memory there is.
    asks_system: bool,
    dirty_bytes: AtomicU64,
    pushed_bytes: AtomicU64,
    failed_files: AtomicU64,
}

impl WriteBehind {
    pub(super) fn new(device: UnsizedArc<dyn Device>) -> Self {
        let zero = || AtomicU64::new(0);
        let asks_system = device.memory().is_none();
        Self { device, asks_system, dirty_bytes: zero(), pushed_bytes: zero(), failed_files: zero() }
    }

    /// Bytes of slots that were written and not pushed.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes.load(Relaxed)
    }

    /// Dirty bytes that are tolerated before write-back is started.
    pub(crate) fn budget_bytes(&self) -> u64 {
        budget_bytes(self.memory())
    }

    /// Bytes that a prefetch may bring in: more would push out what it has just brought.
    pub(super) fn prefetch_bytes_max(&self) -> u64 {
        self.memory().free_bytes() / CACHE_SHARE
    }

    /// Bytes whose write-back was started.
    pub(crate) fn pushed_bytes(&self) -> u64 {
        self.pushed_bytes.load(Relaxed)
    }

    /// Files of which the device has lost something.
    pub(crate) fn failed_files(&self) -> u64 {
        self.failed_files.load(Relaxed)
    }

    /// The device has lost something of one more file.
    pub(super) fn add_failed_file(&self) {
        self.failed_files.fetch_add(1, Relaxed);
    }

    /// A clean slot was written.
    pub(super) fn add_dirty(&self, bytes: u64) {
        self.dirty_bytes.fetch_add(bytes, Relaxed);
        limits::count_written(bytes);
    }

    /// A dirty slot was freed.
    pub(super) fn forget(&self, bytes: u64) {
        self.dirty_bytes.fetch_sub(bytes, Relaxed);
    }

    /// The write-back of dirty slots was started.
    pub(super) fn add_pushed(&self, bytes: u64) {
        self.dirty_bytes.fetch_sub(bytes, Relaxed);
        self.pushed_bytes.fetch_add(bytes, Relaxed);
    }

    /// Whether scratch files of `scratch_bytes` are more than memory holds beside everything else.
    pub(super) fn is_memory_short(&self, scratch_bytes: u64) -> bool {
        let memory = self.memory();
        scratch_bytes > (memory.limit_bytes / CACHE_SHARE).min(memory.free_bytes())
    }

    /// What the process may use of the memory, as it was when it was last looked at.
    fn memory(&self) -> MemorySample {
        let told = if self.asks_system { None } else { self.device.memory() };
        told.unwrap_or_else(limits::current)
    }

    /// Bytes to push now.
    pub(super) fn due_bytes(&self) -> u64 {
        match self.dirty_bytes().saturating_sub(self.budget_bytes()) {
            0 => 0,
            excess_bytes => excess_bytes.clamp(PUSH_BYTES_MIN, PUSH_BYTES_MAX),
        }
    }
}

/// Dirty bytes that are tolerated with so much memory.
fn budget_bytes(memory: MemorySample) -> u64 {
    let group_bytes = (memory.limit_bytes / GROUP_SHARE).min(memory.group_free_bytes / GROUP_FREE_SHARE);
    group_bytes.min(memory.available_bytes / MACHINE_SHARE)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::device::{Directory, Outcome};

    #[derive(Debug)]
    struct Memory(MemorySample);

    impl Device for Memory {
        fn open_directory(&self, _path: &Path) -> Outcome<UnsizedArc<dyn Directory>> {
            unreachable!("only the memory is asked for")
        }

        fn memory(&self) -> Option<MemorySample> {
            Some(self.0)
        }
    }

    fn within(limit_bytes: u64, group_free_bytes: u64, available_bytes: u64) -> WriteBehind {
        WriteBehind::new(UnsizedArc::new(Memory(MemorySample { limit_bytes, group_free_bytes, available_bytes })))
    }

    #[test]
    fn what_exceeds_the_budget_is_due_within_bounds() {
        let accounts = within(256 * MIB, u64::MAX, u64::MAX);
        assert_eq!((accounts.budget_bytes(), accounts.failed_files()), (32 * MIB, 0));
        for (more_bytes, due_bytes) in [(32 * MIB, 0), (1, MIB), (5 * MIB - 1, 5 * MIB), (100 * MIB, 16 * MIB)] {
            accounts.add_dirty(more_bytes);
            assert_eq!(accounts.due_bytes(), due_bytes);
        }
        accounts.add_pushed(105 * MIB);
        assert_eq!((accounts.dirty_bytes(), accounts.pushed_bytes(), accounts.due_bytes()), (32 * MIB, 105 * MIB, 0));
        accounts.forget(30 * MIB);
        accounts.add_failed_file();
        assert_eq!((accounts.dirty_bytes(), accounts.failed_files()), (2 * MIB, 1));
    }

    #[test]
    fn memory_is_short_where_scratch_exceeds_half_of_the_group_or_what_is_free() {
        for accounts in [within(400 * MIB, 300 * MIB, 250 * MIB), within(600 * MIB, 200 * MIB, 250 * MIB)] {
            assert!(!accounts.is_memory_short(200 * MIB));
            assert!(accounts.is_memory_short(200 * MIB + 1));
        }
        assert_eq!(within(600 * MIB, 200 * MIB, 250 * MIB).prefetch_bytes_max(), 100 * MIB);
    }

    #[test]
    fn the_budget_is_an_eighth_of_the_group_half_of_what_it_leaves_and_a_quarter_of_the_machine() {
        let memory =
            |limit_bytes, group_free_bytes, available_bytes| MemorySample { limit_bytes, group_free_bytes, available_bytes };
        assert_eq!(budget_bytes(memory(256 * MIB, 250 * MIB, u64::MAX)), 32 * MIB);
        assert_eq!(budget_bytes(memory(512 * MIB, 42 * MIB, u64::MAX)), 21 * MIB);
        assert_eq!(budget_bytes(memory(u64::MAX, u64::MAX, 400 * MIB)), 100 * MIB);
    }
}
