//! Looking for a scratch directory as a pager does, in order to tell what became of it.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::open::known;
use super::{Environment, Pager, PagerBuilder};
use crate::error::{Error, RefusedDir};
use crate::store::Store;
use crate::sync::{UnsizedArc, lock};
use crate::sys::device::Abilities;
use crate::sys::random_name;

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
    /// Whether it is not there yet: the first pageout makes it. What is told was found where its first missing parent would be.
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

/// A pager that was opened in order to look at it.
pub(crate) struct Examined {
    pub(crate) pager: Pager,
    pub(crate) facts: ScratchFacts,
    /// Where it has its directory. Behind the pager, which uses it.
    place: Option<Place>,
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
        let facts = ScratchFacts { refused: Vec::new(), chosen: None, untried: Vec::new(), error: None };
        let mut this = Self { pager, facts, place: None };
        for path in named.map_or_else(|| environment.candidates(), |path| vec![path]) {
            if this.place.is_some() {
                this.facts.untried.push(path);
                continue;
            }
            match this.try_directory(&path, &environment) {
                Ok(place) => this.place = Some(place),
                Err(error @ Error::Option { .. }) => return Err(error),
                Err(reason) => this.facts.refused.push(RefusedDir { path, reason }),
            }
        }
        Ok(this)
    }

    fn try_directory(&mut self, path: &Path, environment: &Environment) -> Result<Place, Error> {
        let place = Place::of(path)?;
        let store = self.pager.open(&place.open_at, environment).map_err(|error| place.tell(error))?;
        self.facts.chosen = Some(ScratchDir::of(&store, &place).map_err(|error| place.tell(error))?);
        self.pager.shared.keep_store(store);
        Ok(place)
    }

    /// The error of a pageout there as a pager would give it.
    pub(crate) fn tell(&self, error: Error) -> Error {
        self.place.as_ref().map_or(error.clone(), |place| place.tell(error))
    }

    /// A file in the scratch directory that shows how fast its device is, if there is one.
    pub(crate) fn measured_file(&self) -> Option<OwnedFd> {
        self.pager.shared.store.get()?.measured_file()
    }
}

/// A directory to look at, and where that is done. One that is not there is not made, since somebody else may make it at the same
/// moment, and removing it would be in his way: another one is made where its first missing parent would be, with a name that
/// nobody else has, and is removed again.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    open_at: PathBuf,
}

impl Place {
    /// # Errors
    /// There are no random bits for a name.
    fn of(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        // Below what is no directory nothing is made.
        let parent = path.ancestors().find(|&parent| is_there(parent)).filter(|parent| parent.is_dir());
        let open_at = match parent {
            Some(parent) if parent != path => match name_too_long(parent, &path) {
                Some(refused) => refused,
                None => parent.join(OsStr::from_bytes(random_name()?.as_bytes())),
            },
            _ => path.clone(),
        };
        Ok(Self { path, open_at })
    }

    fn is_new(&self) -> bool {
        self.path != self.open_at
    }

    /// An error about the one directory, as of the other.
    fn tell(&self, error: Error) -> Error {
        let path = || UnsizedArc::from(&*self.path);
        match error {
            Error::System { syscall, errno, path: Some(_), space } => Error::System { syscall, errno, path: Some(path()), space },
            Error::RamBacked { file_system, .. } => Error::RamBacked { path: path(), file_system },
            Error::Exposed { exposure, .. } => Error::Exposed { path: path(), exposure },
            other => other,
        }
    }
}

/// What the system refuses to make below a directory, of what is missing of a path, because its name is too long.
fn name_too_long(parent: &Path, path: &Path) -> Option<PathBuf> {
    let missing = path.strip_prefix(parent).unwrap_or(path).components().map(|name| parent.join(name));
    let is_refused = |path: &PathBuf| path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::InvalidFilename);
    missing.chain([path.to_owned()]).find(is_refused)
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_new() {
            // It was not made where the system refused that.
            let _ = std::fs::remove_dir(&self.open_at);
        }
    }
}

impl ScratchDir {
    fn of(store: &Store, place: &Place) -> Result<Self, Error> {
        let (facts, abilities) = (store.facts()?, store.abilities()?);
        let (mount_point, mount_source) = mount_of(store.path()).unzip();
        let is_known = facts.room.total_bytes > 0;
        Ok(Self {
            path: place.path.clone(),
            is_new: place.is_new(),
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

        let directory = std::fs::File::open(directory).ok()?;
        let mount = crate::sys::mountinfo::Mount::of(directory.as_fd())?;
        Some((mount.point, mount.source))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        None
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

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn remote_file_systems_are_known_by_name() {
        assert!(["nfs", "nfs4", "cifs", "fuse.sshfs", "9p"].into_iter().all(is_remote));
        assert!(!["ext4", "fuse", "fuseblk", "fuse.bindfs", "sshfs", "tmpfs", ""].into_iter().any(is_remote));
    }

    #[test]
    fn a_directory_that_is_not_there_is_looked_at_beside_its_first_missing_parent() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| root.path().join(name);
        std::fs::write(path("file"), "").expect("a new file");
        std::os::unix::fs::symlink(path("nowhere"), path("link")).expect("a new link");
        for name in ["", "file", "file/below", "link"] {
            let place = Place::of(&path(name)).expect("random bits");
            assert_eq!((place.is_new(), &place.open_at), (false, &path(name)), "{name}");
        }
        let (place, other) = (Place::of(&path("a/b")).expect("random bits"), Place::of(&path("a/b")).expect("random bits"));
        assert_ne!(place.open_at, other.open_at);
        assert_eq!((place.is_new(), place.open_at.parent(), &place.path), (true, Some(root.path()), &path("a/b")));
        std::fs::create_dir(&place.open_at).expect("a new directory");
        let made = place.open_at.clone();
        drop((place, other));
        assert!(!made.exists() && path("file").exists());
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_and_nothing_is_made() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (name, deep) = ("a".repeat(300), "b/".repeat(3000));
        for path in [root.path().join(&name), root.path().join("missing").join(&name).join("c"), root.path().join(deep)] {
            let place = Place::of(&path).expect("random bits");
            let error = std::fs::create_dir(&place.open_at).expect_err("a name that is too long");
            assert_eq!(error.kind(), ErrorKind::InvalidFilename);
            assert_eq!(place.path, path);
        }
        assert_eq!(std::fs::read_dir(root.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn errors_are_told_of_the_directory_that_was_meant() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let place = Place::of(&root.path().join("a")).expect("random bits");
        let made: UnsizedArc<Path> = place.open_at.as_path().into();
        let exposure = Box::new(crate::sys::device::Exposure { owner: 1, mode: 0o777, problem: "is not this user's" });
        for error in [
            Error::System { syscall: "mkdir", errno: libc::EROFS, path: Some(UnsizedArc::clone(&made)), space: None },
            Error::RamBacked { path: UnsizedArc::clone(&made), file_system: "tmpfs".to_owned() },
            Error::Exposed { path: made, exposure },
        ] {
            let (before, after) = (error.to_string(), place.tell(error).to_string());
            assert_eq!(before.replace(&*place.open_at.to_string_lossy(), &place.path.to_string_lossy()), after);
            assert_ne!(before, after);
        }
        assert_eq!(place.tell(Error::Closed).code(), Error::Closed.code());
    }
}
