//! What the page cache holds of a file.

use std::os::fd::BorrowedFd;

/// Drops the first `len_bytes` of `file`, which its device has, from the page cache. Says whether they have left it for sure; where
/// the system has no such call they have not.
pub(crate) fn drop_pages(file: BorrowedFd<'_>, len_bytes: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        let dropped = super::linux::evict(file, 0, crate::units::to_u64(len_bytes));
        let residency = || super::mapping::Mapping::of(file, len_bytes)?.residency();
        dropped.is_ok() && residency().is_some_and(|pages| !pages.iter().any(|&is_there| is_there))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, len_bytes);
        false
    }
}
