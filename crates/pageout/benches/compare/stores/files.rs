//! Designs with files, as one would write them by hand. All but the reference read into memory that was not cleared before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustix::buffer::spare_capacity;

use super::{Store, clear, total_bytes};
use crate::payload::as_u64;
use crate::site::{FreshDirectories, Site};
use crate::system;

/// A file with a name for each payload, closed in between.
pub(crate) struct NamedFiles {
    directories: FreshDirectories,
    created: AtomicU64,
}

impl NamedFiles {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        Ok(Self { directories: FreshDirectories::new(site)?, created: AtomicU64::new(0) })
    }
}

impl Store for NamedFiles {
    type Ticket = (PathBuf, usize);

    fn prepare(&mut self) -> io::Result<()> {
        self.directories.next()
    }

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let path = self.directories.path().join(format!("payload-{}.bin", self.created.fetch_add(1, Relaxed)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let len_bytes = write_at(&file, chunks, 0)?;
        Ok((path, len_bytes))
    }

    fn back(&self, (path, len_bytes): Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        read_at(&File::open(&path)?, len_bytes, 0, destination)?;
        fs::remove_file(&path)
    }

    fn forget(&self, (path, _): Self::Ticket) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn count_names(&self) -> io::Result<usize> {
        self.directories.count_files()
    }
}

/// As [`NamedFiles`], but clears the memory that it reads into, as the module does whose contract this crate keeps.
pub(crate) struct Reference(pub(crate) NamedFiles);

impl Store for Reference {
    type Ticket = (PathBuf, usize);

    fn prepare(&mut self) -> io::Result<()> {
        self.0.prepare()
    }

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        self.0.out(chunks)
    }

    fn back(&self, (path, len_bytes): Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        destination.resize(len_bytes, 0);
        File::open(&path)?.read_exact_at(destination, 0)?;
        fs::remove_file(&path)
    }
}

/// A file without a name for each payload, open until the payload is back.
pub(crate) struct UnnamedFiles(FreshDirectories);

impl UnnamedFiles {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        Ok(Self(FreshDirectories::new(site)?))
    }
}

impl Store for UnnamedFiles {
    type Ticket = (File, usize);

    fn prepare(&mut self) -> io::Result<()> {
        self.0.next()
    }

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let file = tempfile::tempfile_in(self.0.path())?;
        let len_bytes = write_at(&file, chunks, 0)?;
        Ok((file, len_bytes))
    }

    fn back(&self, (file, len_bytes): Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        read_at(&file, len_bytes, 0, destination)
    }
}

/// One open file, cut into slots as long as the longest payload; the slot freed last is used first.
pub(crate) struct Slots {
    file: File,
    slot_bytes: usize,
    free: Mutex<FreeList>,
}

/// Free slots, by their offsets.
struct FreeList {
    used_before: Vec<u64>,
    end: u64,
}

impl Slots {
    pub(crate) fn new(site: &Site, slot_bytes: usize) -> io::Result<Self> {
        let free = Mutex::new(FreeList { used_before: Vec::new(), end: 0 });
        Ok(Self { file: tempfile::tempfile_in(site.path())?, slot_bytes, free })
    }

    fn claim(&self) -> u64 {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.used_before.pop().unwrap_or_else(|| {
            free.end += as_u64(self.slot_bytes);
            free.end - as_u64(self.slot_bytes)
        })
    }

    fn release(&self, offset: u64) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).used_before.push(offset);
    }
}

impl Store for Slots {
    type Ticket = (u64, usize);

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let offset = self.claim();
        Ok((offset, write_at(&self.file, chunks, offset)?))
    }

    fn back(&self, (offset, len_bytes): Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        read_at(&self.file, len_bytes, offset, destination)?;
        self.release(offset);
        Ok(())
    }

    fn forget(&self, (offset, _): Self::Ticket) -> io::Result<()> {
        self.release(offset);
        Ok(())
    }

    fn announce(&self, &(offset, len_bytes): &Self::Ticket) -> io::Result<()> {
        system::announce(&self.file, offset, len_bytes)
    }
}

/// Nothing but the two transfers, always to the same place of a file that is open: what a slot can cost at best.
pub(crate) struct Bare(File);

impl Bare {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        Ok(Self(tempfile::tempfile_in(site.path())?))
    }
}

impl Store for Bare {
    type Ticket = usize;

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        write_at(&self.0, chunks, 0)
    }

    fn back(&self, len_bytes: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        read_at(&self.0, len_bytes, 0, destination)
    }
}

/// Writes the chunks one behind the other and empties them; gives their bytes.
fn write_at(file: &File, chunks: &mut [Vec<u8>], offset: u64) -> io::Result<usize> {
    let len_bytes = total_bytes(chunks);
    match &*chunks {
        [only] => file.write_all_at(only, offset)?,
        many => write_vectored_at(file, many, offset)?,
    }
    clear(chunks);
    Ok(len_bytes)
}

fn write_vectored_at(file: &File, chunks: &[Vec<u8>], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written_bytes = rustix::io::pwritev(file, rest, offset)?;
        if written_bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += as_u64(written_bytes);
        IoSlice::advance_slices(&mut rest, written_bytes);
    }
    Ok(())
}

/// Appends `len_bytes` bytes of the file. Vectors here have no more room than that, or the file ends behind them; otherwise
/// bytes would be read that nobody wants.
pub(crate) fn read_at(file: &File, len_bytes: usize, offset: u64, destination: &mut Vec<u8>) -> io::Result<()> {
    let start = destination.len();
    destination.reserve_exact(len_bytes);
    while destination.len() < start + len_bytes {
        let here = offset + as_u64(destination.len() - start);
        if rustix::io::pread(file, spare_capacity(destination), here)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    destination.truncate(start + len_bytes);
    Ok(())
}
