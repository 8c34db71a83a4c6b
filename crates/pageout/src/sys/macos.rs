//! The device of macOS: the portable one, with space that is asked for before it is used, holes, and prefetching.
//!
//! Files have a name for a moment. There is neither a way to start write-back of a range nor one to ask what was lost, and none to
//! read only what is in memory.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::Destination;
use super::call::{ALLOCATION_INTERRUPTIONS_MAX, checked, last, repeated, retried_int};
use super::device::{Device, Directory, DirectoryFacts, Failure, Outcome, Remainder, Room, ScratchFile};
use super::directory::OpenDirectory;
use super::file;
use super::file::file_offset;
use super::portable::PortableFile;

/// Bytes that one call prefetches, which takes its length as an int.
const PREFETCH_STEP_BYTES: u64 = 1 << 30;

/// The operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MacOs;

impl Device for MacOs {
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>> {
        Ok(Arc::new(MacOsDirectory { directory: OpenDirectory::open(path)? }))
    }
}

#[derive(Debug)]
struct MacOsDirectory {
    directory: OpenDirectory,
}

impl Directory for MacOsDirectory {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        self.directory.facts(|| self.directory.create_named())
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        Ok(Box::new(MacOsFile { portable: PortableFile::new(self.directory.create_named()?) }))
    }

    fn is_current(&self) -> bool {
        self.directory.is_current()
    }

    fn measured_file(&self) -> Option<OwnedFd> {
        self.directory.create_named().ok()
    }
}

#[derive(Debug)]
struct MacOsFile {
    portable: PortableFile,
}

impl ScratchFile for MacOsFile {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        self.portable.write_at(sources, offset)
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.portable.read_at(destinations, offset)
    }

    fn read_cached_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.portable.read_cached_at(destinations, offset)
    }

    fn prefetch(&self, offset: u64, len_bytes: u64) {
        for (offset, len_bytes) in file::steps(offset, len_bytes, PREFETCH_STEP_BYTES) {
            prefetch(self.portable.as_fd(), offset, len_bytes);
        }
    }

    fn evict(&self, offset: u64, len_bytes: u64) {
        self.portable.evict(offset, len_bytes);
    }

    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        self.portable.start_write_back(offset, len_bytes)
    }

    fn check_write_back(&self) -> Outcome<()> {
        self.portable.check_write_back()
    }

    /// Space is only given behind the end: what a hole needs is asked for by the write.
    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        file::check_length_limit("fcntl", offset, len_bytes)?;
        let (end, len) = (offset + len_bytes, len_bytes_of(self.portable.as_fd())?);
        if end <= len {
            return Err(Failure::new("fcntl", libc::ENOTSUP));
        }
        match preallocate(self.portable.as_fd(), end - len) {
            Ok(()) => self.portable.truncate(end),
            Err(Failure { errno: libc::EINVAL, .. }) => Err(Failure::new("fcntl", libc::ENOTSUP)),
            Err(failure) => Err(failure),
        }
    }

    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        punch(self.portable.as_fd(), offset, len_bytes).map_err(|failure| match failure.errno {
            // Blocks are longer than the slot, so that a hole cannot begin or end there.
            libc::EINVAL => Failure::new(failure.syscall, libc::ENOTSUP),
            _ => failure,
        })
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        self.portable.truncate(len_bytes)
    }

    fn room(&self) -> Outcome<Room> {
        self.portable.room()
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        Box::new(self.portable).retire()
    }
}

/// Where the file ends.
fn len_bytes_of(file: BorrowedFd<'_>) -> Outcome<u64> {
    // SAFETY: `file` is open for the call, which takes no memory; nobody uses the place that it moves.
    let end = unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_END) };
    u64::try_from(end).map_err(|_| last("lseek"))
}

/// Starts reading a range, whose length fits an int, into memory. A hint: the answer does not matter.
fn prefetch(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) {
    if let (Ok(ra_offset), Ok(ra_count)) = (libc::off_t::try_from(offset), libc::c_int::try_from(len_bytes)) {
        let range = libc::radvisory { ra_offset, ra_count };
        // SAFETY: `file` is open for the call, and F_RDADVISE reads a radvisory, which `range` is.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_RDADVISE, &raw const range) };
    }
}

/// Asks for `len_bytes` of space behind what the file has.
fn preallocate(file: BorrowedFd<'_>, len_bytes: u64) -> Outcome<()> {
    let mut request = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: file_offset("fcntl", len_bytes)?,
        fst_bytesalloc: 0,
    };
    // SAFETY: `file` is open for the call, and F_PREALLOCATE reads and writes an fstore_t, which `request` is.
    let mut call = || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut request) };
    repeated(ALLOCATION_INTERRUPTIONS_MAX, || checked("fcntl", call())).map(drop)
}

/// Gives the space of a range back.
fn punch(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    let request = libc::fpunchhole_t {
        fp_flags: 0,
        reserved: 0,
        fp_offset: file_offset("fcntl", offset)?,
        fp_length: file_offset("fcntl", len_bytes)?,
    };
    // SAFETY: `file` is open for the call, and F_PUNCHHOLE reads an fpunchhole_t, which `request` is.
    retried_int("fcntl", || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const request) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_space_can_be_given_back() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = MacOs.open_directory(scratch.path()).expect("a scratch directory");
        let file = directory.create_file().expect("a scratch file");
        file.reserve(0, 1 << 20).expect("space");
        file.prefetch(0, 1 << 20);
        match file.punch(0, 1 << 20) {
            Ok(()) => {}
            Err(failure) => assert!(failure.is_unsupported(), "{failure:?}"),
        }
        file.truncate(0).expect("an end");
    }
}
