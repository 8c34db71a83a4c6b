//! Finding the scratch directory: the one that was named, or the first usable one of the default search.

use std::path::{Path, PathBuf};

use super::{Environment, Pager};
use crate::error::{Error, RefusedDir};
use crate::store::Store;
use crate::sync::{UnsizedArc, lock};

impl Pager {
    /// Makes `root` the scratch directory, creating it with its parents. Where it already is, nothing happens.
    ///
    /// # Errors
    /// [`Error::ScratchDirInUse`] when another directory is in use; [`Error::ScratchDir`] or [`Error::RamBacked`] when
    /// `root` cannot serve, in which case nothing is decided and a later call may succeed.
    pub(crate) fn set_scratch_dir(&self, root: PathBuf) -> Result<(), Error> {
        let environment = lock(&self.shared.opening);
        self.shared.check_open()?;
        if let Some(store) = self.shared.store.get() {
            if is_same_directory(store.path(), &root) {
                return Ok(());
            }
            return Err(Error::ScratchDirInUse { requested: root, current: store.path().into() });
        }
        let store = self.open_named(root, &known(environment.as_ref()))?;
        self.shared.keep_store(store);
        Ok(())
    }

    fn open_named(&self, root: PathBuf, environment: &Environment) -> Result<UnsizedArc<Store>, Error> {
        match self.open(&root, environment) {
            Err(reason @ (Error::System { .. } | Error::Exposed { .. })) => {
                Err(Error::ScratchDir { tried: vec![RefusedDir { path: root, reason }] })
            }
            outcome => outcome,
        }
    }

    pub(super) fn open(&self, root: &Path, environment: &Environment) -> Result<UnsizedArc<Store>, Error> {
        let mut options = self.shared.store_options;
        if options.capacity_bytes.is_none() {
            options.default_up_to = environment.capacity()?;
        }
        Store::open(&self.shared.device, root, options)
    }

    /// Looks at `environment` instead of the process's own where no scratch directory is open yet.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn use_environment(&self, environment: Environment) {
        *lock(&self.shared.opening) = Some(environment);
    }

    /// The store; the first call opens the first usable directory of the default search.
    pub(super) fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let environment = lock(&self.shared.opening);
        self.shared.check_open()?;
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let store = self.open_first_usable(&known(environment.as_ref()))?;
        Ok(self.shared.keep_store(store))
    }

    fn open_first_usable(&self, environment: &Environment) -> Result<UnsizedArc<Store>, Error> {
        let mut tried: Vec<RefusedDir> = Vec::new();
        for path in environment.candidates() {
            match self.open(&path, environment) {
                Ok(store) => return Ok(store),
                // That is no fault of the directory.
                Err(error @ Error::Option { .. }) => return Err(error),
                Err(reason) => tried.push(RefusedDir { path, reason }),
            }
        }
        Err(Error::ScratchDir { tried })
    }
}

/// The environment that counts: what was chosen, else the process's own as it is now.
pub(super) fn known(chosen: Option<&Environment>) -> Environment {
    chosen.cloned().unwrap_or_else(Environment::of_process)
}

/// Whether two paths lead to one directory.
fn is_same_directory(current: &Path, other: &Path) -> bool {
    let other = std::path::absolute(other).unwrap_or_else(|_| other.to_owned());
    current == other || matches!((current.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
