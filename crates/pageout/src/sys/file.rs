//! System calls on files and directories that every platform has.

use std::ffi::{CStr, CString};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Destination;
use super::call::{retried, retried_int};
use super::failure::{Failure, Outcome};
use crate::units;

/// The most slices that one call takes (`IOV_MAX` of Linux and macOS).
pub(super) const SLICES_MAX: usize = 1024;
/// The most destinations that one read uses: a page before, the middle, a page behind.
const DESTINATIONS_MAX: usize = 3;
/// Only this user may open the file, whatever the umask.
pub(super) const FILE_MODE: libc::mode_t = 0o600;
/// The same as a call with variable arguments takes it.
#[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "the type differs by platform")]
const FILE_MODE_ARGUMENT: libc::c_uint = FILE_MODE as libc::c_uint;
/// Only this user may look into the directory, or change what is in it.
pub(super) const DIRECTORY_MODE: libc::mode_t = 0o700;

/// Creates the file `name` in `directory`; fails where something has that name, be it a symbolic link.
pub(super) fn create_named(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<OwnedFd> {
    open_at(directory, name, libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_RDWR | libc::O_CLOEXEC)
}

/// Creates the directory `name` in `directory`; fails where something has that name.
pub(super) fn create_directory(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<()> {
    // SAFETY: `directory` is open for the call and `name` ends in NUL.
    retried_int("mkdirat", || unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), DIRECTORY_MODE) }).map(drop)
}

/// Opens the directory at `path`. What is no directory is refused before anything of it is opened, so that neither a FIFO
/// without a writer nor a device can block.
pub(super) fn open_directory_at(path: &Path) -> Outcome<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Failure::new("openat", libc::EINVAL))?;
    // SAFETY: AT_FDCWD is no descriptor that somebody could close; openat takes it for the working directory.
    let working_directory = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    open_at(working_directory, &name, libc::O_DIRECTORY | libc::O_RDONLY | libc::O_CLOEXEC)
}

/// Takes a shared lock on `directory` for as long as it is open, which cleaners of temporary directories honour. A hint: the
/// answer does not matter.
pub(super) fn lock_shared(directory: BorrowedFd<'_>) {
    // SAFETY: `directory` is open for the call, which takes no memory and, with LOCK_NB, does not wait.
    unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) };
}

/// Sets the permission bits of an open file or directory.
pub(super) fn set_mode(file: BorrowedFd<'_>, mode: libc::mode_t) -> Outcome<()> {
    // SAFETY: `file` is open for the call, which takes no memory.
    retried_int("fchmod", || unsafe { libc::fchmod(file.as_raw_fd(), mode) }).map(drop)
}

/// Opens the directory `name` in `directory`; fails where that is a symbolic link.
pub(super) fn open_directory(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<OwnedFd> {
    open_at(directory, name, libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_RDONLY | libc::O_CLOEXEC)
}

/// Removes the file `name` from `directory`.
pub(super) fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<()> {
    unlink_at(directory, name, 0)
}

/// Removes the empty directory `name` from `directory`.
pub(super) fn remove_directory(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<()> {
    unlink_at(directory, name, libc::AT_REMOVEDIR)
}

/// Moves the file `name` of `directory` to `target_name` in `target`.
pub(super) fn rename(directory: BorrowedFd<'_>, name: &CStr, target: BorrowedFd<'_>, target_name: &CStr) -> Outcome<()> {
    let (from, to) = (directory.as_raw_fd(), target.as_raw_fd());
    // SAFETY: both directories are open for the call and both names end in NUL.
    retried_int("renameat", || unsafe { libc::renameat(from, name.as_ptr(), to, target_name.as_ptr()) }).map(drop)
}

fn unlink_at(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Outcome<()> {
    // SAFETY: `directory` is open for the call and `name` ends in NUL.
    let unlink = || retried_int("unlinkat", || unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) }).map(drop);
    // A name that is left is left for good, so that a refusal has to be said twice. A server that removed the name and whose
    // answer was lost says then that there is none.
    unlink().or_else(|first| match unlink() {
        Err(Failure { errno: libc::ENOENT, .. }) if first.errno != libc::ENOENT => Ok(()),
        outcome => outcome,
    })
}

pub(super) fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Outcome<OwnedFd> {
    // SAFETY: `directory` is open for the call and `name` ends in NUL; the mode is passed since the flags may create.
    let raw = retried_int("openat", || unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, FILE_MODE_ARGUMENT) })?;
    // SAFETY: openat just made this descriptor, and nothing else knows of it.
    above_standard_streams(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A descriptor above 2: where the process was started with a standard stream closed, a stray print to that stream would
/// land in the file.
pub(crate) fn above_standard_streams(file: OwnedFd) -> Outcome<OwnedFd> {
    if file.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(file);
    }
    let lowest = libc::STDERR_FILENO + 1;
    // SAFETY: `file` is open for the call; F_DUPFD_CLOEXEC takes an int.
    let raw = retried_int("fcntl", || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })?;
    // SAFETY: fcntl just made this descriptor, and nothing else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Writes `sources` at `offset`: one call, at most [`SLICES_MAX`] slices.
pub(super) fn write_at(file: BorrowedFd<'_>, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
    let offset = file_offset("pwritev", offset)?;
    if let [only] = sources {
        // The kernel needs a tenth less time for a page without a list of slices.
        // SAFETY: the slice's memory is borrowed for the call.
        return retried("pwrite", || unsafe { libc::pwrite(file.as_raw_fd(), only.as_ptr().cast(), only.len(), offset) });
    }
    let count = slice_count(sources.len().min(SLICES_MAX));
    // SAFETY: IoSlice is documented to have the layout of iovec on Unix, `sources` holds at least `count` of them, and
    // their memory is borrowed for the call.
    retried("pwritev", || unsafe { libc::pwritev(file.as_raw_fd(), sources.as_ptr().cast(), count, offset) })
}

/// Reads at `offset` into at most [`DESTINATIONS_MAX`] destinations: one call.
pub(super) fn read_at(file: BorrowedFd<'_>, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
    let offset = file_offset("preadv", offset)?;
    if let [only] = destinations {
        let spare = only.spare();
        let (start, len_bytes) = (spare.as_mut_ptr(), spare.len());
        // SAFETY: the memory is exclusively borrowed for the call.
        let read = retried("pread", || unsafe { libc::pread(file.as_raw_fd(), start.cast(), len_bytes, offset) })?;
        // SAFETY: the kernel wrote this many bytes to the start of the spare memory.
        unsafe { only.advance(read) };
        return Ok(read);
    }
    read_with("preadv", destinations, |vectors, count| {
        // SAFETY: `read_with` passes `count` vectors over memory that is exclusively borrowed for the call.
        unsafe { libc::preadv(file.as_raw_fd(), vectors, count, offset) }
    })
}

/// Makes a read into destinations, in order, by a call that takes a list of them.
pub(super) fn read_with(
    syscall: &'static str,
    destinations: &mut [Destination<'_>],
    mut call: impl FnMut(*const libc::iovec, libc::c_int) -> libc::ssize_t,
) -> Outcome<usize> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; DESTINATIONS_MAX];
    for (vector, destination) in vectors.iter_mut().zip(destinations.iter_mut()) {
        let spare = destination.spare();
        *vector = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
    }
    let count = slice_count(destinations.len().min(DESTINATIONS_MAX));
    let read = retried(syscall, || call(vectors.as_ptr(), count))?;
    let mut rest = read;
    for destination in destinations {
        let len_bytes = rest.min(destination.remaining_bytes());
        // SAFETY: the kernel wrote `read` bytes through the vectors in their order, which is the order of this loop.
        unsafe { destination.advance(len_bytes) };
        rest -= len_bytes;
    }
    Ok(read)
}

/// Ends the file at `len_bytes`.
pub(super) fn truncate(file: BorrowedFd<'_>, len_bytes: u64) -> Outcome<()> {
    let len = file_offset("ftruncate", len_bytes)?;
    // SAFETY: `file` is open for the call, which takes no memory.
    retried_int("ftruncate", || unsafe { libc::ftruncate(file.as_raw_fd(), len) }).map(drop)
}

/// Refuses a range that ends past this process's limit for the length of files. The system would refuse it as well, and send a
/// signal with it that ends the process.
///
/// # Errors
/// EFBIG, said of `syscall`.
pub(super) fn check_length_limit(syscall: &'static str, offset: u64, len_bytes: u64) -> Outcome<()> {
    match offset.checked_add(len_bytes) {
        Some(end) if end <= length_limit_bytes() => Ok(()),
        _ => Err(Failure::new(syscall, libc::EFBIG)),
    }
}

/// The most bytes that a file of this process may have; no limit where the system does not say.
fn length_limit_bytes() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is writable memory of the right type.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    if answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY { limit.rlim_cur } else { u64::MAX }
}

/// Cuts a range into steps of at most `step_bytes` bytes: offset and length of each.
pub(super) fn steps(offset: u64, len_bytes: u64, step_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let starts = (0..len_bytes).step_by(units::to_usize(step_bytes));
    starts.map(move |start| (offset.saturating_add(start), step_bytes.min(len_bytes - start)))
}

pub(super) fn file_offset(syscall: &'static str, offset: u64) -> Outcome<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| Failure::new(syscall, libc::EFBIG))
}

fn slice_count(count: usize) -> libc::c_int {
    libc::c_int::try_from(count).expect("at most 1,024 slices")
}

/// The user whose rights this process has.
pub(super) fn user() -> u32 {
    // SAFETY: geteuid has no precondition and cannot fail.
    unsafe { libc::geteuid() }
}

/// Facts about the file system of an open directory.
pub(super) fn file_system(directory: RawFd) -> Outcome<libc::statfs> {
    let mut facts = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `facts` is writable memory of the right type, and the descriptor is only read.
    retried_int("fstatfs", || unsafe { libc::fstatfs(directory, facts.as_mut_ptr()) })?;
    // SAFETY: all-zero bytes are a valid `statfs`, and the call has filled it.
    Ok(unsafe { facts.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn a_descriptor_that_is_none_has_no_file_system() {
        assert_eq!(file_system(-1).map(drop), Err(Failure::new("fstatfs", libc::EBADF)));
    }

    #[test]
    fn steps_cover_a_range_once_and_in_order() {
        assert_eq!(steps(10, 7, 3).collect::<Vec<_>>(), [(10, 3), (13, 3), (16, 1)]);
        assert_eq!(steps(10, 6, 3).collect::<Vec<_>>(), [(10, 3), (13, 3)]);
        assert_eq!(steps(10, 0, 3).count(), 0);
    }

    #[test]
    fn an_offset_that_no_file_has_is_refused() {
        assert_eq!(file_offset("pwritev", u64::MAX), Err(Failure::new("pwritev", libc::EFBIG)));
    }

    #[test]
    fn a_range_that_no_file_may_have_is_refused() {
        assert_eq!(check_length_limit("fallocate", u64::MAX, 1), Err(Failure::new("fallocate", libc::EFBIG)));
        assert_eq!(check_length_limit("fallocate", 0, 0), Ok(()));
    }
}
