//! The scratch directory of a store: opened with all checks, and again when it was removed or replaced.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::slots::slot_bytes_for;
use crate::sync::{Mutex, UnsizedArc, lock};
use crate::sys::device::{Abilities, DirectoryFacts, Failure};
use crate::sys::{Device, Directory, ScratchFile, destination};

/// File systems are waited for this often at most: calls that are refused again and again shall be refused soon.
const SETTLING_INTERVAL: Duration = Duration::from_secs(2);

/// A scratch directory.
#[derive(Debug)]
pub(super) struct Root {
    device: UnsizedArc<dyn Device>,
    path: UnsizedArc<Path>,
    allow_ram_backed: bool,
    /// Nothing once the pager is closed.
    open: Mutex<Option<Open>>,
    /// When the file system was last waited for.
    settled: Mutex<Option<Instant>>,
}

/// An open directory that passed all checks.
#[derive(Clone, Debug)]
struct Open {
    directory: UnsizedArc<dyn Directory>,
    file_system: UnsizedArc<str>,
    /// Number of the file system.
    volume: u64,
}

impl Root {
    /// Opens `path`, creating it with its parents, and verifies that scratch files work there.
    ///
    /// # Errors
    /// The call that failed, [`Error::RamBacked`] or [`Error::Exposed`]. A full disk is no reason to refuse a directory.
    pub(super) fn open(
        device: &UnsizedArc<dyn Device>,
        path: &Path,
        allow_ram_backed: bool,
    ) -> Result<(Self, DirectoryFacts), Error> {
        let path: UnsizedArc<Path> = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into();
        let (open, facts) = open(&**device, &path, allow_ram_backed)?;
        let root = Self {
            device: UnsizedArc::clone(device),
            path,
            allow_ram_backed,
            open: Mutex::new(Some(open)),
            settled: Mutex::default(),
        };
        Ok((root, facts))
    }

    /// The directory, as an absolute path.
    pub(super) fn path(&self) -> &UnsizedArc<Path> {
        &self.path
    }

    /// Name of its file system.
    pub(super) fn file_system(&self) -> String {
        lock(&self.open).as_ref().map_or_else(String::new, |open| open.file_system.to_string())
    }

    /// What the directory is like now.
    ///
    /// # Errors
    /// The call that failed.
    pub(super) fn facts(&self) -> Result<DirectoryFacts, Error> {
        self.current()?.directory.facts().map_err(|failure| self.error(failure))
    }

    /// What can be done in the directory.
    ///
    /// # Errors
    /// The call that failed.
    pub(super) fn abilities(&self) -> Result<Abilities, Error> {
        self.current()?.directory.abilities().map_err(|failure| self.error(failure))
    }

    /// A file there that shows how fast the device is, if there is one.
    pub(super) fn measured_file(&self) -> Option<OwnedFd> {
        self.current().ok()?.directory.measured_file()
    }

    /// A new scratch file. Where the path leads to another directory by now, or to none, that one is opened, or made, with all
    /// checks first.
    ///
    /// # Errors
    /// What the operating system said, or why the directory that the path leads to cannot serve.
    pub(super) fn create_file(&self) -> Result<Box<dyn ScratchFile>, Error> {
        let mut directory = self.current()?.directory;
        let was_current = directory.is_current();
        if !was_current {
            directory = self.reopen()?;
        }
        directory.create_file().or_else(|failure| {
            // It may have gone in between.
            if was_current && !directory.is_current() {
                return self.reopen()?.create_file().map_err(|failure| self.error(failure));
            }
            Err(self.error(failure))
        })
    }

    /// Number of its file system; nothing once the pager is closed.
    pub(super) fn volume(&self) -> Option<u64> {
        lock(&self.open).as_ref().map(|open| open.volume)
    }

    /// Waits until space that was freed shows as room, unless somebody did so a moment ago, and nothing was freed since.
    pub(super) fn settle(&self, has_freed: bool) {
        let is_due = {
            let mut settled = lock(&self.settled);
            let is_due = has_freed || settled.is_none_or(|moment| moment.elapsed() > SETTLING_INTERVAL);
            if is_due {
                *settled = Some(Instant::now());
            }
            is_due
        };
        if let (true, Ok(open)) = (is_due, self.current()) {
            open.directory.settle();
        }
    }

    /// Whether the pager is closed.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.open).is_none()
    }

    /// Closes the directory.
    pub(super) fn close(&self) {
        let open = lock(&self.open).take();
        drop(open);
    }

    fn current(&self) -> Result<Open, Error> {
        lock(&self.open).clone().ok_or(Error::Closed)
    }

    fn reopen(&self) -> Result<UnsizedArc<dyn Directory>, Error> {
        let (open, _) = open(&*self.device, &self.path, self.allow_ram_backed)?;
        let mut current = lock(&self.open);
        if current.is_none() {
            return Err(Error::Closed);
        }
        let directory = UnsizedArc::clone(&open.directory);
        *current = Some(open);
        Ok(directory)
    }

    fn error(&self, failure: Failure) -> Error {
        Error::from_failure(failure, &self.path)
    }
}

fn open(device: &dyn Device, path: &UnsizedArc<Path>, allow_ram_backed: bool) -> Result<(Open, DirectoryFacts), Error> {
    let system = |failure| Error::from_failure(failure, path);
    let directory = device.open_directory(path).map_err(system)?;
    let facts = directory.facts().map_err(system)?;
    if facts.ram_backed && !allow_ram_backed {
        return Err(Error::RamBacked { path: UnsizedArc::clone(path), file_system: facts.file_system });
    }
    if let Some(exposure) = facts.exposure {
        return Err(Error::Exposed { path: UnsizedArc::clone(path), exposure: Box::new(exposure) });
    }
    probe(&*directory).map_err(system)?;
    let file_system = facts.file_system.as_str().into();
    Ok((Open { directory, file_system, volume: facts.volume }, facts))
}

/// Verifies that a file can be created in a directory, written and read: some file systems accept a file and then no data.
fn probe(directory: &dyn Directory) -> Result<(), Failure> {
    let pattern = [0xa5; 64];
    let written = directory.create_file().and_then(|file| {
        match file.reserve(0, slot_bytes_for(1)) {
            // A limit for the length of files, told by the write, would end the process. Where no slot fits, nothing does.
            Err(failure) if failure.errno == libc::EFBIG => return Err(failure),
            // Whether there is space the write shows.
            _ => {}
        }
        file.write_at(&[IoSlice::new(&pattern)], 0)?;
        Ok(file)
    });
    match written {
        Err(failure) if failure.is_out_of_space() => Ok(()),
        Err(failure) => Err(failure),
        Ok(file) => {
            let mut back = [0; 1];
            destination::overwrite(&mut back, |whole| match file.read_at(&mut [whole], 0) {
                Ok(1) => Ok(()),
                Ok(_) => Err(Failure::new("preadv", libc::EIO)),
                Err(failure) => Err(failure),
            })?;
            if back[0] == pattern[0] { Ok(()) } else { Err(Failure::new("preadv", libc::EIO)) }
        }
    }
}
