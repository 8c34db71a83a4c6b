//! Where all candidates put their files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pageout::Pager;
use tempfile::TempDir;

/// The directory that all candidates use.
#[derive(Debug)]
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

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Paths to the files in it that this process has open and that have no name.
    pub(crate) fn unnamed_files(&self) -> io::Result<Vec<PathBuf>> {
        let directory = self.path.to_string_lossy();
        let is_unnamed = |path: &PathBuf| {
            let target = fs::read_link(path).unwrap_or_default();
            target.starts_with(&*directory) && target.to_string_lossy().ends_with("(deleted)")
        };
        let entries: io::Result<Vec<PathBuf>> = fs::read_dir("/dev/fd")?.map(|entry| Ok(entry?.path())).collect();
        Ok(entries?.into_iter().filter(is_unnamed).collect())
    }

    pub(crate) fn file_system(&self) -> &str {
        &self.file_system
    }
}

/// New directories, to be fair to designs that create files: ext4 does not give the inodes of files deleted within the
/// last minutes out again, and searching past them costs ten times what creating a file should.
#[derive(Debug)]
pub(crate) struct FreshDirectories {
    parent: TempDir,
    current: PathBuf,
}

impl FreshDirectories {
    pub(crate) fn new(site: &Site) -> io::Result<Self> {
        let parent = TempDir::new_in(&site.path)?;
        // Lets ext4 put each directory in it in a block group of its own. Other file systems have no such flag and no
        // such need, so the outcome does not matter.
        let _ = Command::new("chattr").arg("+T").arg(parent.path()).stderr(Stdio::null()).status();
        Ok(Self { current: fresh_in(&parent)?, parent })
    }

    /// Goes on in a new directory; what lies in the earlier ones stays.
    pub(crate) fn next(&mut self) -> io::Result<()> {
        self.current = fresh_in(&self.parent)?;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.current
    }

    /// Files with a name in all of them.
    pub(crate) fn count_files(&self) -> io::Result<usize> {
        let mut count = 0;
        for directory in fs::read_dir(self.parent.path())? {
            count += fs::read_dir(directory?.path())?.count();
        }
        Ok(count)
    }
}

/// A new directory that is removed with its parent. Its name is random, because ext4 chooses the block group by it.
fn fresh_in(parent: &TempDir) -> io::Result<PathBuf> {
    Ok(TempDir::new_in(parent)?.keep())
}
