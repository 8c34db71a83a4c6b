//! The scratch directory: opening it, whether its path still leads to it, and what is known about it.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::call::retried_io;
use super::device::{DirectoryFacts, Exposure, Room};
use super::failure::{Failure, Outcome};
use super::file::{self, file_system, user};
use super::named::{self, Reach, Refusal};

/// Everybody may write there. That everybody may touch only what is theirs (the sticky bit) does not bind the owner.
const WRITABLE_BY_ALL: u32 = 0o002;
const ROOT: u32 = 0;

/// An open directory. Cleaners of temporary directories that ask for locks leave it alone as long as it is open.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    file: File,
    path: PathBuf,
    /// Whether the file system counts the names of directories at all.
    counts_links: bool,
    nature: Nature,
    /// What became of the first file that was created there to find that out.
    trial: OnceLock<Trial>,
}

/// What an open directory is on.
#[derive(Debug)]
struct Nature {
    /// Name of the file system.
    file_system: String,
    /// Whether its name, or what it lies on, says that its files live in memory.
    in_memory: bool,
    reach: Reach,
    /// Number of the file system.
    volume: u64,
}

/// What creating a file shows that names do not.
#[derive(Debug, Default)]
struct Trial {
    /// Whether what is written stays in memory, although the device has it.
    stays_in_memory: bool,
    /// What is wrong with the owner or the mode of what is created.
    exposure: Option<Exposure>,
}

impl OpenDirectory {
    /// Opens the directory `path`, creating it with its parents. What is there and no directory is refused at once.
    ///
    /// # Errors
    /// The first call that failed. Nothing stays open.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        match retried_io("mkdir", || std::fs::create_dir_all(path)) {
            // Something is there; opening it shows whether it is a directory.
            Ok(()) | Err(Failure { errno: libc::EEXIST, .. }) => {}
            Err(failure) => return Err(failure),
        }
        let file = File::from(file::open_directory_at(path)?);
        file::lock_shared(file.as_fd());
        let status = retried_io("fstat", || file.metadata())?;
        let nature = platform::nature(&file, &file_system(file.as_raw_fd())?, status.dev());
        Ok(Self { file, path: path.to_owned(), counts_links: status.nlink() > 0, nature, trial: OnceLock::new() })
    }

    /// A file that had a name for a moment.
    ///
    /// # Errors
    /// Why there is none. Nothing is left.
    pub(super) fn create_named(&self) -> Result<OwnedFd, Refusal> {
        named::create(self.as_fd(), self.nature.reach)
    }

    /// Whether the path leads to this directory, and the directory has a name at all.
    pub(super) fn is_current(&self) -> bool {
        let there = retried_io("stat", || std::fs::metadata(&self.path));
        let open = retried_io("fstat", || self.file.metadata());
        let (Ok(there), Ok(open)) = (there, open) else { return false };
        let has_name = open.nlink() > 0 || !self.counts_links;
        (there.dev(), there.ino()) == (open.dev(), open.ino()) && has_name
    }

    /// What the directory is like. The first call has `create` make a file, which shows what its names do not.
    ///
    /// # Errors
    /// The call that failed. Why no file can be created is for those to say who need one.
    pub(super) fn facts(&self, create: impl FnOnce() -> Result<OwnedFd, Refusal>) -> Outcome<DirectoryFacts> {
        let room = room(self.file.as_raw_fd())?;
        let status = retried_io("fstat", || self.file.metadata())?;
        let mut facts = DirectoryFacts {
            file_system: self.nature.file_system.clone(),
            ram_backed: self.nature.in_memory,
            room,
            volume: self.nature.volume,
            exposure: self.exposure(&status),
        };
        if facts.exposure.is_none() {
            let trial = self.trial.get_or_init(|| Trial::of(create(), self.nature.in_memory));
            facts.ram_backed |= trial.stays_in_memory;
            facts.exposure.clone_from(&trial.exposure);
        }
        Ok(facts)
    }

    fn exposure(&self, status: &Metadata) -> Option<Exposure> {
        let is_reached = self.nature.reach == Reach::ByMode && is_exposed(status.uid(), status.mode());
        is_reached.then(|| Exposure {
            owner: status.uid(),
            mode: status.mode() & 0o7777,
            problem: "belongs to another user, and everybody may write to it",
        })
    }
}

impl AsFd for OpenDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Trial {
    fn of(created: Result<OwnedFd, Refusal>, is_in_memory: bool) -> Self {
        match created {
            Ok(file) => Self { stays_in_memory: !is_in_memory && platform::stays_in_memory(file.as_fd()), exposure: None },
            Err(Refusal::Exposed(exposure)) => Self { exposure: Some(exposure), ..Self::default() },
            // Whoever needs a file is told.
            Err(Refusal::Failed(_)) => Self::default(),
        }
    }
}

/// Whether everybody may write to a directory of another user, who may then do there what he wants.
fn is_exposed(owner: u32, mode: u32) -> bool {
    mode & WRITABLE_BY_ALL != 0 && owner != ROOT && owner != user()
}

/// Room of the file system that a descriptor is on.
pub(super) fn room(descriptor: RawFd) -> Outcome<Room> {
    file_system(descriptor).map(|raw| room_of(&raw))
}

fn room_of(raw: &libc::statfs) -> Room {
    // A file system that counts no blocks at all (ramfs, some in FUSE) says nothing about its room.
    if raw.f_blocks == 0 {
        return Room { free_bytes: u64::MAX, total_bytes: 0 };
    }
    let block_bytes = platform::block_bytes(raw);
    Room { free_bytes: raw.f_bavail.saturating_mul(block_bytes), total_bytes: raw.f_blocks.saturating_mul(block_bytes) }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    use super::{Nature, Reach, user};
    use crate::sys::in_memory;
    use crate::sys::mountinfo::Mount;

    pub(super) use in_memory::stays_in_memory;

    /// File system magic numbers and names, from linux/magic.h and the file systems' own headers, for where the table of mounts
    /// cannot be read.
    const KNOWN: [(i64, &str); 12] = [
        (0xef53, "ext4"),
        (in_memory::XFS, "xfs"),
        (in_memory::BTRFS, "btrfs"),
        (in_memory::TMPFS, "tmpfs"),
        (in_memory::RAMFS, "ramfs"),
        (in_memory::HUGETLBFS, "hugetlbfs"),
        (0x794c_7630, "overlay"),
        (0x6573_5546, "fuse"),
        (0x6969, "nfs"),
        (0xf2f5_2010, "f2fs"),
        (0x2fc1_2fc1, "zfs"),
        (0x0102_1997, "9p"),
    ];

    pub(super) fn nature(directory: &File, raw: &libc::statfs, device: u64) -> Nature {
        let mount = Mount::of(directory.as_fd());
        let magic = in_memory::magic(raw);
        let known = || KNOWN.iter().find(|(known, _)| *known == magic).map_or("unknown", |(_, name)| name);
        Nature {
            file_system: mount
                .as_ref()
                .map_or_else(|| known().to_owned(), |mount| mount.file_system.to_string_lossy().into_owned()),
            in_memory: in_memory::is_in_memory(directory),
            reach: mount.as_ref().map_or(Reach::ByMode, reach),
            // Subvolumes have numbers of their own.
            volume: mount.map_or(device, |mount| libc::makedev(mount.major, mount.minor)),
        }
    }

    /// The kernel lets nobody but the user who mounted a file system of a process (FUSE) into it, unless the mount allows others.
    fn reach(mount: &Mount) -> Reach {
        let is_fuse = mount.file_system == "fuse" || mount.file_system.as_bytes().starts_with(b"fuse.");
        let is_own = mount.option("user_id").is_some_and(|number| number == *user().to_string());
        if is_fuse && is_own && !mount.has_option("allow_other") { Reach::ThisUserOnly } else { Reach::ByMode }
    }

    /// What blocks are counted in, which FUSE file systems tell apart from the length that they like to be read in.
    #[allow(
        clippy::cast_lossless,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "a block size is positive; its type differs by platform"
    )]
    pub(super) fn block_bytes(raw: &libc::statfs) -> u64 {
        raw.f_frsize as u64
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::sys::mountinfo::mounts;

        #[test]
        fn others_are_kept_out_of_a_file_system_of_this_users_own_process() {
            let mount = |file_system: &str, options: &str| {
                let line = format!("90 27 0:45 / /place rw - {file_system} source {options}");
                mounts(line.as_bytes()).next().expect("a mount")
            };
            let own = format!("rw,user_id={},group_id=0", user());
            assert_eq!(reach(&mount("fuse.sshfs", &own)), Reach::ThisUserOnly);
            assert_eq!(reach(&mount("fuse.sshfs", &format!("{own},default_permissions,allow_other"))), Reach::ByMode);
            assert_eq!(reach(&mount("fuse.sshfs", &format!("rw,user_id={}1", user()))), Reach::ByMode);
            assert_eq!(reach(&mount("ext4", &own)), Reach::ByMode);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::File;
    use std::os::fd::BorrowedFd;

    use super::{Nature, Reach};

    /// A RAM disk cannot be told here.
    pub(super) fn nature(_directory: &File, raw: &libc::statfs, device: u64) -> Nature {
        #[allow(clippy::cast_sign_loss, reason = "the same byte, whichever way C signs its characters")]
        let name: Vec<u8> = raw.f_fstypename.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
        let file_system = String::from_utf8_lossy(&name).into_owned();
        let in_memory = file_system == "tmpfs";
        Nature { file_system, in_memory, reach: Reach::ByMode, volume: device }
    }

    /// The system does not say.
    pub(super) fn stays_in_memory(_file: BorrowedFd<'_>) -> bool {
        false
    }

    /// What blocks are counted in.
    pub(super) fn block_bytes(raw: &libc::statfs) -> u64 {
        u64::from(raw.f_bsize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_exposed_by_another_user_who_lets_everybody_write() {
        let other = user() + 1;
        assert!(is_exposed(other, 0o040_777) && is_exposed(other, 0o041_777), "sticky or not");
        assert!(!is_exposed(other, 0o040_775), "not for everybody");
        assert!(!is_exposed(user(), 0o040_777) && !is_exposed(ROOT, 0o041_777));
    }
}

// Miri has no such system.
#[cfg(all(test, not(miri)))]
mod tests_of_the_system {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_or_nowhere_is_not_current() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let (place, other) = (root.path().join("place"), root.path().join("other"));
        let directory = OpenDirectory::open(&place).expect("a directory");
        assert!(directory.is_current());
        std::fs::rename(&place, &other).expect("a directory");
        assert!(!directory.is_current(), "renamed");
        std::fs::create_dir(&place).expect("a new directory");
        assert!(!directory.is_current(), "replaced");
        std::fs::remove_dir(&place).expect("an empty directory");
        std::os::unix::fs::symlink(&other, &place).expect("a new link");
        assert!(directory.is_current(), "by way of a link");
        std::fs::remove_dir(&other).expect("an empty directory");
        assert!(!directory.is_current(), "removed");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_removed_directory_is_not_current_although_a_path_leads_to_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let place = root.path().join("place");
        let held = OpenDirectory::open(&place).expect("a directory");
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", held.file.as_raw_fd()));
        let directory = OpenDirectory::open(&by_descriptor).expect("the same directory");
        assert!(directory.is_current());
        std::fs::remove_dir(&place).expect("an empty directory");
        assert!(!directory.is_current());
    }

    #[test]
    fn an_open_directory_is_locked_against_cleaners_and_shared_with_others() {
        use rustix::fs::{FlockOperation, flock};

        let root = tempfile::tempdir().expect("a temporary directory");
        let (first, second) = (OpenDirectory::open(root.path()), OpenDirectory::open(root.path()));
        let cleaner = File::open(root.path()).expect("a directory");
        let lock = || flock(&cleaner, FlockOperation::NonBlockingLockExclusive);
        lock().expect_err("two use it");
        drop(first);
        lock().expect_err("one uses it");
        drop(second);
        // A child that another test has forked may hold it for a moment.
        let pauses = (0..1_000).map(|_| std::thread::sleep(std::time::Duration::from_millis(10)));
        assert!(lock().is_ok() || pauses.map(|()| lock()).any(|outcome| outcome.is_ok()), "nobody uses it");
        OpenDirectory::open(root.path()).expect("a lock that is refused is no reason to refuse a directory");
    }
}
