//! The real device: the operating system's files.
//!
//! Linux offers unnamed files, reserved space, holes and cached reads; where a kernel or file system lacks one of them,
//! and on macOS, the portable way is taken: a name that is removed at once, in a private directory that is too; no
//! reservation, no holes, plain reads. [`Kernel::portable`] takes it everywhere, so that it is tested on Linux too.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Destination;
use super::call::{of, retried_io};
use super::device::{Device, Directory, DirectoryFacts, Failure, Outcome, Remainder, Room, ScratchFile};
use super::{directory, file};

/// Rights of others than the owner.
const OTHERS: u32 = 0o077;
/// Name that a file has for a moment in a directory of its own.
const FILE_NAME: &CStr = c"scratch";
/// How often a random name may turn out to be taken before something else must be wrong.
const NAME_ATTEMPTS: u32 = 8;

/// The operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Whether the calls that only Linux has may be used.
    linux: bool,
}

impl Kernel {
    /// With everything the platform offers.
    pub(crate) const fn native() -> Self {
        Self { linux: cfg!(target_os = "linux") }
    }

    /// With nothing but what every platform offers.
    pub(crate) const fn portable() -> Self {
        Self { linux: false }
    }
}

impl Device for Kernel {
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>> {
        match retried_io("mkdir", || std::fs::create_dir_all(path)) {
            // Something is there; opening it shows whether it is a directory.
            Ok(()) | Err(Failure { errno: libc::EEXIST, .. }) => {}
            Err(failure) => return Err(failure),
        }
        let directory = File::open(path).map_err(|error| of("open", &error))?;
        let directory = File::from(file::above_standard_streams(OwnedFd::from(directory))?);
        if !retried_io("fstat", || directory.metadata())?.is_dir() {
            return Err(Failure::new("open", libc::ENOTDIR));
        }
        Ok(Arc::new(KernelDirectory { directory, linux: self.linux, unnamed: AtomicBool::new(self.linux) }))
    }
}

#[derive(Debug)]
struct KernelDirectory {
    directory: File,
    linux: bool,
    /// Whether the file system is known or hoped to have unnamed files.
    unnamed: AtomicBool,
}

impl Directory for KernelDirectory {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        directory::facts(&self.directory)
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        let file = match self.create_unnamed() {
            Some(outcome) => outcome?,
            None => self.create_and_unlink()?,
        };
        Ok(Box::new(KernelFile { file, linux: self.linux, cached_reads: AtomicBool::new(self.linux) }))
    }

    fn is_current(&self) -> bool {
        true
    }
}

impl KernelDirectory {
    /// A file that never had a name, or `None` where the system has no such files.
    #[cfg(target_os = "linux")]
    fn create_unnamed(&self) -> Option<Outcome<OwnedFd>> {
        if !self.unnamed.load(Relaxed) {
            return None;
        }
        match file::create_unnamed(self.directory.as_fd()) {
            // The file system lacks O_TMPFILE (EOPNOTSUPP, or EINVAL from some network file systems), or the kernel
            // does and takes it for opening the directory (EISDIR).
            Err(Failure { errno: libc::EOPNOTSUPP | libc::EINVAL | libc::EISDIR | libc::ENOSYS, .. }) => {
                self.unnamed.store(false, Relaxed);
                None
            }
            outcome => Some(outcome),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn create_unnamed(&self) -> Option<Outcome<OwnedFd>> {
        debug_assert!(!self.unnamed.load(Relaxed));
        None
    }

    /// A file that has a name for a moment, in a directory that is this user's alone for as long, with a name nobody can
    /// guess.
    fn create_and_unlink(&self) -> Outcome<OwnedFd> {
        let name = self.create_private_directory()?;
        let created = self.create_in_private_directory(&name);
        let removed = file::remove_directory(self.directory.as_fd(), &name);
        created.and_then(|created| removed.map(|()| created))
    }

    fn create_private_directory(&self) -> Outcome<CString> {
        let mut attempts = 1;
        loop {
            let name = random_name()?;
            match file::create_directory(self.directory.as_fd(), &name) {
                Ok(()) => return Ok(name),
                Err(Failure { errno: libc::EEXIST, .. }) if attempts < NAME_ATTEMPTS => attempts += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    fn create_in_private_directory(&self, name: &CStr) -> Outcome<OwnedFd> {
        let private = File::from(file::open_directory(self.directory.as_fd(), name)?);
        let facts = retried_io("fstat", || private.metadata())?;
        // Whoever may rename in the scratch directory could have put another one in its place.
        if facts.uid() != file::user() || facts.mode() & OTHERS != 0 {
            return Err(Failure::new("fstat", libc::EPERM));
        }
        let created = file::create_named(private.as_fd(), FILE_NAME)?;
        self.unlink_from(&private).map(|()| created)
    }

    /// Removes the new file's name, by way of the scratch directory: file systems without unnamed files (FUSE, NFS) keep an
    /// open file under a hidden name beside the one that was removed, and then the private directory could not be removed.
    fn unlink_from(&self, private: &File) -> Outcome<()> {
        let moved = random_name().and_then(|name| {
            file::rename(private.as_fd(), FILE_NAME, self.directory.as_fd(), &name)?;
            Ok(name)
        });
        match moved {
            Ok(name) => file::unlink(self.directory.as_fd(), &name),
            Err(failure) => file::unlink(private.as_fd(), FILE_NAME).and(Err(failure)),
        }
    }
}

/// `.pageout-` and 128 random bits in hexadecimal.
fn random_name() -> Outcome<CString> {
    let mut bits = [0u8; 16];
    let mut source = File::open("/dev/urandom").map_err(|error| of("open", &error))?;
    source.read_exact(&mut bits).map_err(|error| of("read", &error))?;
    let name = format!(".pageout-{:032x}", u128::from_le_bytes(bits));
    Ok(CString::new(name).expect("hexadecimal digits hold no NUL"))
}

/// The outcome of a call that is not needed where it cannot be had.
#[cfg(target_os = "linux")]
fn unless_unsupported(outcome: Outcome<()>) -> Outcome<()> {
    outcome.or_else(|failure| if failure.is_unsupported() { Ok(()) } else { Err(failure) })
}

#[derive(Debug)]
struct KernelFile {
    file: OwnedFd,
    linux: bool,
    /// Whether reads that do not wait are known or hoped to work here.
    cached_reads: AtomicBool,
}

impl ScratchFile for KernelFile {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        file::write_at(self.file.as_fd(), sources, offset)
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        file::read_at(self.file.as_fd(), destinations, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        if !self.cached_reads.load(Relaxed) {
            return Ok(0);
        }
        match file::read_cached_at(self.file.as_fd(), destinations, offset) {
            Err(Failure { errno: libc::EAGAIN, .. }) => Ok(0),
            // No such call, not on this file system, or not allowed in this sandbox: plain reads do the work.
            Err(failure) if failure.is_unsupported() || failure.errno == libc::EINVAL => {
                self.cached_reads.store(false, Relaxed);
                Ok(0)
            }
            outcome => outcome,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_cached_at(&self, _destinations: &mut [Destination<'_>], _offset: u64) -> Outcome<usize> {
        debug_assert!(!self.cached_reads.load(Relaxed));
        Ok(0)
    }

    fn prefetch(&self, offset: u64, len_bytes: u64) {
        #[cfg(target_os = "linux")]
        if self.linux {
            file::prefetch(self.file.as_fd(), offset, len_bytes);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len_bytes);
    }

    fn evict(&self, offset: u64, len_bytes: u64) {
        #[cfg(target_os = "linux")]
        if self.linux {
            file::evict(self.file.as_fd(), offset, len_bytes);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len_bytes);
    }

    #[cfg(target_os = "linux")]
    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        if !self.linux {
            return Ok(());
        }
        unless_unsupported(file::start_write_back(self.file.as_fd(), offset, len_bytes))
    }

    #[cfg(not(target_os = "linux"))]
    fn start_write_back(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn check_write_back(&self) -> Outcome<()> {
        if !self.linux {
            return Ok(());
        }
        unless_unsupported(file::check_write_back(self.file.as_fd()))
    }

    #[cfg(not(target_os = "linux"))]
    fn check_write_back(&self) -> Outcome<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        if !self.linux {
            return Ok(());
        }
        // Where space cannot be promised, a full disk is said by the write.
        unless_unsupported(file::reserve(self.file.as_fd(), offset, len_bytes))
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        if !self.linux {
            return Err(Failure::new("fallocate", libc::EOPNOTSUPP));
        }
        file::punch(self.file.as_fd(), offset, len_bytes)
    }

    #[cfg(not(target_os = "linux"))]
    fn punch(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        let unsupported = self.linux;
        debug_assert!(!unsupported);
        Err(Failure::new("fallocate", libc::ENOTSUP))
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        file::truncate(self.file.as_fd(), len_bytes)
    }

    fn room(&self) -> Outcome<Room> {
        directory::room(self.file.as_raw_fd())
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        None
    }
}

// Miri has no such device.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::io::IoSlice;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::destination;

    fn both(check: impl Fn(&dyn Directory, &Path)) {
        for kernel in [Kernel::native(), Kernel::portable()] {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let directory = kernel.open_directory(scratch.path()).expect("a scratch directory");
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
    #[cfg(target_os = "linux")]
    fn files_are_private_and_close_on_exec() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(scratch.path()).expect("a scratch directory");
        let name = random_name().expect("a name");
        let unnamed = file::create_unnamed(directory.as_fd());
        for created in [unnamed, file::create_named(directory.as_fd(), &name)] {
            let created = File::from(created.expect("a scratch file"));
            let mode = created.metadata().expect("its metadata").permissions().mode();
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", created.as_raw_fd())).expect("its flags");
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("a line of flags");
            let flags = i32::from_str_radix(flags.trim(), 8).expect("octal flags");
            assert_eq!((mode & 0o777, flags & libc::O_CLOEXEC), (0o600, libc::O_CLOEXEC));
        }
    }

    #[test]
    fn a_private_directory_that_was_exchanged_is_not_used() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(scratch.path()).expect("a scratch directory");
        let kernel = KernelDirectory { directory, linux: false, unnamed: AtomicBool::new(false) };
        let place = scratch.path().join("other");
        std::fs::create_dir(&place).expect("a new directory");
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o710)).expect("the own directory");
        let failure = kernel.create_in_private_directory(c"other").expect_err("others may look into it");
        assert_eq!(failure, Failure::new("fstat", libc::EPERM));
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o700)).expect("the own directory");
        kernel.create_in_private_directory(c"other").expect("a private directory");
        std::os::unix::fs::symlink(&place, scratch.path().join("link")).expect("a new link");
        let failure = kernel.create_in_private_directory(c"link").expect_err("a link is not followed");
        assert!(matches!(failure.errno, libc::ELOOP | libc::ENOTDIR), "{failure:?}");
        assert_eq!(std::fs::read_dir(place).expect("a listing").count(), 0);
    }

    #[test]
    fn a_file_is_no_directory() {
        let scratch = tempfile::NamedTempFile::new().expect("a temporary file");
        let failure = Kernel::native().open_directory(scratch.path()).expect_err("a file is refused");
        assert!(matches!(failure.errno, libc::ENOTDIR | libc::EEXIST), "{failure:?}");
    }

    #[test]
    fn facts_name_the_file_system_and_its_room() {
        both(|directory, _| {
            let facts = directory.facts().expect("facts");
            assert!(!facts.file_system.is_empty() && facts.room.free_bytes > 0, "{facts:?}");
        });
    }

    #[test]
    fn what_only_linux_has_is_left_out_of_the_portable_way() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = Kernel::portable().open_directory(scratch.path()).expect("a scratch directory");
        let file = directory.create_file().expect("a scratch file");
        file.reserve(0, 1 << 20).expect("nothing is promised");
        file.prefetch(0, 4096);
        file.start_write_back(0, 4096).expect("nothing is started");
        file.check_write_back().expect("nothing is known");
        file.evict(0, 4096);
        let failure = file.punch(0, 4096).expect_err("there are no holes");
        assert!(failure.is_unsupported(), "{failure:?}");
    }

    /// The kernel's own file system has neither unnamed files nor reads that do not wait, and nobody can create files there.
    #[test]
    #[cfg(target_os = "linux")]
    fn where_a_file_system_lacks_something_that_is_remembered() {
        let directory = File::open("/proc").expect("a directory of the kernel");
        let directory = KernelDirectory { directory, linux: true, unnamed: AtomicBool::new(true) };
        let failure = directory.create_file().expect_err("nothing can be created there");
        assert_eq!((failure.syscall, directory.unnamed.load(Relaxed)), ("mkdirat", false));
        directory.create_file().expect_err("still nothing");

        let file = OwnedFd::from(File::open("/proc/self/cmdline").expect("a file of the kernel"));
        let file = KernelFile { file, linux: true, cached_reads: AtomicBool::new(true) };
        for _ in 0..2 {
            let mut bytes = [std::mem::MaybeUninit::uninit(); 8];
            let read = destination::with_buffer(&mut bytes, |whole| file.read_cached_at(&mut [whole], 0));
            assert_eq!((read, file.cached_reads.load(Relaxed)), (Ok(0), false));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn reserved_space_can_be_given_back() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = Kernel::native().open_directory(scratch.path()).expect("a scratch directory");
        let file = directory.create_file().expect("a scratch file");
        file.reserve(0, 1 << 20).expect("space");
        file.prefetch(0, 4096);
        file.start_write_back(0, 1 << 20).expect("write-back");
        file.check_write_back().expect("nothing is lost");
        file.evict(0, 1 << 20);
        file.punch(0, 1 << 20).expect("a hole");
    }
}
