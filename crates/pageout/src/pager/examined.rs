//! Looking for a scratch directory as a pager does, in order to tell what became of it.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::open::known;
use super::{Environment, Pager, PagerBuilder};
use crate::error::{Error, RefusedDir};
use crate::store::Store;
use crate::sync::lock;
use crate::sys::device::Abilities;

/// Where a pager would have its scratch files, from [`scratch`](crate::doctor::scratch).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScratchFacts {
    /// The directories that were tried and cannot serve, in the order of the search.
    pub refused: Vec<RefusedDir>,
    /// The one that serves, if any does.
    pub chosen: Option<ScratchDir>,
    /// Those that the search would come to after that one.
    pub untried: Vec<PathBuf>,
    /// Why no pager can be opened, whatever the directory: an option, or `PAGEOUT_CAPACITY_BYTES`.
    pub error: Option<Error>,
}

/// A directory that serves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScratchDir {
    /// As an absolute path.
    pub path: PathBuf,
    /// Whether it was not there. It is removed again.
    pub is_new: bool,
    /// Name of the file system, for instance `ext4`.
    pub file_system: String,
    /// Where that is mounted, as far as the system says.
    pub mount_point: Option<PathBuf>,
    /// What is mounted there, often the path of a device.
    pub mount_source: Option<OsString>,
    /// Whether it lives in memory, which an option allowed.
    pub is_in_memory: bool,
    /// Whether it is on another machine, as far as the name of the file system tells.
    pub is_remote: bool,
    /// Bytes that this user may still write. `None` where the file system does not say.
    pub free_bytes: Option<u64>,
    /// Bytes of the whole file system.
    pub total_bytes: Option<u64>,
    /// What a pager may have of it now.
    pub capacity_bytes: u64,
    /// What it can do.
    pub abilities: Abilities,
}

/// A pager that was opened in order to look at it. When it is dropped, the directories that were made for it are removed.
pub(crate) struct Examined {
    pub(crate) pager: Pager,
    pub(crate) facts: ScratchFacts,
    // Behind the pager, which uses them.
    _made: Made,
}

impl Examined {
    /// Opens the scratch directory of a pager with these options.
    ///
    /// # Errors
    /// [`Error::Option`], which is no fault of a directory.
    pub(crate) fn open(builder: PagerBuilder) -> Result<Self, Error> {
        let (builder, named) = builder.without_scratch_dir();
        let pager = builder.build()?;
        let environment = known(lock(&pager.shared.opening).as_ref());
        let candidates = candidates(named, &environment);
        let (mut made, mut refused) = (Made::default(), Vec::new());
        let tried = candidates.iter().cloned().inspect(|path| made.expect(path));
        let store = pager.open_first_of(tried, &environment, &mut refused)?;
        let untried = candidates.get(refused.len() + usize::from(store.is_some())..).unwrap_or_default().to_vec();
        let mut facts = ScratchFacts { refused, chosen: None, untried, error: None };
        if let Some(store) = store {
            let store = pager.shared.keep_store(store);
            match ScratchDir::of(store, &made) {
                Ok(directory) => facts.chosen = Some(directory),
                // It went away, or became something else.
                Err(reason) => facts.refused.push(RefusedDir { path: store.path().to_owned(), reason }),
            }
        }
        Ok(Self { pager, facts, _made: made })
    }

    /// A file in the scratch directory that shows how fast its device is, if there is one.
    pub(crate) fn measured_file(&self) -> Option<OwnedFd> {
        self.pager.shared.store.get()?.measured_file()
    }
}

/// The directory that was named, or those of the default search, each once.
fn candidates(named: Option<PathBuf>, environment: &Environment) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = named.map_or_else(|| environment.clone().candidates().collect(), |path| vec![path]);
    let mut seen = Vec::new();
    paths.retain(|path| {
        !seen.contains(path) && {
            seen.push(path.clone());
            true
        }
    });
    paths
}

impl ScratchDir {
    fn of(store: &Store, made: &Made) -> Result<Self, Error> {
        let (facts, abilities) = (store.facts()?, store.abilities()?);
        let (mount_point, mount_source) = mount_of(store.path()).unzip();
        let is_known = facts.room.total_bytes > 0;
        Ok(Self {
            path: store.path().to_owned(),
            is_new: made.has(store.path()),
            is_remote: is_remote(&facts.file_system),
            file_system: facts.file_system,
            mount_point,
            mount_source,
            is_in_memory: facts.ram_backed,
            free_bytes: is_known.then_some(facts.room.free_bytes),
            total_bytes: is_known.then_some(facts.room.total_bytes),
            capacity_bytes: store.space().capacity_bytes(),
            abilities,
        })
    }
}

/// Where the file system of a directory is mounted, and what is mounted there.
fn mount_of(directory: &Path) -> Option<(PathBuf, OsString)> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsFd;

        let mount = crate::sys::mountinfo::Mount::of(File::open(directory).ok()?.as_fd())?;
        Some((mount.point, mount.source))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        None::<File>.map(|_| Default::default())
    }
}

/// Whether a file system of this name is on another machine.
fn is_remote(file_system: &str) -> bool {
    const REMOTE: [&str; 14] =
        ["9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"];
    /// Of those that a process serves.
    const REMOTE_BY_PROCESS: [&str; 6] = ["ceph-fuse", "gcsfuse", "glusterfs", "juicefs", "s3fs", "sshfs"];
    let by_process = file_system.strip_prefix("fuse.");
    REMOTE.contains(&file_system) || by_process.is_some_and(|name| REMOTE_BY_PROCESS.contains(&name))
}

/// Directories that were not there, each before the one that it is in.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Remembers what of `path` is not there before it is made.
    fn expect(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        let missing = path.ancestors().take_while(|directory| directory.symlink_metadata().is_err());
        let missing: Vec<_> = missing.filter(|directory| !self.has(directory)).map(Path::to_owned).collect();
        self.0.splice(0..0, missing);
    }

    fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|made| made == path)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in &self.0 {
            // One that somebody else uses by now is not empty, and stays; others were never made.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn remote_file_systems_are_known_by_name() {
        assert!(["nfs", "nfs4", "cifs", "fuse.sshfs", "9p"].into_iter().all(is_remote));
        assert!(!["ext4", "fuse", "fuseblk", "fuse.bindfs", "sshfs", "tmpfs", ""].into_iter().any(is_remote));
    }

    #[test]
    fn what_was_made_is_removed_and_what_is_used_by_others_stays() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| root.path().join(name);
        let mut made = Made::default();
        for name in ["a/b/c", "a/d", "."] {
            made.expect(&path(name));
            std::fs::create_dir_all(path(name)).expect("new directories");
        }
        assert!(made.has(&path("a/b")) && made.has(&path("a/d")) && !made.has(root.path()));
        std::fs::write(path("a/d/file"), "").expect("a new file");
        drop(made);
        assert!(!path("a/b").exists() && path("a/d/file").exists());
        let mut made = Made::default();
        made.expect(&path("a"));
        drop(made);
        assert!(path("a").exists(), "it was there");
    }

    #[test]
    fn a_directory_is_looked_at_once() {
        let environment =
            Environment { scratch_dir: Some("/var/tmp".into()), temporary_dir: "/tmp".into(), capacity_bytes: None };
        assert_eq!(candidates(None, &environment), [Path::new("/var/tmp"), Path::new("/tmp")]);
        assert_eq!(candidates(Some("/a".into()), &environment), [Path::new("/a")]);
    }
}
