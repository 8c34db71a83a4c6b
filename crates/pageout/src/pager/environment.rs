//! What the environment sets: where the default search looks, and the default capacity.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;

/// Names a directory that the default search tries first.
const SCRATCH_DIR_VARIABLE: &str = "PAGEOUT_SCRATCH_DIR";
/// Sets the default capacity.
const CAPACITY_VARIABLE: &str = "PAGEOUT_CAPACITY_BYTES";

/// What variables say. The process's own are looked at when they are needed; a worker of Node may have others.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `PAGEOUT_SCRATCH_DIR`; nothing where it is empty.
    pub scratch_dir: Option<PathBuf>,
    /// The system's temporary directory.
    pub temporary_dir: PathBuf,
    /// `PAGEOUT_CAPACITY_BYTES`; nothing where it is empty.
    pub capacity_bytes: Option<OsString>,
}

impl Environment {
    /// That of the process, now.
    pub(super) fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        // The variables that Node's `os.tmpdir()` looks at, in its order.
        let temporary_dir = ["TMPDIR", "TMP", "TEMP"].into_iter().find_map(variable);
        Self {
            scratch_dir: variable(SCRATCH_DIR_VARIABLE).map(PathBuf::from),
            temporary_dir: temporary_dir.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
            capacity_bytes: variable(CAPACITY_VARIABLE),
        }
    }

    /// The directories of the default search, in its order, each once.
    pub(super) fn candidates(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for path in self.scratch_dir.iter().chain([&self.temporary_dir, &PathBuf::from("/var/tmp")]) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths
    }

    /// The default capacity.
    ///
    /// # Errors
    /// [`Error::Option`] for what is no number of bytes, or none at all.
    pub(super) fn capacity(&self) -> Result<Option<u64>, Error> {
        let Some(value) = &self.capacity_bytes else { return Ok(None) };
        let bytes = value.to_str().and_then(|digits| digits.parse().ok()).filter(|&bytes: &u64| bytes > 0);
        bytes.map(Some).ok_or_else(|| Error::Option {
            name: CAPACITY_VARIABLE,
            problem: format!("must be a number of bytes, at least 1, not '{}'", value.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_looked_at_once() {
        let environment =
            Environment { scratch_dir: Some("/var/tmp".into()), temporary_dir: "/tmp".into(), capacity_bytes: None };
        assert_eq!(environment.candidates(), ["/var/tmp", "/tmp"].map(PathBuf::from));
    }
}
