//! What this process may use of the memory, and what is left of it: one set of open files for the whole process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys::MemoryLimit;
use crate::sys::device::MemorySample;

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// What the operating system said when it was last asked.
pub(crate) fn current() -> MemorySample {
    static LIMIT: LazyLock<MemoryLimit> = LazyLock::new(MemoryLimit::open);
    LIMIT.sample()
}

pub(crate) fn count_written(bytes: u64) {
    WRITTEN.fetch_add(bytes, Relaxed);
}
