//! The device: every system call the store makes on its scratch directory and scratch files, as three traits.
//!
//! The store is written against these traits, so that a test can count, fail, shorten or corrupt any call under the real
//! store. Production code uses the kernel's device, and nothing in the store knows which one it has.
//!
//! This module is public for such tests only; it may change in any release.

use std::fmt::Debug;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

pub use super::destination::Destination;
pub use super::failure::{Failure, Outcome};
pub use super::memory_limit::MemoryLimit;

/// Opens scratch directories.
pub trait Device: Debug + Send + Sync {
    /// Opens `path`, creating it with its parents.
    ///
    /// # Errors
    /// The first call that failed. Nothing stays open.
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>>;

    /// How much memory the process may use, which bounds what may be dirty. By default what the system says.
    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::open()
    }
}

/// What the operating system says about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// Name of the file system, for instance `ext4`.
    pub file_system: String,
    /// Whether the files live in memory (tmpfs, ramfs, hugetlbfs, also below an overlay as far as that can be told).
    pub ram_backed: bool,
    /// Bytes that this user may still write there.
    pub free_bytes: u64,
    /// The owner, where that is neither this user nor root, everybody may write there, and nothing (no sticky bit) keeps
    /// users from each other's files.
    pub exposed_by: Option<u32>,
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
}

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

    /// Starts bringing a range into memory. A hint: it may do nothing.
    fn announce(&self, offset: u64, len_bytes: u64);

    /// Says that a range is not needed in memory any more, once the device has it. A hint: it may do nothing.
    fn evict(&self, offset: u64, len_bytes: u64);

    /// Starts writing a range to the device, without waiting for it. Where the system has no such call it does nothing.
    ///
    /// # Errors
    /// What the operating system said: something written to this file earlier may be lost.
    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()>;

    /// Asks whether something written to this file earlier did not reach the device, without waiting for what is under way.
    /// The system says so once. Where it cannot be asked there is no answer.
    ///
    /// # Errors
    /// What the device said.
    fn check_write_back(&self) -> Outcome<()>;

    /// Makes sure that writing to a range cannot run out of space, where the file system can promise that.
    ///
    /// # Errors
    /// What the operating system said. Systems that cannot promise it succeed without doing anything.
    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()>;

    /// Gives a range's space back to the file system; the range reads as zeros afterwards.
    ///
    /// # Errors
    /// What the operating system said, also that it cannot do this; the range still has its space.
    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()>;
}
