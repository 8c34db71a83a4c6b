//! Pagers over the real file system, with directories of their own.

use std::path::Path;

use pageout::{Backend, Compression, Pager, PagerBuilder};
use tempfile::TempDir;

use crate::{assert_same, cut, elements};

/// Both backends.
pub const BACKENDS: [Backend; 2] = [Backend::File, Backend::Swap];

/// A pager over the real file system, with the options that change which code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Everything the platform offers.
    Native,
    /// Only what every platform offers.
    Portable,
    /// Without checksums.
    Unchecked,
    /// Encrypted.
    Sealed,
    /// Compressed.
    Compressed,
    /// Compressed and encrypted.
    Both,
}

impl Setup {
    /// Whether what lies on the disk is the payload.
    pub fn is_plain(self) -> bool {
        !matches!(self, Self::Sealed | Self::Compressed | Self::Both)
    }

    pub const ALL: [Self; 6] = [Self::Native, Self::Portable, Self::Unchecked, Self::Sealed, Self::Compressed, Self::Both];

    pub fn builder(self, scratch: &Path) -> PagerBuilder {
        let builder = builder(scratch);
        match self {
            Self::Native => builder,
            Self::Portable => builder.portable(),
            Self::Unchecked => builder.integrity(false),
            Self::Sealed => builder.encryption(true),
            Self::Compressed => builder.compression(Compression::Lz4),
            Self::Both => builder.compression(Compression::Lz4).encryption(true),
        }
    }

    pub fn pager(self) -> TestPager {
        let scratch = scratch();
        let pager = self.builder(scratch.path()).build().expect("a pager in a temporary directory");
        TestPager { pager, scratch }
    }
}

/// A pager with its own scratch directory.
#[derive(Debug)]
pub struct TestPager {
    pub pager: Pager,
    pub scratch: TempDir,
}

impl std::ops::Deref for TestPager {
    type Target = Pager;

    fn deref(&self) -> &Pager {
        &self.pager
    }
}

/// Checks something on pagers of every setup with every backend, after which nothing may be out.
pub fn on_every_pager(check: impl Fn(&Pager, Backend)) {
    for setup in Setup::ALL {
        let pager = setup.pager();
        for backend in BACKENDS {
            check(&pager, backend);
            let stats = pager.stats();
            let left = (stats.handles, stats.payload_bytes, stats.used_bytes, stats.stored_bytes);
            assert_eq!(left, (0, 0, 0, 0), "{setup:?}, {backend:?}");
        }
    }
}

/// Checks that a pager works, where it may have failed before.
#[track_caller]
pub fn check_works(pager: &Pager) {
    let whole = elements::<u64>(3_000, 1);
    let handle = pager.pageout(&mut cut(&whole, &[1_000])).expect("a pageout without a fault");
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take without a fault");
    assert_same(&all, &whole);
}

/// A builder for a pager in `scratch`, which may be in memory on the machine that runs the tests.
pub fn builder(scratch: &Path) -> PagerBuilder {
    Pager::builder().scratch_dir(scratch).allow_ram_backed(true)
}

/// A directory of the caller's own, removed when it is dropped.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a listing");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}
