//! System calls on files that only Linux has.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::Destination;
use crate::sys::call::{ALLOCATION_INTERRUPTIONS_MAX, checked, repeated, retried_int};
use crate::sys::failure::{Failure, Outcome};
use crate::sys::file::{file_offset, open_at, read_with};

/// Creates a file without a name in `directory`. Nothing can link it back into view.
pub(super) fn create_unnamed(directory: BorrowedFd<'_>) -> Outcome<OwnedFd> {
    open_at(directory, c".", libc::O_TMPFILE | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC)
}

/// Stops the kernel from noting when the file was read, which every read looks at. Allowed to who owns the file.
pub(super) fn leave_access_time(file: BorrowedFd<'_>) -> Outcome<()> {
    // SAFETY: `file` is open for the call; F_SETFL takes an int, and none of the other flags that it sets is in use.
    retried_int("fcntl", || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NOATIME) }).map(drop)
}

/// Reads at `offset` into destinations, but gives EAGAIN where the first byte would have to come from the device.
pub(super) fn read_cached_at(file: BorrowedFd<'_>, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
    let offset = file_offset("preadv2", offset)?;
    read_with("preadv2", destinations, |vectors, count| {
        // The wrapper of the C library is younger than the systems this runs on, so the kernel is called by number; on
        // 64-bit systems the low half of the offset holds all of it.
        // SAFETY: `read_with` passes `count` vectors over memory that is exclusively borrowed for the call; the other
        // arguments are integers of the register width that the kernel's signature asks for.
        let read = unsafe {
            libc::syscall(
                libc::SYS_preadv2,
                libc::c_long::from(file.as_raw_fd()),
                vectors,
                libc::c_long::from(count),
                offset,
                0 as libc::c_long,
                libc::c_long::from(libc::RWF_NOWAIT),
            )
        };
        libc::ssize_t::try_from(read).expect("both have the width of a register")
    })
}

/// Writes what is dirty on the file system that `file` is on, and commits it.
pub(super) fn commit(file: BorrowedFd<'_>) -> Outcome<()> {
    // SAFETY: `file` is open for the call, which takes no memory.
    retried_int("syncfs", || unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Starts reading a range into the page cache, as much of it as the device reads ahead.
pub(super) fn prefetch(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    advise(file, offset, len_bytes, libc::POSIX_FADV_WILLNEED)
}

/// Drops the clean pages of a range from the page cache.
pub(in crate::sys) fn evict(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    advise(file, offset, len_bytes, libc::POSIX_FADV_DONTNEED)
}

fn advise(file: BorrowedFd<'_>, offset: u64, len_bytes: u64, advice: libc::c_int) -> Outcome<()> {
    let (offset, len) = (file_offset("posix_fadvise", offset)?, file_offset("posix_fadvise", len_bytes)?);
    // SAFETY: `file` is open for the call, which takes no memory.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, len, advice) } {
        0 => Ok(()),
        errno => Err(Failure::new("posix_fadvise", errno)),
    }
}

/// Starts writing a range to the device.
pub(super) fn start_write_back(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    let (offset, len) = (file_offset("sync_file_range", offset)?, file_offset("sync_file_range", len_bytes)?);
    sync_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE)
}

/// Writes a range to the device and waits until it has it, whatever the device itself keeps in memory.
pub(in crate::sys) fn write_back(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    let (offset, len) = (file_offset("sync_file_range", offset)?, file_offset("sync_file_range", len_bytes)?);
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, len, flags)
}

/// Gives the error of a write-back that failed since the file was last asked.
pub(super) fn check_write_back(file: BorrowedFd<'_>) -> Outcome<()> {
    // The call waits for what is under way in a range; a range that no file reaches has nothing, and the answer is about
    // the whole file.
    sync_range(file, libc::off_t::MAX / 2, 1, libc::SYNC_FILE_RANGE_WAIT_BEFORE)
}

fn sync_range(file: BorrowedFd<'_>, offset: libc::off_t, len: libc::off_t, flags: libc::c_uint) -> Outcome<()> {
    // SAFETY: `file` is open for the call, which takes no memory.
    retried_int("sync_file_range", || unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) }).map(drop)
}

/// Writes all that the file holds to the device and waits until it has it.
pub(in crate::sys) fn sync_data(file: BorrowedFd<'_>) -> Outcome<()> {
    // SAFETY: `file` is open for the call, which takes no memory.
    retried_int("fdatasync", || unsafe { libc::fdatasync(file.as_raw_fd()) }).map(drop)
}

/// Reserves disk space for a range and lengthens the file to it.
pub(super) fn reserve(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    fallocate(file, 0, offset, len_bytes)
}

/// Gives the disk space of a range back.
pub(super) fn punch(file: BorrowedFd<'_>, offset: u64, len_bytes: u64) -> Outcome<()> {
    fallocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, offset, len_bytes)
}

fn fallocate(file: BorrowedFd<'_>, mode: libc::c_int, offset: u64, len_bytes: u64) -> Outcome<()> {
    let (offset, len) = (file_offset("fallocate", offset)?, file_offset("fallocate", len_bytes)?);
    // SAFETY: `file` is open for the call, which takes no memory.
    let call = || unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, len) };
    repeated(ALLOCATION_INTERRUPTIONS_MAX, || checked("fallocate", call())).map(drop)
}
