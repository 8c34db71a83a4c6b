//! Whether what is written to a directory lives in memory, so that paging out to it frees nothing.
//!
//! Two things are asked. What a file system is by name, and what it lies on: tmpfs and its like are memory, an overlay is what its
//! upper directory is, a block device is what the kernel's tree of devices says (zram and RAM disks are memory, partitions,
//! mapped devices and loop devices what is below them). And the kernel itself, which shows what no name does: a page that was
//! written to the device and dropped from the page cache, and is in memory all the same, cannot leave it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{check_length_limit, file_system, write_at};
use super::linux;
use super::mapping::Mapping;
use super::memory::page_bytes;
use super::mountinfo::Mount;

pub(super) const TMPFS: i64 = 0x0102_1994;
pub(super) const RAMFS: i64 = 0x8584_58f6;
pub(super) const HUGETLBFS: i64 = 0x9584_58f6;
pub(super) const BTRFS: i64 = 0x9123_683e;
pub(super) const XFS: i64 = 0x5846_5342;

/// Where the kernel shows its block devices by number.
const BLOCK_DEVICES: &str = "/sys/dev/block";
/// How the names of devices begin that others lie below: mapped ones (crypt, LVM, thin), arrays, caches.
const MAPPED: [&[u8]; 3] = [b"dm-", b"md", b"bcache"];
/// How many things may lie on one another, each overlay, file system and block device counted.
const LAYERS_MAX: u32 = 16;

/// The kernel's number of a kind of file systems.
#[allow(clippy::unnecessary_cast, reason = "the type differs by platform")]
pub(super) fn magic(raw: &libc::statfs) -> i64 {
    // The kernel's numbers have 32 bits; on some platforms the field is wider and sign-extended.
    raw.f_type as i64 & 0xffff_ffff
}

/// Whether an open file or directory lives in memory, as far as names tell.
pub(super) fn is_in_memory(place: &File) -> bool {
    is_place_in_memory(place, LAYERS_MAX)
}

fn is_place_in_memory(place: &File, layers: u32) -> bool {
    let Some(layers) = layers.checked_sub(1) else { return false };
    let kind = file_system(place.as_raw_fd()).ok().map(|raw| magic(&raw));
    if matches!(kind, Some(TMPFS | RAMFS | HUGETLBFS)) {
        return true;
    }
    let Ok(device) = place.metadata().map(|facts| facts.dev()) else { return false };
    // File systems over block devices have the number of theirs, but for those that may have several, which their mount names.
    if libc::major(device) != 0 {
        return is_device_in_memory(device, layers);
    }
    let Some(mount) = Mount::of(place.as_fd()) else { return false };
    match mount.option("upperdir") {
        Some(upper) => opened(Path::new(&upper)).is_some_and(|upper| is_place_in_memory(&upper, layers)),
        None => block_device(Path::new(&mount.source)).is_some_and(|device| is_device_in_memory(device, layers)),
    }
}

/// The file or directory at `path`, for questions only: nothing happens to what is there, and nothing blocks.
fn opened(path: &Path) -> Option<File> {
    File::options().read(true).custom_flags(libc::O_PATH).open(path).ok()
}

/// The number of the block device at `path`.
fn block_device(path: &Path) -> Option<u64> {
    let facts = path.is_absolute().then(|| std::fs::metadata(path).ok())??;
    facts.file_type().is_block_device().then(|| facts.rdev())
}

fn is_device_in_memory(device: u64, layers: u32) -> bool {
    let entry = format!("{BLOCK_DEVICES}/{}:{}", libc::major(device), libc::minor(device));
    is_entry_in_memory(Path::new(&entry), layers)
}

/// Whether the block device with an entry in the kernel's tree of devices is memory.
fn is_entry_in_memory(entry: &Path, layers: u32) -> bool {
    let (Ok(entry), Some(layers)) = (entry.canonicalize(), layers.checked_sub(1)) else { return false };
    if entry.file_name().is_some_and(is_memory_by_name) {
        return true;
    }
    if entry.join("partition").exists() {
        return entry.parent().is_some_and(|disk| is_entry_in_memory(disk, layers));
    }
    if let Ok(backing) = std::fs::read(entry.join("loop/backing_file")) {
        return backing_place(backing.trim_ascii_end()).is_some_and(|place| is_place_in_memory(&place, layers));
    }
    let is_mapped = entry.file_name().is_some_and(|name| MAPPED.iter().any(|prefix| name.as_bytes().starts_with(prefix)));
    is_mapped && are_all_in_memory(&entry.join("slaves"), layers)
}

/// Whether all devices below a mapped one are memory: one on a disk is enough for what is written to leave memory.
fn are_all_in_memory(below: &Path, layers: u32) -> bool {
    let entries: Vec<_> = std::fs::read_dir(below).into_iter().flatten().filter_map(Result::ok).collect();
    !entries.is_empty() && entries.iter().all(|entry| is_entry_in_memory(&entry.path(), layers))
}

/// RAM disks and compressed memory.
fn is_memory_by_name(name: &OsStr) -> bool {
    let is_numbered = |prefix: &[u8]| {
        let number = name.as_bytes().strip_prefix(prefix);
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    };
    is_numbered(b"zram") || is_numbered(b"ram")
}

/// The file that a loop device shows; its directory where the file was removed. Nothing where the path leads nowhere from here,
/// as in another root.
fn backing_place(path: &[u8]) -> Option<File> {
    let path_of = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    opened(&path_of(path)).or_else(|| {
        let removed = path_of(path.strip_suffix(b" (deleted)")?);
        opened(removed.parent()?)
    })
}

/// How often a page is written back and dropped before it counts as one that stays: dropping fails for a moment while the page
/// is in some processor's list, or is being written.
const ROUNDS: u32 = 6;
/// From the page that is written to one that never was.
const DISTANCE_BYTES: usize = 1 << 20;

/// Whether a page that is written to `file`, which is empty, stays in memory whatever is done. It does not where the kernel
/// cannot tell.
pub(super) fn stays_in_memory(file: BorrowedFd<'_>) -> bool {
    is_kept(file) == Some(true)
}

/// As [`stays_in_memory`], or nothing where the kernel cannot tell.
fn is_kept(file: BorrowedFd<'_>) -> Option<bool> {
    let content = [0xa5; 64];
    check_length_limit("pwrite", 0, content.len() as u64).ok()?;
    (write_at(file, &[IoSlice::new(&content)], 0) == Ok(content.len())).then_some(())?;
    let mapping = Mapping::of(file, DISTANCE_BYTES + page_bytes())?;
    // Only whole pages are dropped.
    let len_bytes = page_bytes() as u64;
    for round in 0..ROUNDS {
        // Not every file system knows of ranges (overlay), and not every one that does is done then (NFS).
        let written = if round == 0 { linux::write_back(file, 0, len_bytes) } else { linux::sync_data(file) };
        linux::evict(file, 0, len_bytes).ok()?;
        let pages = mapping.residency()?;
        let (first, last) = (pages.first()?, pages.last()?);
        // A kernel that has what was never written in memory says so of everything.
        if *last {
            return None;
        }
        if !first {
            return Some(false);
        }
        // What could not be written back has to stay.
        if round > 0 {
            written.ok()?;
            std::thread::sleep(Duration::from_millis(1 << round));
        }
    }
    Some(true)
}

// Miri has no such system.
#[cfg(all(test, not(miri)))]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A tree of devices as the kernel shows it, where every device's entry is in one directory.
    struct Devices(TempDir);

    impl Devices {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn add(&self, name: &str) -> PathBuf {
            let entry = self.0.path().join(name);
            std::fs::create_dir_all(entry.join("slaves")).expect("a new directory");
            entry
        }

        fn add_over(&self, name: &str, below: &[&str]) -> PathBuf {
            let entry = self.add(name);
            for name in below {
                std::os::unix::fs::symlink(self.0.path().join(name), entry.join("slaves").join(name)).expect("a new link");
            }
            entry
        }

        fn add_loop(&self, name: &str, backing: &[u8]) -> PathBuf {
            let entry = self.add(name);
            std::fs::create_dir(entry.join("loop")).expect("a new directory");
            std::fs::write(entry.join("loop/backing_file"), [backing, b"\n"].concat()).expect("a new file");
            entry
        }
    }

    fn is_memory(entry: &Path) -> bool {
        is_entry_in_memory(entry, LAYERS_MAX)
    }

    #[test]
    fn ram_disks_and_compressed_memory_are_memory_and_so_are_their_partitions() {
        let devices = Devices::new();
        assert!(["zram0", "zram12", "ram0"].iter().all(|name| is_memory(&devices.add(name))));
        assert!(!["vda", "nvme0n1", "sdram", "ram", "zramx", "pmem0", "loop0"].iter().any(|name| is_memory(&devices.add(name))));
        for (disk, expected) in [("ram0", true), ("vda", false)] {
            let partition = devices.add(&format!("{disk}/{disk}p1"));
            std::fs::write(partition.join("partition"), "1\n").expect("a new file");
            let link = devices.0.path().join(format!("link to {disk}p1"));
            std::os::unix::fs::symlink(&partition, &link).expect("a new link");
            assert_eq!(is_memory(&link), expected);
        }
        assert!(!is_memory(Path::new("/nonexistent")));
    }

    #[test]
    fn a_device_over_others_is_memory_when_all_of_them_are() {
        let devices = Devices::new();
        for name in ["zram0", "zram1", "vda"] {
            devices.add(name);
        }
        assert!(is_memory(&devices.add_over("dm-0", &["zram0"])));
        assert!(is_memory(&devices.add_over("md0", &["zram1", "dm-0"])));
        assert!(!is_memory(&devices.add_over("md1", &["zram1", "vda"])));
        assert!(!is_memory(&devices.add_over("dm-1", &["vda"])));
        assert!(!is_memory(&devices.add_over("dm-2", &["dm-2"])), "a circle ends");
    }

    #[test]
    fn a_loop_device_is_what_its_file_is_on() {
        let devices = Devices::new();
        let image = devices.0.path().join("image");
        std::fs::write(&image, "").expect("a new file");
        let on_disk = is_in_memory(&File::open(&image).expect("a file"));
        assert_eq!(is_memory(&devices.add_loop("loop0", image.as_os_str().as_bytes())), on_disk);
        assert!(!is_memory(&devices.add_loop("loop1", b"/nonexistent/image")), "as in another root");
        assert!(!is_memory(&devices.add_loop("loop2", b"/nonexistent/image (deleted)")));
        let Ok(shared) = tempfile::NamedTempFile::new_in("/dev/shm") else { return };
        let path = shared.path().as_os_str().as_bytes();
        assert!(is_memory(&devices.add_loop("loop3", path)));
        assert!(is_memory(&devices.add_loop("loop4", &[b"/dev/shm/gone", &b" (deleted)"[..]].concat())));
    }

    #[test]
    fn the_kernel_shows_what_stays_in_memory_and_what_does_not() {
        let in_memory = |file: &File| is_place_in_memory(file, LAYERS_MAX);
        let temporary = tempfile::tempfile().expect("a temporary file");
        // Of a directory in memory the test would say so twice.
        assert_eq!(is_kept(temporary.as_fd()).unwrap_or_default(), in_memory(&temporary));
        if let Ok(shared) = tempfile::tempfile_in("/dev/shm") {
            assert_eq!((is_kept(shared.as_fd()), in_memory(&shared)), (Some(true), true));
        }
        let directory = File::open("/proc").expect("a directory");
        assert_eq!(is_kept(directory.as_fd()), None, "nothing can be written there");
    }
}
