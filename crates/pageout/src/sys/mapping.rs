//! Mappings of files that nobody reads: they keep a file alive without a descriptor, and tell which pages are in memory.

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use super::device::Remainder;
use super::memory::page_bytes;

/// Closes `file` now. What is given keeps the space of the file until it is dropped; nothing does where the file cannot be
/// mapped.
pub(super) fn retire(file: OwnedFd) -> Option<Remainder> {
    let mapping = Mapping::of(file.as_fd(), page_bytes());
    drop(file);
    mapping.map(|mapping| Box::new(mapping) as Remainder)
}

/// The beginning of a file in the address space, which takes no memory and which nothing can read or write. The system keeps the
/// file as long as it is mapped; dropping the last mapping of a file without descriptors and names gives its space back.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<c_void>,
    len_bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this is the only one that knows of it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The first `len_bytes` of `file`, which may end before; nothing where the system refuses.
    pub(super) fn of(file: BorrowedFd<'_>, len_bytes: usize) -> Option<Self> {
        let (nowhere, flags) = (std::ptr::null_mut(), libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: the system chooses free addresses, so that no memory of anybody is replaced, and `file` is open for the call.
        let start = unsafe { libc::mmap(nowhere, len_bytes, libc::PROT_NONE, flags, file.as_raw_fd(), 0) };
        let start = NonNull::new(start).filter(|_| start != libc::MAP_FAILED)?;
        let mapping = Self { start, len_bytes };
        #[cfg(target_os = "linux")]
        mapping.keep_from_children();
        Some(mapping)
    }

    /// Leaves the mapping out of processes that are forked, which would keep the file for as long as they live. A hint: the answer
    /// does not matter.
    #[cfg(target_os = "linux")]
    fn keep_from_children(&self) {
        // SAFETY: the range is this mapping's own, and the advice changes nothing in this process.
        unsafe { libc::madvise(self.start.as_ptr(), self.len_bytes, libc::MADV_DONTFORK) };
    }

    /// For each page, whether it is in memory; nothing where the system does not say.
    #[cfg(target_os = "linux")]
    pub(super) fn residency(&self) -> Option<Vec<bool>> {
        let mut pages = vec![0; self.len_bytes.div_ceil(page_bytes())];
        // SAFETY: the range is this mapping's own and begins at a page; `pages` has a byte for each page of it.
        let answer = unsafe { libc::mincore(self.start.as_ptr(), self.len_bytes, pages.as_mut_ptr()) };
        // The other bits are reserved.
        (answer == 0).then(|| pages.iter().map(|page| page & 1 != 0).collect())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's own, and no reference into it was ever made. A whole mapping can always be removed.
        unsafe { libc::munmap(self.start.as_ptr(), self.len_bytes) };
    }
}

// Miri maps no files.
#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    /// Whether a file of this process is mapped by a name that holds `name`.
    fn is_mapped(name: &str) -> bool {
        std::fs::read_to_string("/proc/self/maps").expect("the mappings").lines().any(|line| line.contains(name))
    }

    #[test]
    fn a_retired_file_has_no_descriptor_and_is_mapped_until_the_rest_is_dropped() {
        let file = tempfile::Builder::new().prefix("pageout-retired-").tempfile().expect("a temporary file");
        let name = file.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let descriptor = OwnedFd::from(file.into_file());
        let entry = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        assert!(std::fs::read_link(&entry).expect("an open file").to_string_lossy().contains(&name));
        let remainder = retire(descriptor).expect("a file that can be mapped");
        let target = std::fs::read_link(&entry).map(|target| target.to_string_lossy().into_owned());
        assert!(!target.is_ok_and(|target| target.contains(&name)), "the descriptor is gone");
        assert!(is_mapped(&name), "the file is kept");
        std::thread::spawn(move || drop(remainder)).join().expect("any thread may drop it");
        assert!(!is_mapped(&name), "nothing keeps the file");
    }

    #[test]
    fn what_cannot_be_mapped_is_closed_all_the_same() {
        let directory = OwnedFd::from(std::fs::File::open("/proc/self").expect("a directory"));
        assert!(retire(directory).is_none());
    }
}
