//! What is compared: pageout, the designs one would write by hand, and two lines that nothing can cross.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pageout::{Pager, TakeError};
use rustix::buffer::spare_capacity;
use tempfile::TempDir;

/// The candidate that all others are compared with.
pub(crate) const RIVAL: &str = "one named temp file per payload";

/// Capacity of fresh vectors, whatever the payload. Longer than what any usual allocator recycles (glibc: 32 MiB), so that
/// its pages are new from the system each time and not by luck; those that are not touched cost nothing.
const FRESH_CAPACITY_BYTES: usize = 40 << 20;

/// One way to put a payload away and bring it back.
pub(crate) trait Candidate {
    /// Readies the candidate for a batch; not timed.
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A vector in memory that is new to the process.
    fn fresh(&self) -> Vec<u8> {
        Vec::with_capacity(FRESH_CAPACITY_BYTES)
    }

    /// Puts the bytes of `source` away and empties it, then brings them back into `destination`, which is empty or as
    /// [`Self::fresh`] made it.
    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()>;
}

/// A candidate and what it is called in the results.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) candidate: Box<dyn Candidate>,
}

/// All candidates, new.
pub(crate) fn all(site: &Site) -> io::Result<Vec<Named>> {
    Ok(vec![
        Named { name: "pageout", candidate: Box::new(Paged(site.pager(true)?)) },
        Named { name: "pageout without integrity", candidate: Box::new(Paged(site.pager(false)?)) },
        Named { name: RIVAL, candidate: Box::new(NamedFiles { directories: FreshDirectories::new(site)?, created: 0 }) },
        Named { name: "one unnamed file per payload", candidate: Box::new(UnnamedFiles(FreshDirectories::new(site)?)) },
        Named { name: "one open file (the limit)", candidate: Box::new(OpenFile(tempfile::tempfile_in(&site.path)?)) },
        Named { name: "two copies in memory (the floor)", candidate: Box::new(Copies(Vec::new())) },
    ])
}

/// The directory that all candidates use.
pub(crate) struct Site {
    path: PathBuf,
    file_system: String,
}

impl Site {
    /// Opens the directory `named`, or the one that pageout itself would choose.
    pub(crate) fn open(named: Option<&Path>) -> io::Result<Self> {
        let builder = Pager::builder();
        let pager = match named {
            Some(path) => builder.scratch_dir(path),
            None => builder,
        };
        let pager = pager.build()?;
        drop(pager.pageout(&mut [vec![0u8]])?);
        let stats = pager.stats();
        let path = stats.scratch_dir.expect("a pager that has paged out has a scratch directory");
        Ok(Self { path, file_system: stats.file_system.unwrap_or_default() })
    }

    pub(crate) fn file_system(&self) -> &str {
        &self.file_system
    }

    fn pager(&self, integrity: bool) -> io::Result<Pager> {
        Ok(Pager::builder().scratch_dir(&self.path).integrity(integrity).build()?)
    }
}

/// A new directory for each batch, to be fair to designs that create files: ext4 does not give the inodes of files
/// deleted within the last minutes out again, and searching past them costs ten times what creating a file should.
struct FreshDirectories {
    parent: TempDir,
    current: Option<TempDir>,
}

impl FreshDirectories {
    fn new(site: &Site) -> io::Result<Self> {
        let parent = TempDir::new_in(&site.path)?;
        // Lets ext4 put each directory in it in a block group of its own. Other file systems have no such flag and no
        // such need, so the outcome does not matter.
        let _ = Command::new("chattr").arg("+T").arg(parent.path()).stderr(Stdio::null()).status();
        Ok(Self { parent, current: None })
    }

    fn next(&mut self) -> io::Result<()> {
        self.current = Some(TempDir::new_in(&self.parent)?);
        Ok(())
    }

    fn path(&self) -> &Path {
        self.current.as_ref().expect("prepared").path()
    }
}

/// What this crate does.
struct Paged(Pager);

impl Candidate for Paged {
    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
        let handle = self.0.pageout(std::slice::from_mut(source))?;
        self.0.take(handle, destination).map_err(TakeError::into_error)?;
        Ok(())
    }
}

/// The design one writes first: a file with a name for each payload, closed in between, read into a zero-filled vector.
struct NamedFiles {
    directories: FreshDirectories,
    created: u64,
}

impl Candidate for NamedFiles {
    fn prepare(&mut self) -> io::Result<()> {
        self.directories.next()
    }

    /// Zeros already, since the system clears new memory anyway: `resize` only cuts them to length then.
    fn fresh(&self) -> Vec<u8> {
        vec![0; FRESH_CAPACITY_BYTES]
    }

    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
        let path = self.directories.path().join(format!("payload-{}.bin", self.created));
        self.created += 1;
        let len_bytes = source.len();
        OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(source)?;
        source.clear();
        destination.resize(len_bytes, 0);
        File::open(&path)?.read_exact(destination)?;
        fs::remove_file(&path)
    }
}

/// A file without a name for each payload, open until the payload is back.
struct UnnamedFiles(FreshDirectories);

impl Candidate for UnnamedFiles {
    fn prepare(&mut self) -> io::Result<()> {
        self.0.next()
    }

    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
        out_and_back(&tempfile::tempfile_in(self.0.path())?, source, destination)
    }
}

/// Nothing but the two transfers, always to the same place of a file that is open: what a slot can cost at best.
struct OpenFile(File);

impl Candidate for OpenFile {
    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
        out_and_back(&self.0, source, destination)
    }
}

/// Writes at the beginning of `file`, which holds nothing longer, and reads it into memory that was not cleared before.
fn out_and_back(file: &File, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
    file.write_all_at(source, 0)?;
    destination.reserve_exact(source.len());
    while destination.len() < source.len() {
        let offset = u64::try_from(destination.len()).expect("an offset in a file");
        if rustix::io::pread(file, spare_capacity(destination), offset)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    source.clear();
    Ok(())
}

/// Two copies between warm vectors: no store that copies can cost less.
struct Copies(Vec<u8>);

impl Candidate for Copies {
    fn round_trip(&mut self, source: &mut Vec<u8>, destination: &mut Vec<u8>) -> io::Result<()> {
        self.0.clear();
        self.0.extend_from_slice(source);
        source.clear();
        destination.extend_from_slice(&self.0);
        Ok(())
    }
}
