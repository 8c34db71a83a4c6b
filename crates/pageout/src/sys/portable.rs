//! The device that every platform can have: files with a name for a moment, no reservation, no holes, plain reads.
//!
//! The devices of Linux and macOS are this one with more. It can be asked for everywhere, so that it is tested on Linux too.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::Destination;
use super::device::{Device, Directory, DirectoryFacts, Failure, Outcome, Remainder, Room, ScratchFile};
use super::directory::{self, OpenDirectory};
use super::{file, mapping};

/// The operating system, with nothing but what every platform offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Device for Portable {
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>> {
        Ok(Arc::new(PortableDirectory { directory: OpenDirectory::open(path)? }))
    }
}

#[derive(Debug)]
struct PortableDirectory {
    directory: OpenDirectory,
}

impl Directory for PortableDirectory {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        self.directory.facts(|| self.directory.create_named())
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        Ok(Box::new(PortableFile::new(self.directory.create_named()?)))
    }

    fn is_current(&self) -> bool {
        self.directory.is_current()
    }
}

/// A file of any device, with what every platform can do with it.
#[derive(Debug)]
pub(super) struct PortableFile {
    file: OwnedFd,
}

impl PortableFile {
    pub(super) fn new(file: OwnedFd) -> Self {
        Self { file }
    }
}

impl AsFd for PortableFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl ScratchFile for PortableFile {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        file::write_at(self.as_fd(), sources, offset)
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        file::read_at(self.as_fd(), destinations, offset)
    }

    fn read_cached_at(&self, _destinations: &mut [Destination<'_>], _offset: u64) -> Outcome<usize> {
        Ok(0)
    }

    fn prefetch(&self, _offset: u64, _len_bytes: u64) {}

    fn evict(&self, _offset: u64, _len_bytes: u64) {}

    fn start_write_back(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        Ok(())
    }

    fn check_write_back(&self) -> Outcome<()> {
        Ok(())
    }

    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        file::check_length_limit("pwritev", offset, len_bytes)?;
        Err(Failure::new("fallocate", libc::ENOTSUP))
    }

    fn punch(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        Err(Failure::new("fallocate", libc::ENOTSUP))
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        file::truncate(self.as_fd(), len_bytes)
    }

    fn room(&self) -> Outcome<Room> {
        directory::room(self.file.as_raw_fd())
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        mapping::retire(self.file)
    }
}

// Miri has no such device.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::sys::{Native, destination};

    fn both(check: impl Fn(&dyn Directory, &Path)) {
        for device in [&Native as &dyn Device, &Portable] {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let directory = device.open_directory(scratch.path()).expect("a scratch directory");
            check(&*directory, scratch.path());
        }
    }

    #[test]
    fn files_have_no_name_and_keep_what_is_written() {
        both(|directory, path| {
            let file = directory.create_file().expect("a scratch file");
            assert_eq!(std::fs::read_dir(path).expect("a listing").count(), 0);
            let written = file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")], 3).expect("a write");
            assert_eq!(written, 4);
            let mut bytes = Vec::with_capacity(6);
            destination::append_to::<u8, Failure>(&mut bytes, 4, |mut whole| {
                let mut parts = [whole.split_front(1), whole];
                file.read_at(&mut parts, 3).map(drop)
            })
            .expect("a read");
            assert_eq!(bytes, b"abcd");
        });
    }

    #[test]
    fn a_file_ends_where_it_is_truncated() {
        both(|directory, _| {
            let file = directory.create_file().expect("a scratch file");
            file.write_at(&[IoSlice::new(&[7; 100])], 0).expect("a write");
            file.truncate(40).expect("an end");
            let mut bytes = [std::mem::MaybeUninit::uninit(); 100];
            let read = destination::with_buffer(&mut bytes, |whole| file.read_at(&mut [whole], 0));
            assert_eq!(read, Ok(40));
        });
    }

    #[test]
    fn a_file_is_no_directory() {
        let scratch = tempfile::NamedTempFile::new().expect("a temporary file");
        for device in [&Native as &dyn Device, &Portable] {
            let failure = device.open_directory(scratch.path()).expect_err("a file is refused");
            assert_eq!(failure.errno, libc::ENOTDIR);
        }
    }

    #[test]
    fn facts_name_the_file_system_and_its_room() {
        both(|directory, path| {
            let facts = directory.facts().expect("facts");
            assert!(!facts.file_system.is_empty() && facts.room.free_bytes <= facts.room.total_bytes, "{facts:?}");
            assert_eq!(facts.exposure, None);
            let file_room = directory.create_file().expect("a scratch file").room().expect("its room");
            assert_eq!(file_room.total_bytes, facts.room.total_bytes);
            assert_eq!(std::fs::read_dir(path).expect("a listing").count(), 0);
        });
    }

    #[test]
    fn a_range_past_every_limit_is_refused_and_nothing_is_reserved() {
        both(|directory, _| {
            let file = directory.create_file().expect("a scratch file");
            assert_eq!(file.reserve(u64::MAX - 9, 10).map_err(|failure| failure.errno), Err(libc::EFBIG));
        });
    }

    #[test]
    fn a_file_that_is_retired_is_kept_until_the_rest_is_dropped() {
        both(|directory, _| {
            let file = directory.create_file().expect("a scratch file");
            file.write_at(&[IoSlice::new(&[7; 100])], 0).expect("a write");
            drop(file.retire().expect("a file that can be mapped"));
        });
    }

    #[test]
    fn what_only_some_platforms_have_is_left_out_of_the_portable_way() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = Portable.open_directory(scratch.path()).expect("a scratch directory");
        let file = directory.create_file().expect("a scratch file");
        assert!(file.reserve(0, 1 << 20).is_err_and(Failure::is_unsupported), "nothing is promised");
        file.prefetch(0, 4096);
        file.start_write_back(0, 4096).expect("nothing is started");
        file.check_write_back().expect("nothing is known");
        file.evict(0, 4096);
        let failure = file.punch(0, 4096).expect_err("there are no holes");
        assert!(failure.is_unsupported(), "{failure:?}");
    }
}
