//! Finding the scratch directory: the one that was named, or the first usable one of the default search.

use std::path::{Path, PathBuf};

use super::Pager;
use crate::error::{Error, RefusedDir};
use crate::store::Store;
use crate::sync::{UnsizedArc, lock};

/// Names a directory that the default search tries first.
const SCRATCH_DIR_VARIABLE: &str = "PAGEOUT_SCRATCH_DIR";

impl Pager {
    /// Makes `root` the scratch directory, creating it with its parents. Where it already is, nothing happens.
    ///
    /// # Errors
    /// [`Error::ScratchDirInUse`] when another directory is in use; [`Error::ScratchDir`] or [`Error::RamBacked`] when
    /// `root` cannot serve, in which case nothing is decided and a later call may succeed.
    pub(crate) fn set_scratch_dir(&self, root: PathBuf) -> Result<(), Error> {
        let _turn = lock(&self.shared.opening);
        self.shared.check_open()?;
        if let Some(store) = self.shared.store.get() {
            if is_same_directory(store.path(), &root) {
                return Ok(());
            }
            return Err(Error::ScratchDirInUse { requested: root, current: store.path().into() });
        }
        let store = self.open_named(root)?;
        self.shared.store.get_or_init(|| store);
        Ok(())
    }

    fn open_named(&self, root: PathBuf) -> Result<UnsizedArc<Store>, Error> {
        match self.open(&root) {
            Err(reason @ (Error::System { .. } | Error::Exposed { .. })) => {
                Err(Error::ScratchDir { tried: vec![RefusedDir { path: root, reason }] })
            }
            outcome => outcome,
        }
    }

    fn open(&self, root: &Path) -> Result<UnsizedArc<Store>, Error> {
        Store::open(&self.shared.device, root, self.shared.store_options)
    }

    /// The store; the first call opens the first usable directory of the default search.
    pub(super) fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let _turn = lock(&self.shared.opening);
        self.shared.check_open()?;
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let store = self.open_first_usable()?;
        Ok(self.shared.store.get_or_init(|| store))
    }

    fn open_first_usable(&self) -> Result<UnsizedArc<Store>, Error> {
        let named = std::env::var_os(SCRATCH_DIR_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let candidates = named.into_iter().chain([temporary_directory(), PathBuf::from("/var/tmp")]);
        let mut tried: Vec<RefusedDir> = Vec::new();
        for path in candidates {
            if tried.iter().any(|refused| refused.path == path) {
                continue;
            }
            match self.open(&path) {
                Ok(store) => return Ok(store),
                // That is no fault of the directory.
                Err(error @ Error::Option { .. }) => return Err(error),
                Err(reason) => tried.push(RefusedDir { path, reason }),
            }
        }
        Err(Error::ScratchDir { tried })
    }
}

/// The system's temporary directory, by the variables that Node's `os.tmpdir()` looks at, in its order.
fn temporary_directory() -> PathBuf {
    let named = ["TMPDIR", "TMP", "TEMP"].into_iter().filter_map(std::env::var_os).find(|path| !path.is_empty());
    named.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// Whether two paths lead to one directory.
fn is_same_directory(current: &Path, other: &Path) -> bool {
    let other = std::path::absolute(other).unwrap_or_else(|_| other.to_owned());
    current == other || matches!((current.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
