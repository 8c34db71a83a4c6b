//! Small file systems that a test makes, mounts where only it sees them, and damages.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{MIB, in_own_mounts, skip, text, u64_of};

/// Kinds of file systems, and the smallest size that each can well have, in MiB.
const KINDS: [(&str, usize); 5] = [("tmpfs", 32), ("ext4", 64), ("ext2", 64), ("xfs", 320), ("btrfs", 192)];

/// A file system in a file, or in memory, and where it is mounted.
#[derive(Debug)]
pub struct FileSystem {
    pub kind: &'static str,
    pub image: PathBuf,
    pub place: PathBuf,
}

impl FileSystem {
    /// Makes an empty file system of its smallest size below `root` and mounts it.
    ///
    /// # Errors
    /// Why this machine cannot do that.
    pub fn mounted(kind: &str, root: &Path) -> Result<Self, String> {
        let (kind, size_mib) = KINDS.into_iter().find(|(name, _)| *name == kind).expect("a known kind");
        Self::with_options(kind, size_mib, root, &[])
    }

    /// As [`Self::mounted`], of another size and with options for the program that makes it; tmpfs takes `option=value`.
    ///
    /// # Errors
    /// What the program said.
    pub fn with_options(kind: &'static str, size_mib: usize, root: &Path, options: &[&str]) -> Result<Self, String> {
        Self::in_image(kind, size_mib, &images(root), root, options)
    }

    /// As [`Self::with_options`], with the image in the directory `images`.
    ///
    /// # Errors
    /// What the program said.
    pub fn in_image(kind: &'static str, size_mib: usize, images: &Path, root: &Path, options: &[&str]) -> Result<Self, String> {
        let this = Self { kind, image: images.join(format!("{kind} image")), place: root.join(kind) };
        std::fs::create_dir_all(&this.place).expect("a new directory");
        if kind == "tmpfs" {
            let mut list = vec![format!("size={size_mib}m")];
            list.extend(options.iter().map(|&option| option.to_owned()));
            run("mount", &["-t", "tmpfs", "-o", &list.join(","), "none", text(&this.place)])?;
            return Ok(this);
        }
        let file = File::create(&this.image).expect("a new file");
        file.set_len(u64_of(size_mib * MIB)).expect("a sparse file");
        run(&format!("mkfs.{kind}"), &[&["-q"], options, &[text(&this.image)]].concat())?;
        this.mount("rw")?;
        Ok(this)
    }

    /// Mounts the image.
    ///
    /// # Errors
    /// What the program said.
    pub fn mount(&self, options: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("loop,{options}"), text(&self.image), text(&self.place)])
    }

    /// Mounts it again with other options where it is mounted.
    ///
    /// # Errors
    /// What the program said.
    pub fn remount(&self, options: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.place)])
    }

    /// Ends the mount, which fails while anything in it is open. What pagers have closed gives its space back a moment later.
    ///
    /// # Errors
    /// What the program said.
    pub fn unmount(&self) -> Result<(), String> {
        let unmount = || run("umount", &[text(&self.place)]);
        let patience = (0..1_000).map(|_| std::thread::sleep(Duration::from_millis(10)));
        unmount().or_else(|_| patience.map(|()| unmount()).find(Result::is_ok).unwrap_or_else(unmount))
    }

    /// Everything the file system still holds back goes to the image; failures are for those who lost something.
    pub fn sync(&self) {
        let directory = File::open(&self.place).expect("an open directory");
        let _ = rustix::fs::syncfs(&directory);
    }

    /// Blocks that nobody uses.
    pub fn free_blocks(&self) -> u64 {
        rustix::fs::statvfs(&self.place).expect("a mounted file system").f_bfree
    }

    /// Flips a bit of the image, below the file system.
    pub fn flip(&self, place: u64, bit: u32) {
        let image = File::options().read(true).write(true).open(&self.image).expect("the image");
        let mut byte = [0];
        image.read_exact_at(&mut byte, place).expect("a byte of the image");
        image.write_all_at(&[byte[0] ^ (1 << bit)], place).expect("a byte of the image");
    }
}

/// The directory for images below `root`: in memory where that can be, so that no disk slows them down.
fn images(root: &Path) -> PathBuf {
    let images = root.join("images");
    if !images.exists() {
        std::fs::create_dir(&images).expect("a new directory");
        let _ = run("mount", &["-t", "tmpfs", "-o", "size=2g", "none", text(&images)]);
    }
    images
}

/// Runs `body` on an empty file system of each kind that this machine has; `test` must be the name of the calling test.
#[track_caller]
pub fn on_each(test: &str, kinds: &[&str], body: impl Fn(&FileSystem)) {
    in_own_mounts(test, |root| {
        for kind in kinds {
            match FileSystem::mounted(kind, root) {
                Ok(system) => body(&system),
                Err(reason) => skip(&format!("{test} on {kind}"), &reason),
            }
        }
    });
}

/// Runs a program that the test cannot do without.
///
/// # Errors
/// What it said, in one line.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or_default();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {line}")) }
}

/// The open scratch files of this process below `directory`, each by a path that opens it anew.
pub fn scratch_files(directory: &Path) -> Vec<PathBuf> {
    let own = std::fs::read_dir("/proc/self/fd").expect("a listing").map(|entry| entry.expect("an entry").path());
    let leads_there =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|target| target.starts_with(directory) && target != directory);
    own.filter(leads_there).collect()
}

/// Writes the scratch files below `directory` to the device and drops them from the page cache, so that what is read next
/// comes from the device.
pub fn make_cold(directory: &Path) {
    for path in scratch_files(directory) {
        // A directory is among them when the pager has one of its own below.
        let Ok(file) = File::options().read(true).write(true).open(path) else { continue };
        let _ = file.sync_data();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice on a file");
    }
}

/// A file system in a process of its own, which has no unnamed files.
#[derive(Debug)]
pub struct Fuse {
    pub place: PathBuf,
    daemon: Child,
}

impl Fuse {
    /// Shows a new directory below `root` as another one, with options for the program that does it.
    ///
    /// # Errors
    /// Why this machine cannot do that.
    pub fn mounted(root: &Path, options: &[&str]) -> Result<Self, String> {
        let (below, place) = (root.join("below fuse"), root.join("fuse"));
        std::fs::create_dir_all(&below).expect("a directory");
        std::fs::create_dir_all(&place).expect("a directory");
        let own_device = std::fs::metadata(&place).expect("a directory").dev();
        let mut command = Command::new("bindfs");
        command.arg("-f").args(options).args([text(&below), text(&place)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = command.spawn().map_err(|error| format!("bindfs: {error}"))?;
        while std::fs::metadata(&place).is_ok_and(|facts| facts.dev() == own_device) {
            if let Some(status) = daemon.try_wait().expect("a child") {
                return Err(format!("bindfs: {status}"));
            }
            std::thread::yield_now();
        }
        Ok(Self { place, daemon })
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = run("umount", &[text(&self.place)]);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
