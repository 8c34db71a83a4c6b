//! The device: every system call the store makes on its scratch directory and scratch files, as three traits.
//!
//! The store is written against these traits, so that a test can count, fail, shorten or corrupt any call under the real
//! store. Production code uses the kernel's device, and nothing in the store knows which one it has.
//!
//! This module is public for such tests only; it may change in any release.

use std::fmt::Debug;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

pub use super::destination::Destination;
pub use super::failure::{Failure, Outcome};

/// Opens scratch directories.
pub trait Device: Debug + Send + Sync {
    /// Opens `path`, creating it with its parents.
    ///
    /// # Errors
    /// The first call that failed. Nothing stays open.
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>>;

    /// What the process may use of the memory, which bounds what may be dirty. `None`, the default: what the operating system
    /// says of this process.
    fn memory(&self) -> Option<MemorySample> {
        None
    }
}

/// How much memory the process may use, at one moment. Numbers that the system does not give are `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySample {
    /// The smallest limit of the memory groups around the process, hard (`memory.max`) or throttling (`memory.high`).
    pub limit_bytes: u64,
    /// What the tightest of these groups leaves beside its anonymous memory, which cannot be dropped. The group's page cache
    /// is not counted as used.
    pub group_free_bytes: u64,
    /// What the machine has available.
    pub available_bytes: u64,
}

impl MemorySample {
    /// Of a process without any limit, on a machine that says nothing.
    pub const UNLIMITED: Self = Self { limit_bytes: u64::MAX, group_free_bytes: u64::MAX, available_bytes: u64::MAX };

    /// Bytes that more pages of the page cache may take, at most.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.group_free_bytes.min(self.available_bytes)
    }
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write. `u64::MAX` where the file system says nothing about its room.
    pub free_bytes: u64,
    /// Bytes of the whole file system; 0 where it says nothing.
    pub total_bytes: u64,
}

/// Why the owner or the mode of a directory, or of what is created in it, cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposure {
    /// Number of the user that the directory, or what was created in it, belongs to.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
    /// What is wrong with that, as the end of a sentence that begins with the directory.
    pub problem: &'static str,
}

/// What the operating system says about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// Name of the file system, for instance `ext4`.
    pub file_system: String,
    /// Whether the files live in memory (tmpfs, ramfs, hugetlbfs, also below an overlay as far as that can be told).
    pub ram_backed: bool,
    /// Room of the file system.
    pub room: Room,
    /// Number of the file system, which all directories on it have in common.
    pub volume: u64,
    /// Why its owner or mode, or those of files created there, cannot be trusted.
    pub exposure: Option<Exposure>,
}

/// An open scratch directory. It stays the same directory when its path is renamed, replaced or mounted over.
pub trait Directory: Debug + Send + Sync {
    /// What the directory is like now.
    ///
    /// # Errors
    /// The call that failed.
    fn facts(&self) -> Outcome<DirectoryFacts>;

    /// Makes an empty file that has no name, that only this user can open, and that this process and its children
    /// alone can reach. The kernel takes its space back when the last descriptor closes, however the process ends.
    ///
    /// # Errors
    /// The call that failed. No file and no name is left.
    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>>;

    /// Whether the path that the directory was opened by still leads to it. Not so when it was removed, replaced or mounted
    /// over.
    fn is_current(&self) -> bool;

    /// Waits until space that was freed shows as room, where the file system sees to that later. May take as long as writing
    /// what is dirty does. By default space shows at once.
    fn settle(&self) {}

    /// What can be done here of what scratch files use where they can. By default what a file shows.
    ///
    /// # Errors
    /// The call that failed. No file and no name is left.
    fn abilities(&self) -> Outcome<Abilities> {
        self.create_file().map(|file| Abilities::of(&*file))
    }

    /// A file as those of [`Self::create_file`] for calls that the device does not make, which are made to learn how fast it
    /// is. `None`, the default, where there is no such file.
    fn measured_file(&self) -> Option<OwnedFd> {
        None
    }
}

/// What a directory and its file system can do of what scratch files use where they can. Where something is lacking, pagers do
/// without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Files that never have a name (`O_TMPFILE`). Else a file has one for an instant.
    pub unnamed_files: bool,
    /// Space that is reserved before it is written (`fallocate`). Else a full disk may be reported by a write.
    pub reserved_space: bool,
    /// Space that is given back from the middle of a file (`FALLOC_FL_PUNCH_HOLE`). Else what is free below the last payload of
    /// a file stays with it.
    pub holes: bool,
}

impl Abilities {
    /// What an empty file shows.
    pub(crate) fn of(file: &dyn ScratchFile) -> Self {
        /// Of the smallest slots.
        const LEN_BYTES: u64 = 4096;
        // A full disk is able to.
        let is_able = |outcome: Outcome<()>| outcome.err().is_none_or(Failure::is_out_of_space);
        Self { reserved_space: is_able(file.reserve(0, LEN_BYTES)), holes: is_able(file.punch(0, LEN_BYTES)), ..Self::default() }
    }
}

/// What keeps the space of a file whose descriptor is closed; dropped, it gives the space back, which takes long for large
/// files.
pub type Remainder = Box<dyn Send>;

/// An unnamed file. Dropping it closes it. All methods may be called from any number of threads at once.
pub trait ScratchFile: Debug + Send + Sync {
    /// Writes from `sources`, in order, at `offset`: one call, which may write less. Interrupted calls are repeated.
    ///
    /// # Errors
    /// What the operating system said. Zero bytes written is no error here.
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize>;

    /// Reads at `offset` into `destinations`, in order: one call, which may read less. Zero is the end of the file.
    ///
    /// # Errors
    /// What the operating system said; the destinations are as filled as before.
    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize>;

    /// As [`Self::read_at`], but reads only what is in memory already; zero says that the first byte is not, or that the
    /// system cannot tell.
    ///
    /// # Errors
    /// What the operating system said; the destinations are as filled as before.
    fn read_cached_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize>;

    /// Starts bringing a range into memory, all of it. A hint: it may do nothing.
    fn prefetch(&self, offset: u64, len_bytes: u64);

    /// Says that a range is not needed in memory any more, once the device has it. A hint: it may do nothing.
    fn evict(&self, offset: u64, len_bytes: u64);

    /// Starts writing a range to the device, without waiting for it. Where the system has no such call it does nothing.
    ///
    /// # Errors
    /// What the operating system said of submitting the range. What the device fails to write later is not told here:
    /// [`Self::check_write_back`] tells it.
    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()>;

    /// Reports, once, a write-back error that was recorded since the last call. Does not wait. `Ok` where unsupported.
    ///
    /// # Errors
    /// What the device said.
    fn check_write_back(&self) -> Outcome<()>;

    /// Makes sure that writing to a range cannot run out of space, where the file system can promise that, nor exceed a limit of
    /// the process for the length of files.
    ///
    /// # Errors
    /// What the operating system said; EFBIG past the limit for the length of files, which no signal tells; EINTR when signals
    /// interrupt it again and again. A part of the range may have space then, and the file may be longer. Where space cannot be
    /// promised, that this is unsupported; nothing was done then.
    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()>;

    /// Gives a range's space back to the file system; the range reads as zeros afterwards.
    ///
    /// # Errors
    /// What the operating system said, also that it cannot do this; the range still has its space.
    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()>;

    /// Ends the file at `len_bytes`, which gives the space behind it back.
    ///
    /// # Errors
    /// What the operating system said; the file is as long as before.
    fn truncate(&self, len_bytes: u64) -> Outcome<()>;

    /// Room of the file system that the file is on.
    ///
    /// # Errors
    /// What the operating system said.
    fn room(&self) -> Outcome<Room>;

    /// Closes the descriptor now, and gives what keeps the file's space for a little longer where the system can do that:
    /// then dropping the result takes as long as giving the space back does, and closing takes no time.
    fn retire(self: Box<Self>) -> Option<Remainder>;
}
