//! Linux: advice about memory and files, direct transfers, many reads at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use io_uring::{IoUring, opcode, types};
use rustix::fs::{Advice, OFlags};

use crate::payload::as_u64;

/// Bytes of the smallest page; advice about parts of larger ones is refused, which is an error below.
const PAGE_BYTES: usize = 4096;

/// Hints that the whole pages of `memory` will not be used for a while.
#[allow(unsafe_code)]
pub(crate) fn hint_cold(memory: &[u8]) -> io::Result<()> {
    let skipped_bytes = memory.as_ptr().align_offset(PAGE_BYTES).min(memory.len());
    let pages = &memory[skipped_bytes..];
    let len_bytes = pages.len() - pages.len() % PAGE_BYTES;
    // SAFETY: the pages lie inside `memory`, which is borrowed for the call; COLD changes neither content nor mapping.
    unsafe { rustix::mm::madvise(pages.as_ptr().cast_mut().cast(), len_bytes, rustix::mm::Advice::LinuxCold) }?;
    Ok(())
}

/// Lets the kernel read a part of a file ahead of its use.
pub(crate) fn announce(file: &File, offset: u64, len_bytes: usize) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(as_u64(len_bytes)), Advice::WillNeed)?)
}

/// Leaves nothing of a file in the page cache.
pub(crate) fn drop_from_cache(file: &File) -> io::Result<()> {
    // Only what the device has can be dropped.
    file.sync_data()?;
    Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
}

/// Opens a file for transfers that bypass the page cache, creating it where there is none.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(direct).open(path)
}

/// Makes a file so long, with blocks of its own.
pub(crate) fn reserve(file: &File, len_bytes: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len_bytes)?)
}

/// A queue of reads that the kernel works on at the same time (`io_uring`).
pub(crate) struct Ring {
    ring: IoUring,
}

impl Ring {
    pub(crate) fn new(depth: u32) -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(depth)? })
    }

    /// Fills `memory` with equal pieces, each from its offset, all at once; there are no more of them than the ring is deep.
    #[allow(unsafe_code)]
    pub(crate) fn read(&mut self, file: &File, offsets: &[u64], memory: &mut [u8]) -> io::Result<()> {
        let piece_bytes = memory.len() / offsets.len();
        let len_bytes = u32::try_from(piece_bytes).map_err(io::Error::other)?;
        let entry = |(piece, &offset): (&mut [u8], &u64)| {
            let read = opcode::Read::new(types::Fd(file.as_raw_fd()), piece.as_mut_ptr(), len_bytes).offset(offset);
            read.build().user_data(u64::from(len_bytes))
        };
        let entries: Vec<_> = memory.chunks_exact_mut(piece_bytes).zip(offsets).map(entry).collect();
        // SAFETY: the file and the memory stay borrowed until this function returns, and the pieces of it do not overlap. Either all entries are pushed or none;
        // if they are, `wait` does not return before the kernel has completed each of them.
        unsafe { self.ring.submission().push_multiple(&entries) }.map_err(io::Error::other)?;
        self.wait(entries.len())
    }

    /// Submits what was pushed and waits until all of it is complete. Leaves in no other way: the kernel would go on writing
    /// to memory that the caller gets back.
    fn wait(&mut self, count: usize) -> io::Result<()> {
        while self.ring.completion().len() < count {
            match self.ring.submit_and_wait(count) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    eprintln!("io_uring: {error}");
                    std::process::abort();
                }
                _ => {}
            }
        }
        let mut outcome = Ok(());
        for completion in self.ring.completion() {
            let read_bytes = u64::try_from(completion.result());
            if read_bytes != Ok(completion.user_data()) {
                outcome = Err(io::Error::other(format!("io_uring: a read answered {}", completion.result())));
            }
        }
        outcome
    }
}
