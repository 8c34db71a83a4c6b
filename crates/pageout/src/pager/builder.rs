//! The options of a pager, checked before anything is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::stats::Counters;
use super::{AtomicBackend, Backend, Environment, Pager, Shared};
use crate::budget::{Account, MemoryBudget, Resident};
use crate::error::Error;
use crate::payload::{Packing, Protection};
use crate::store::StoreOptions;
use crate::sync::{Arc, Mutex, OnceLock, UnsizedArc};
#[cfg(feature = "addon-internals")]
use crate::sys::Portable;
use crate::sys::{Device, Native, memory};

/// How payloads of the file backend are compressed: the option [`PagerBuilder::compression`].
#[cfg(feature = "compression")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// By LZ4, in frames, the bytes of the elements sorted where that helps.
    Lz4,
}

/// Options of a [`Pager`], made by [`Pager::builder`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{Backend, Pager};
///
/// # let directory = tempfile::tempdir()?;
/// # let data = directory.path();
/// let pager = Pager::builder()
///     .scratch_dir(data.join("scratch"))
/// #   .allow_ram_backed(true)
///     .capacity_bytes(1 << 30)
///     .backend(Backend::File)
///     .build()?;
/// assert_eq!(pager.stats().capacity_bytes, 1 << 30);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct PagerBuilder {
    scratch_dir: Option<PathBuf>,
    backend: Backend,
    store: StoreOptions,
    integrity: bool,
    #[cfg(feature = "encryption")]
    encryption: bool,
    #[cfg(feature = "compression")]
    compression: Compression,
    exclude_from_core_dumps: bool,
    environment: Option<Environment>,
    resident: Resident,
    device: UnsizedArc<dyn Device>,
}

impl Default for PagerBuilder {
    fn default() -> Self {
        Self {
            scratch_dir: None,
            backend: Backend::File,
            store: StoreOptions::default(),
            integrity: true,
            #[cfg(feature = "encryption")]
            encryption: false,
            #[cfg(feature = "compression")]
            compression: Compression::None,
            exclude_from_core_dumps: false,
            environment: None,
            resident: Resident::Bytes(0),
            device: UnsizedArc::new(Native),
        }
    }
}

impl fmt::Debug for PagerBuilder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PagerBuilder")
            .field("scratch_dir", &self.scratch_dir)
            .field("capacity_bytes", &self.store.capacity_bytes)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl PagerBuilder {
    /// The directory for scratch files, created with its parents. Default: the first usable of `$PAGEOUT_SCRATCH_DIR`, the
    /// system's temporary directory and `/var/tmp`, searched by the first pageout that needs it.
    pub fn scratch_dir(mut self, root: impl Into<PathBuf>) -> Self {
        self.scratch_dir = Some(root.into());
        self
    }

    /// The backend that [`Pager::pageout`] uses. Default: [`Backend::File`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Upper limit on scratch space in use, in bytes of slots; a slot is at least as long as its payload. Must not be zero.
    /// Default: what `$PAGEOUT_CAPACITY_BYTES` says, and in any case no more than leaves a tenth of the scratch directory's file
    /// system free, whoever else writes to it.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.store.capacity_bytes = Some(bytes);
        self
    }

    /// Whether the scratch directory may live in memory (tmpfs, ramfs), where paging out frees nothing. Default: no.
    pub fn allow_ram_backed(mut self, allow: bool) -> Self {
        self.store.allow_ram_backed = allow;
        self
    }

    /// Whether payloads of the file backend get checksums, made before the write and verified on every read. Default: yes.
    pub fn integrity(mut self, on: bool) -> Self {
        self.integrity = on;
        self
    }

    /// Whether payloads of the file backend are encrypted on the disk. Default: no.
    ///
    /// Each page is sealed with an authenticated cipher (AEGIS-128X2), with a key that is drawn when the pager is made, never leaves
    /// the process, and is overwritten when the pager is closed. It lies in memory that is kept out of core dumps (Linux) and of swap
    /// space as far as the system does that. Tags of 16 bytes for each 4 KiB stay in memory with the handle, in place of the
    /// checksums: a page that was changed, moved, swapped for another or put back from before is [`Error::Corrupt`]. They are
    /// verified whatever [`integrity`](Self::integrity) says. Vectors are never encrypted themselves: what is written goes through
    /// a buffer of at most 256 KiB. What is in memory is not encrypted: payloads of the swap backend, and those within a [memory
    /// budget](Self::resident_bytes) until they are written.
    ///
    /// A forked child can read what it inherited, and draws a key of its own for what it writes. Needs the feature `encryption`, and a
    /// C compiler where the crate is built.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().encryption(true).build()?;
    /// let handle = pager.pageout_vec(vec![7u64; 1 << 16])?;
    /// assert_eq!(handle.read(100..102)?, [7, 7]);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "encryption")]
    pub fn encryption(mut self, on: bool) -> Self {
        self.encryption = on;
        self
    }

    /// How payloads of the file backend are compressed on the disk. Default: not at all.
    ///
    /// A payload of more than 4 KiB is compressed in frames of 4 KiB, each by itself, so that a range decompresses the frames that it
    /// touches, and no others. The bytes of the elements are sorted before where that helps, which it does most for numbers: `Vec<f64>`
    /// becomes smaller than the same bytes as `Vec<u8>`. What a sample of 4 KiB says will not shrink is stored as it is, and so is each
    /// frame that does not. With [`encryption`](Self::encryption) as well, what is compressed is encrypted; an observer of the disk
    /// learns how long the payload became.
    ///
    /// [`PagerStats::used_bytes`](crate::PagerStats::used_bytes) says what the disk holds, and
    /// [`PagerStats::stored_bytes`](crate::PagerStats::stored_bytes) what payloads take in it. The capacity is of what is stored; a
    /// payload longer than 4 MiB is written in pieces of that length, and one that finds no room in the middle gives back what it has
    /// got. Within a [memory budget](Self::resident_bytes) payloads are compressed when they are written; room is claimed for all of
    /// their bytes before, and where there is none beside it they are written as they are. Where the pager has to compress or
    /// decompress, it needs memory: some 60 KiB and up to 256 KiB of frames for each thread that does so at a time, of which it keeps
    /// four, and while a piece is compressed as much as the piece. With encryption all of it is overwritten after each use.
    ///
    /// Needs the feature `compression`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pageout::{Compression, Pager};
    ///
    /// let pager = Pager::builder().compression(Compression::Lz4).build()?;
    /// let handle = pager.pageout_vec((0..1_000_000u64).collect())?;
    /// assert!(pager.stats().stored_bytes < 1_000_000, "of 8,000,000");
    /// assert_eq!(handle.read(500_000..500_002)?, [500_000, 500_001]);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "compression")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Whether the memory of payloads of the swap backend is kept out of core dumps (`MADV_DONTDUMP`) while they are out; a
    /// pageout fails where the system cannot do that for its chunks. Payloads of the file backend have no memory in the process,
    /// but within a [memory budget](Self::resident_bytes): those are copied into memory of the pager that is kept out.
    /// Memory that is taken back is the caller's and dumped again, but for pages that it shares with others. Default: no.
    /// Linux only.
    pub fn exclude_from_core_dumps(mut self, exclude: bool) -> Self {
        self.exclude_from_core_dumps = exclude;
        self
    }

    /// The most bytes of its payloads that may stay in memory while they are out: a number, [`Resident::Auto`], or a
    /// [`MemoryBudget`] that several pagers share. Default 0: each pageout writes and frees.
    ///
    /// With a budget a pageout of the file backend moves the vectors into the pager, which leaves them without capacity, and returns;
    /// the coldest payloads are written in the background when room gets short, and leave memory. A payload that is taken back
    /// before comes as the same allocation, without a copy and without a system call. Disk space is claimed by the pageout
    /// itself, so that a full disk is told by that call.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().resident_bytes(64 << 20).build()?;
    /// let vec = vec![7u64; 1 << 17];
    /// let address = vec.as_ptr();
    /// let handle = pager.pageout_vec(vec)?;
    /// assert_eq!(pager.stats().resident_bytes, 1 << 20);
    /// assert_eq!(handle.take()?.as_ptr(), address);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resident_bytes(mut self, bytes: impl Into<Resident>) -> Self {
        self.resident = bytes.into();
        self
    }

    /// What the environment says, instead of the process's own.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Puts another device under the store. For tests.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn device(mut self, device: impl Device + 'static) -> Self {
        self.device = UnsizedArc::new(device);
        self
    }

    /// Uses only what every platform offers, for tests of the portable way.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn portable(self) -> Self {
        self.device(Portable)
    }

    /// Makes the pager; a scratch directory that was named is opened now.
    ///
    /// # Errors
    /// [`Error::Option`] for a value that cannot be; [`Error::ScratchDir`] or [`Error::RamBacked`] when the named directory
    /// cannot serve; [`Error::System`] where there are no random bits or no memory for a key.
    pub fn build(mut self) -> Result<Pager, Error> {
        if self.store.capacity_bytes == Some(0) {
            return Err(Error::Option { name: "capacity_bytes", problem: "must be at least 1, not 0".to_owned() });
        }
        if self.exclude_from_core_dumps && !memory::CAN_EXCLUDE_FROM_CORE_DUMPS {
            return Err(Error::Option { name: "exclude_from_core_dumps", problem: "cannot be had on this system".to_owned() });
        }
        let scratch_dir = self.scratch_dir.take();
        let packing = self.packing()?;
        let pager = self.assemble(packing);
        if let Some(root) = scratch_dir {
            pager.set_scratch_dir(root)?;
        }
        Ok(pager)
    }

    /// The same without the directory that was named, and that directory.
    pub(super) fn without_scratch_dir(mut self) -> (Self, Option<PathBuf>) {
        let scratch_dir = self.scratch_dir.take();
        (self, scratch_dir)
    }

    /// What is done to payloads on their way to the disk.
    #[cfg_attr(not(feature = "encryption"), allow(clippy::unnecessary_wraps, reason = "drawing a key can fail"))]
    fn packing(&self) -> Result<Packing, Error> {
        let protection = Protection::of(self.integrity);
        #[cfg(feature = "encryption")]
        let protection = if self.encryption { Protection::sealed()? } else { protection };
        #[cfg(feature = "compression")]
        if self.compression == Compression::Lz4 {
            return Ok(Packing::compressed(protection));
        }
        Ok(Packing::new(protection))
    }

    fn assemble(self, packing: Packing) -> Pager {
        let budget = match self.resident {
            Resident::Bytes(0) => None,
            resident => Some(MemoryBudget::new(resident)),
        };
        let account = budget.map(|budget| Account::open(&budget, packing.clone(), self.exclude_from_core_dumps));
        Pager {
            shared: Arc::new(Shared {
                device: self.device,
                store_options: self.store,
                packing,
                exclude_from_core_dumps: self.exclude_from_core_dumps,
                backend: AtomicBackend::new(self.backend),
                store: OnceLock::new(),
                opening: Mutex::new(self.environment),
                closed: AtomicBool::new(false),
                account,
                counters: Counters::default(),
            }),
        }
    }
}

impl Pager {
    /// A pager with the default options, which opens nothing before the first pageout.
    pub(crate) fn with_defaults() -> Self {
        PagerBuilder::default().assemble(Packing::new(Protection::Checksums))
    }
}
