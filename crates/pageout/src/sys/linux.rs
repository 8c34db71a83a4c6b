//! The device of Linux: the portable one with unnamed files, reserved space, holes, cached reads, hints and write-back.
//!
//! Each of these is done without where a kernel, a file system or a sandbox lacks or denies it.

mod calls;

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

pub(super) use calls::{evict, sync_data, write_back};

use super::Destination;
use super::device::{Abilities, Device, Directory, DirectoryFacts, Failure, Outcome, Remainder, Room, ScratchFile};
use super::directory::{self, OpenDirectory};
use super::file;
use super::in_memory;
use super::named::Refusal;
use super::portable::PortableFile;

/// Bytes that one hint to prefetch is about. The kernel reads no more for one than a device's read-ahead, which is so long
/// unless somebody has set it.
const PREFETCH_STEP_BYTES: u64 = 128 << 10;

/// How often, and after what pause, a file system is asked whether it has freed more.
const SETTLING_LOOKS_MAX: u32 = 200;
const SETTLING_PAUSE: Duration = Duration::from_millis(5);

/// The operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linux;

impl Device for Linux {
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>> {
        Ok(Arc::new(LinuxDirectory { directory: OpenDirectory::open(path)?, unnamed: AtomicBool::new(true) }))
    }
}

#[derive(Debug)]
struct LinuxDirectory {
    directory: OpenDirectory,
    /// Whether the file system is known or hoped to have unnamed files.
    unnamed: AtomicBool,
}

impl Directory for LinuxDirectory {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        self.directory.facts(|| self.create())
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        Ok(Box::new(LinuxFile::new(self.create()?)))
    }

    fn is_current(&self) -> bool {
        self.directory.is_current()
    }

    fn settle(&self) {
        let directory = self.directory.as_fd();
        // A failure leaves the room as it is shown.
        match file::file_system(directory.as_raw_fd()).map(|raw| in_memory::magic(&raw)) {
            // Space is free with the transaction that frees it.
            Ok(in_memory::BTRFS) => {
                let _ = calls::commit(directory);
            }
            Ok(in_memory::XFS) => {
                settle_in_background(|| directory::room(directory.as_raw_fd()).map_or(0, |room| room.free_bytes));
            }
            _ => (),
        }
    }

    fn abilities(&self) -> Outcome<Abilities> {
        let file = LinuxFile::new(self.create()?);
        Ok(Abilities { unnamed_files: self.unnamed.load(Relaxed), ..Abilities::of(&file) })
    }

    fn measured_file(&self) -> Option<OwnedFd> {
        self.create().ok()
    }
}

/// Waits as long as a file system frees space in the background, for which looking at its room is a reason to go on.
fn settle_in_background(free_bytes: impl Fn() -> u64) {
    let mut before_bytes = free_bytes();
    let mut quiet_looks = 0;
    for _ in 0..SETTLING_LOOKS_MAX {
        std::thread::sleep(SETTLING_PAUSE);
        let now_bytes = free_bytes();
        quiet_looks = if now_bytes > before_bytes { 0 } else { quiet_looks + 1 };
        before_bytes = now_bytes;
        if quiet_looks == 4 {
            break;
        }
    }
}

impl LinuxDirectory {
    /// A file without a name, that never had one where the system has such files.
    fn create(&self) -> Result<OwnedFd, Refusal> {
        if !self.unnamed.load(Relaxed) {
            return self.directory.create_named();
        }
        let denied = match calls::create_unnamed(self.directory.as_fd()) {
            Err(failure) if lacks_unnamed_files(failure) => false,
            Err(failure) if denies_unnamed_files(failure) => true,
            outcome => return Ok(outcome?),
        };
        let created = self.directory.create_named();
        // What was denied may be the directory and not the feature, unless the other way works there.
        if !denied || created.is_ok() {
            self.unnamed.store(false, Relaxed);
        }
        created
    }
}

/// Whether the file system has no unnamed files (EOPNOTSUPP, or EINVAL from some network file systems), or the kernel has none
/// and takes the call for opening the directory (EISDIR).
fn lacks_unnamed_files(failure: Failure) -> bool {
    matches!(failure.errno, libc::EOPNOTSUPP | libc::EINVAL | libc::EISDIR | libc::ENOSYS)
}

/// Whether a sandbox or a file system may have denied unnamed files by this.
fn denies_unnamed_files(failure: Failure) -> bool {
    matches!(failure.errno, libc::EACCES | libc::EPERM | libc::ENOENT)
}

#[derive(Debug)]
struct LinuxFile {
    portable: PortableFile,
    /// Whether reads that do not wait are known or hoped to work here.
    cached_reads: AtomicBool,
}

impl LinuxFile {
    fn new(file: OwnedFd) -> Self {
        // A hint: whether it is taken does not matter.
        let _ = calls::leave_access_time(file.as_fd());
        Self { portable: PortableFile::new(file), cached_reads: AtomicBool::new(true) }
    }
}

impl ScratchFile for LinuxFile {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        self.portable.write_at(sources, offset)
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.portable.read_at(destinations, offset)
    }

    fn read_cached_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        if !self.cached_reads.load(Relaxed) {
            return Ok(0);
        }
        match calls::read_cached_at(self.portable.as_fd(), destinations, offset) {
            Err(Failure { errno: libc::EAGAIN, .. }) => Ok(0),
            // No such call, not on this file system, or not allowed in this sandbox: plain reads do the work.
            Err(failure) if failure.is_unsupported() || failure.errno == libc::EINVAL => {
                self.cached_reads.store(false, Relaxed);
                Ok(0)
            }
            outcome => outcome,
        }
    }

    fn prefetch(&self, offset: u64, len_bytes: u64) {
        for (offset, len_bytes) in file::steps(offset, len_bytes, PREFETCH_STEP_BYTES) {
            // A hint: whether it is taken does not matter.
            let _ = calls::prefetch(self.portable.as_fd(), offset, len_bytes);
        }
    }

    fn evict(&self, offset: u64, len_bytes: u64) {
        // A hint: whether it is taken does not matter.
        let _ = evict(self.portable.as_fd(), offset, len_bytes);
    }

    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        unless_unsupported(calls::start_write_back(self.portable.as_fd(), offset, len_bytes))
    }

    fn check_write_back(&self) -> Outcome<()> {
        unless_unsupported(calls::check_write_back(self.portable.as_fd()))
    }

    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        file::check_length_limit("fallocate", offset, len_bytes)?;
        calls::reserve(self.portable.as_fd(), offset, len_bytes)
    }

    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        calls::punch(self.portable.as_fd(), offset, len_bytes)
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

/// The outcome of a call that is not needed where it cannot be had.
fn unless_unsupported(outcome: Outcome<()>) -> Outcome<()> {
    outcome.or_else(|failure| if failure.is_unsupported() { Ok(()) } else { Err(failure) })
}

// Miri has no such device.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;
    use crate::sys::destination;
    use crate::sys::mapping::Mapping;

    fn opened(path: &Path) -> LinuxDirectory {
        LinuxDirectory { directory: OpenDirectory::open(path).expect("a directory"), unnamed: AtomicBool::new(true) }
    }

    #[test]
    fn reserved_space_can_be_given_back() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = Linux.open_directory(scratch.path()).expect("a scratch directory");
        let file = directory.create_file().expect("a scratch file");
        file.reserve(0, 1 << 20).expect("space");
        file.prefetch(0, 4096);
        file.start_write_back(0, 1 << 20).expect("write-back");
        file.check_write_back().expect("nothing is lost");
        file.evict(0, 1 << 20);
        file.punch(0, 1 << 20).expect("a hole");
    }

    /// The kernel's own file system has neither unnamed files nor reads that do not wait, and nobody can create files there.
    #[test]
    fn where_a_file_system_lacks_something_that_is_remembered() {
        let directory = opened(Path::new("/proc"));
        let failure = directory.create_file().expect_err("nothing can be created there");
        assert_eq!((failure.syscall, directory.unnamed.load(Relaxed)), ("mkdirat", false));
        directory.create_file().expect_err("still nothing");

        let file = LinuxFile::new(File::open("/proc/self/cmdline").expect("a file of the kernel").into());
        for _ in 0..2 {
            let mut bytes = [std::mem::MaybeUninit::uninit(); 8];
            let read = destination::with_buffer(&mut bytes, |whole| file.read_cached_at(&mut [whole], 0));
            assert_eq!((read, file.cached_reads.load(Relaxed)), (Ok(0), false));
        }
    }

    #[test]
    fn a_directory_that_is_gone_says_nothing_about_unnamed_files() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let place = scratch.path().join("place");
        let directory = opened(&place);
        std::fs::remove_dir(&place).expect("an empty directory");
        // tmpfs makes unnamed files all the same.
        if let Err(failure) = directory.create_file() {
            assert_eq!(failure, Failure::new("mkdirat", libc::ENOENT));
        }
        assert!(directory.unnamed.load(Relaxed));
    }

    #[test]
    fn nobody_notes_when_a_scratch_file_was_read() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let file = LinuxFile::new(opened(scratch.path()).create().expect("a scratch file"));
        let read_at = || {
            let file = File::from(file.portable.as_fd().try_clone_to_owned().expect("a descriptor"));
            file.metadata().expect("facts").accessed().expect("a time")
        };
        let before = read_at();
        // Times have steps. One that is not later than the last write would be noted.
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(file.write_at(&[IoSlice::new(&[7; 64])], 0), Ok(64));
        let mut bytes = [std::mem::MaybeUninit::uninit(); 64];
        let read = destination::with_buffer(&mut bytes, |whole| file.read_at(&mut [whole], 0));
        assert_eq!((read, read_at()), (Ok(64), before));
    }

    #[test]
    fn all_of_a_long_range_is_prefetched() {
        const LEN: usize = 32 << 20;
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let file = LinuxFile::new(opened(scratch.path()).create().expect("a scratch file"));
        assert_eq!(file.write_at(&[IoSlice::new(&vec![7; LEN])], 0), Ok(LEN));
        sync_data(file.portable.as_fd()).expect("a device");
        let mapping = Mapping::of(file.portable.as_fd(), LEN).expect("a mapping");
        let missing = || mapping.residency().expect("the kernel says").iter().filter(|in_memory| !**in_memory).count();
        file.evict(0, LEN as u64);
        file.prefetch(0, LEN as u64);
        // They come by themselves, however long the device takes.
        let patience = (0..10_000).take_while(|_| missing() > 0).map(|_| std::thread::sleep(Duration::from_millis(1)));
        patience.for_each(drop);
        assert_eq!(missing(), 0, "pages that nobody reads");
    }
}
