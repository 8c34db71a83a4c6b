//! What this process may use of the memory, and what is left of it: one set of open files for the whole process.

use std::sync::LazyLock;

use crate::sys::MemoryLimit;
use crate::sys::device::MemorySample;

/// What the operating system says now.
pub(crate) fn sample() -> MemorySample {
    static LIMIT: LazyLock<MemoryLimit> = LazyLock::new(MemoryLimit::open);
    LIMIT.sample()
}
