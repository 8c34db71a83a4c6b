//! A device on the real file system whose next read or write waits until it is let go: what a thread does that forks meanwhile is
//! done at a known moment. It has no lock, so that a child finds none taken.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use pageout::device::{Destination, Device, Directory, DirectoryFacts, Failure, Outcome, Remainder, Room, ScratchFile};

use super::becomes;

/// The most bytes of one read.
const READ_BYTES_MAX: usize = 64 << 10;

const OPEN: u8 = 0;
const SHUT_FOR_READS: u8 = 1;
const SHUT_FOR_WRITES: u8 = 2;
/// Somebody waits.
const HALTED: u8 = 3;

/// Where one call waits. Clones are one gate; a forked child has its own.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<AtomicU8>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(OPEN)))
    }

    pub(super) fn shut_for_reads(&self) {
        self.0.store(SHUT_FOR_READS, SeqCst);
    }

    pub(super) fn shut_for_writes(&self) {
        self.0.store(SHUT_FOR_WRITES, SeqCst);
    }

    /// Waits until a call waits.
    pub(super) fn halts(&self) {
        assert!(becomes(|| self.0.load(SeqCst) == HALTED), "no call has come");
    }

    pub(super) fn open(&self) {
        self.0.store(OPEN, SeqCst);
    }

    fn pass(&self, shut: u8) {
        if self.0.compare_exchange(shut, HALTED, SeqCst, SeqCst).is_ok() {
            assert!(becomes(|| self.0.load(SeqCst) == OPEN), "nobody lets it go");
        }
    }
}

/// Lets what waits go, also when a test fails.
pub(super) struct OpenWhenDropped<'a>(pub(super) &'a Gate);

impl Drop for OpenWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// The device.
#[derive(Debug)]
pub(super) struct Halting(pub(super) Gate);

#[derive(Debug)]
struct Place {
    path: PathBuf,
    gate: Gate,
}

#[derive(Debug)]
struct Unnamed {
    file: File,
    gate: Gate,
}

fn outcome<T>(call: &'static str, result: std::io::Result<T>) -> Outcome<T> {
    result.map_err(|error| Failure::new(call, error.raw_os_error().unwrap_or(libc::EIO)))
}

const ROOM: Room = Room { free_bytes: u64::MAX, total_bytes: 0 };

impl Device for Halting {
    fn open_directory(&self, path: &Path) -> Outcome<Arc<dyn Directory>> {
        Ok(Arc::new(Place { path: path.to_owned(), gate: self.0.clone() }))
    }
}

impl Directory for Place {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        Ok(DirectoryFacts { file_system: "halting".to_owned(), ram_backed: false, room: ROOM, volume: 1, exposure: None })
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        let file = outcome("openat", tempfile::tempfile_in(&self.path))?;
        Ok(Box::new(Unnamed { file, gate: self.gate.clone() }))
    }

    fn is_current(&self) -> bool {
        true
    }
}

impl ScratchFile for Unnamed {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        self.gate.pass(SHUT_FOR_WRITES);
        let Some(source) = sources.iter().find(|source| !source.is_empty()) else { return Ok(0) };
        outcome("pwrite", self.file.write_at(source, offset))
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.gate.pass(SHUT_FOR_READS);
        let Some(destination) = destinations.iter_mut().find(|destination| destination.remaining_bytes() > 0) else {
            return Ok(0);
        };
        let mut bytes = vec![0; destination.remaining_bytes().min(READ_BYTES_MAX)];
        let read = outcome("pread", self.file.read_at(&mut bytes, offset))?;
        destination.append(&bytes[..read]);
        Ok(read)
    }

    fn read_cached_at(&self, _: &mut [Destination<'_>], _: u64) -> Outcome<usize> {
        Ok(0)
    }

    fn prefetch(&self, _: u64, _: u64) {}

    fn evict(&self, _: u64, _: u64) {}

    fn start_write_back(&self, _: u64, _: u64) -> Outcome<()> {
        Ok(())
    }

    fn check_write_back(&self) -> Outcome<()> {
        Ok(())
    }

    fn reserve(&self, _: u64, _: u64) -> Outcome<()> {
        Err(Failure::new("fallocate", libc::EOPNOTSUPP))
    }

    fn punch(&self, _: u64, _: u64) -> Outcome<()> {
        Err(Failure::new("fallocate", libc::EOPNOTSUPP))
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        outcome("ftruncate", self.file.set_len(len_bytes))
    }

    fn room(&self) -> Outcome<Room> {
        Ok(ROOM)
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        None
    }
}
