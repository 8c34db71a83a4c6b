//! Scratch files that have a name for a moment, where there are none without.
//!
//! A file is made in a directory of its own, under a name that nobody can guess, and both are removed before anything is written.
//! Nobody else may reach the file meanwhile: the directory and the file belong to this user and let nobody else in, which is
//! looked at, since some file systems make owners and modes up (vfat, CIFS, drvfs, NFS that squashes root, FUSE).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::call::retried_io;
use super::device::Exposure;
use super::failure::{Failure, Outcome};
use super::{file, random};

/// Rights of others than the owner.
const OTHERS: u32 = 0o077;
/// Name that a file has for a moment in a directory of its own.
const FILE_NAME: &CStr = c"scratch";
/// How often a random name may turn out to be taken before something else must be wrong.
const NAME_ATTEMPTS: u32 = 8;

/// Why there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The system refused a call.
    Failed(Failure),
    /// What is created here is not this user's alone.
    Exposed(Exposure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for Failure {
    /// What is exposed is told in words when a directory is opened. Where it is exposed later only, somebody exchanged what was
    /// made, or mounted something else: it is not opened.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::Exposed(_) => Self::new("openat", libc::EACCES),
        }
    }
}

/// Who can reach what is in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everybody, as far as owners and modes allow it.
    ByMode,
    /// This user alone, whatever owners and modes say.
    ThisUserOnly,
}

/// Creates an empty file in `directory` that has no name any more.
///
/// # Errors
/// The call that failed, or what is exposed. Nothing that is created is left.
pub(super) fn create(directory: BorrowedFd<'_>, reach: Reach) -> Result<OwnedFd, Refusal> {
    let name = create_private_directory(directory)?;
    let created = create_in(directory, &name, reach);
    let removed = file::remove_directory(directory, &name);
    let created = created?;
    removed?;
    Ok(created)
}

fn create_private_directory(directory: BorrowedFd<'_>) -> Outcome<CString> {
    let mut attempts = 1;
    loop {
        let name = random_name()?;
        match file::create_directory(directory, &name) {
            Ok(()) => return Ok(name),
            Err(Failure { errno: libc::EEXIST, .. }) if attempts < NAME_ATTEMPTS => attempts += 1,
            Err(failure) => return Err(failure),
        }
    }
}

fn create_in(directory: BorrowedFd<'_>, private_name: &CStr, reach: Reach) -> Result<OwnedFd, Refusal> {
    let private = File::from(file::open_directory(directory, private_name)?);
    // Whoever may rename in the scratch directory could have put another one in its place.
    make_private(&private, file::DIRECTORY_MODE, reach)?;
    let created = File::from(file::create_named(private.as_fd(), FILE_NAME)?);
    let is_private = make_private(&created, file::FILE_MODE, reach);
    unlink(directory, private.as_fd(), is_private.is_ok())?;
    is_private.map(|()| created.into())
}

/// Sees to it that what was just created is this user's alone.
fn make_private(created: &File, mode: libc::mode_t, reach: Reach) -> Result<(), Refusal> {
    if reach == Reach::ThisUserOnly {
        return Ok(());
    }
    match exposure(created)? {
        // What others may do is taken away where the file system lets that be done: the second look shows it.
        Some(Exposure { owner, .. }) if owner == file::user() => _ = file::set_mode(created.as_fd(), mode),
        Some(exposure) => return Err(Refusal::Exposed(exposure)),
        None => return Ok(()),
    }
    match exposure(created)? {
        Some(exposure) => Err(Refusal::Exposed(exposure)),
        None => Ok(()),
    }
}

/// What is wrong with the owner or the mode of what was just created.
fn exposure(created: &File) -> Outcome<Option<Exposure>> {
    let facts = retried_io("fstat", || created.metadata())?;
    let problem = if facts.uid() != file::user() {
        "gives what this process creates in it to another user"
    } else if facts.mode() & OTHERS != 0 {
        "lets other users into what this process creates in it, whatever mode is set"
    } else {
        return Ok(None);
    };
    Ok(Some(Exposure { owner: facts.uid(), mode: facts.mode() & 0o7777, problem }))
}

/// Removes the new file's name, by way of the scratch directory where nobody can open it there: file systems without unnamed
/// files (FUSE, NFS) keep an open file under a hidden name beside the one that was removed, and then the private directory could
/// not be removed.
fn unlink(directory: BorrowedFd<'_>, private: BorrowedFd<'_>, may_move: bool) -> Outcome<()> {
    let moved = if may_move { move_out(directory, private) } else { None };
    match moved {
        Some(name) => file::unlink(directory, &name),
        None => file::unlink(private, FILE_NAME),
    }
}

/// Moves the new file to the scratch directory; its name there, where that worked.
fn move_out(directory: BorrowedFd<'_>, private: BorrowedFd<'_>) -> Option<CString> {
    let name = random_name().ok()?;
    file::rename(private, FILE_NAME, directory, &name).ok()?;
    Some(name)
}

/// `.pageout-` and 128 random bits in hexadecimal.
pub(crate) fn random_name() -> Outcome<CString> {
    let mut bits = [0; 16];
    random::fill(&mut bits)?;
    let name = format!(".pageout-{:032x}", u128::from_le_bytes(bits));
    Ok(CString::new(name).expect("hexadecimal digits hold no NUL"))
}

// Miri has no such file system.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the own file or directory");
    }

    #[test]
    fn what_others_may_do_is_taken_away_before_a_file_is_made() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(scratch.path()).expect("a scratch directory");
        let place = scratch.path().join("other");
        std::fs::create_dir(&place).expect("a new directory");
        set_mode(&place, 0o777);
        let created = create_in(directory.as_fd(), c"other", Reach::ByMode).expect("a private directory");
        let mode = |file: &File| file.metadata().expect("its metadata").permissions().mode() & 0o777;
        assert_eq!((mode(&File::from(created)), mode(&File::open(&place).expect("the directory"))), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&place).expect("a listing").count(), 0);
        assert_eq!(std::fs::read_dir(scratch.path()).expect("a listing").count(), 1, "the file has no name anywhere");
    }

    #[test]
    fn a_private_directory_that_was_exchanged_is_not_used() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(scratch.path()).expect("a scratch directory");
        let place = scratch.path().join("other");
        std::fs::create_dir(&place).expect("a new directory");
        std::os::unix::fs::symlink(&place, scratch.path().join("link")).expect("a new link");
        let refusal = create_in(directory.as_fd(), c"link", Reach::ByMode).expect_err("a link is not followed");
        assert!(
            matches!(&refusal, Refusal::Failed(failure) if matches!(failure.errno, libc::ELOOP | libc::ENOTDIR)),
            "{refusal:?}"
        );
        let other = file::user() + 54_321;
        if std::os::unix::fs::chown(&place, Some(other), None).is_ok() {
            let refusal = create_in(directory.as_fd(), c"other", Reach::ByMode).expect_err("it belongs to another user");
            assert!(matches!(&refusal, Refusal::Exposed(exposure) if exposure.owner == other), "{refusal:?}");
            assert_eq!(Failure::from(refusal), Failure::new("openat", libc::EACCES));
            create_in(directory.as_fd(), c"other", Reach::ThisUserOnly).expect("nobody else can reach it");
        }
        assert_eq!(std::fs::read_dir(place).expect("a listing").count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_are_private_and_close_on_exec() {
        use std::os::fd::AsRawFd;

        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(scratch.path()).expect("a scratch directory");
        let created = File::from(create(directory.as_fd(), Reach::ByMode).expect("a scratch file"));
        let mode = created.metadata().expect("its metadata").permissions().mode();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", created.as_raw_fd())).expect("its flags");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("a line of flags");
        let flags = i32::from_str_radix(flags.trim(), 8).expect("octal flags");
        assert_eq!((mode & 0o777, flags & libc::O_CLOEXEC), (0o600, libc::O_CLOEXEC));
    }
}
