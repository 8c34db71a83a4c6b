//! What this machine, this process and its directories are like for a pager: facts, and how fast it is. What `npx pageout doctor`
//! tells of the npm package is made of them.
//!
//! Nothing here changes a pager that exists, prints, or leaves anything behind; a directory that is not there yet is not made. It
//! takes some milliseconds, [`speed`] about a second. Of files, only those that tell of memory limits stay open after
//! that, which the pagers of the process share.
//!
//! ```
//! use pageout::{Pager, doctor};
//!
//! let scratch = doctor::scratch(Pager::builder());
//! for refused in &scratch.refused {
//!     println!("{}: {}", refused.path.display(), refused.reason);
//! }
//! if let Some(chosen) = &scratch.chosen {
//!     println!("{} serves, with room for {} bytes", chosen.path.display(), chosen.capacity_bytes);
//! }
//! println!("a budget could begin with {} bytes", doctor::memory().auto_bytes);
//! ```

#[cfg(feature = "encryption")]
mod encryption;
mod speed;

pub use crate::limits::{MemoryFacts, MemoryGroup};
pub use crate::pager::{ScratchDir, ScratchFacts};
pub use crate::sys::device::Abilities;
pub use crate::sys::process_limits::{Limit, ProcessLimits};
#[cfg(feature = "encryption")]
pub use encryption::EncryptionFacts;
pub use speed::{DeviceSpeed, Speed, Transfer};

use crate::error::Error;
use crate::pager::{Examined, PagerBuilder};

/// Descriptors that a pager needs at most while no file of it is full or has failed: its directory, a file for each class of
/// slots and each of four groups of threads. The process has a few more, once, for what tells of its memory.
pub const PAGER_DESCRIPTORS: u64 = crate::store::FILES_MAX + 1;

/// Looks for a scratch directory as a pager with these options does, with the same checks and reasons.
#[must_use]
pub fn scratch(builder: PagerBuilder) -> ScratchFacts {
    match Examined::open(builder) {
        Ok(examined) => examined.facts.clone(),
        Err(error) => ScratchFacts { refused: Vec::new(), chosen: None, untried: Vec::new(), error: Some(error) },
    }
}

/// What this process may use of the memory.
#[must_use]
pub fn memory() -> MemoryFacts {
    crate::limits::survey()
}

/// What the system lets this process have.
#[must_use]
pub fn process() -> ProcessLimits {
    ProcessLimits::of_process()
}

/// What this machine does for encrypted payloads. `None` where there is no memory for a key.
#[cfg(feature = "encryption")]
#[must_use]
pub fn encryption() -> Option<EncryptionFacts> {
    EncryptionFacts::gather()
}

/// Pages payloads out and takes them back, with a pager of these options, and asks the device beneath for how fast it is. It takes
/// about a second, and at most 64 MiB of the disk and 34 of memory: less where there is less. `None` where there is no room for a
/// payload of 1 MiB to spare.
///
/// # Errors
/// What a pageout or a take of such a pager fails with.
pub fn speed(builder: PagerBuilder) -> Result<Option<Speed>, Error> {
    let examined = Examined::open(builder)?;
    match &examined.facts.chosen {
        Some(chosen) => speed::measure(&examined, chosen.capacity_bytes).map_err(|error| examined.tell(error)),
        None => Err(Error::ScratchDir { tried: examined.facts.refused.clone() }),
    }
}
