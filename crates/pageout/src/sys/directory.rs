//! What is known about a scratch directory: its file system, whether that lives in memory, and the room left.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

use super::call::retried_io;
use super::device::{DirectoryFacts, Exposure, Room};
use super::failure::Outcome;
use super::file::{file_system, user};

/// Everybody may write there; nobody may touch what belongs to others.
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

pub(super) fn facts(directory: &File) -> Outcome<DirectoryFacts> {
    let raw = file_system(directory.as_raw_fd())?;
    let room = room_of(&raw);
    let (file_system, ram_backed) = platform::kind(directory, &raw);
    let status = retried_io("fstat", || directory.metadata())?;
    let exposure = exposed_by(status.uid(), status.mode()).map(|owner| Exposure {
        owner,
        mode: status.mode() & 0o7777,
        problem: "belongs to another user, and everybody may write to it",
    });
    Ok(DirectoryFacts { file_system, ram_backed, room, volume: status.dev(), exposure })
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
    let block_bytes = block_bytes(raw);
    Room { free_bytes: raw.f_bavail.saturating_mul(block_bytes), total_bytes: raw.f_blocks.saturating_mul(block_bytes) }
}

/// The owner of a directory that everybody may rename and remove in, unless that is this user or root.
fn exposed_by(owner: u32, mode: u32) -> Option<u32> {
    let is_open = mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0;
    (is_open && owner != ROOT && owner != user()).then_some(owner)
}

#[allow(
    clippy::cast_lossless,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "a block size is positive; its type differs by platform"
)]
fn block_bytes(raw: &libc::statfs) -> u64 {
    raw.f_bsize as u64
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::OsString;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use super::file_system;

    /// File system magic numbers and names, from linux/magic.h and the file systems' own headers.
    const KNOWN: [(i64, &str); 12] = [
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (TMPFS, "tmpfs"),
        (RAMFS, "ramfs"),
        (HUGETLBFS, "hugetlbfs"),
        (OVERLAY, "overlay"),
        (0x6573_5546, "fuse"),
        (0x6969, "nfs"),
        (0xf2f5_2010, "f2fs"),
        (0x2fc1_2fc1, "zfs"),
        (0x0102_1997, "9p"),
    ];
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    const HUGETLBFS: i64 = 0x9584_58f6;
    const OVERLAY: i64 = 0x794c_7630;

    /// The file system's name, and whether its files live in memory.
    pub(super) fn kind(directory: &File, raw: &libc::statfs) -> (String, bool) {
        let magic = magic(raw);
        let mount = mount_of(directory);
        let name = match &mount {
            Some(mount) => mount.file_system.clone(),
            None => KNOWN.iter().find(|(known, _)| *known == magic).map_or("unknown", |(_, name)| name).to_owned(),
        };
        let upper = mount.filter(|_| magic == OVERLAY).and_then(|mount| mount.upper);
        (name, is_ram(magic) || upper.is_some_and(|upper| is_path_ram(&upper)))
    }

    fn is_ram(magic: i64) -> bool {
        matches!(magic, TMPFS | RAMFS | HUGETLBFS)
    }

    fn is_path_ram(path: &Path) -> bool {
        let facts = File::open(path).ok().and_then(|directory| file_system(directory.as_raw_fd()).ok());
        facts.is_some_and(|raw| is_ram(magic(&raw)))
    }

    #[allow(clippy::unnecessary_cast, reason = "the type differs by platform")]
    fn magic(raw: &libc::statfs) -> i64 {
        // The kernel's numbers have 32 bits; on some platforms the field is wider and sign-extended.
        raw.f_type as i64 & 0xffff_ffff
    }

    /// What the mount table says about one mount.
    #[derive(Debug, PartialEq, Eq)]
    struct Mount {
        file_system: String,
        /// Where an overlay keeps what is written.
        upper: Option<PathBuf>,
    }

    fn mount_of(directory: &File) -> Option<Mount> {
        let device = directory.metadata().ok()?.dev();
        let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        find_mount(&table, libc::major(device), libc::minor(device))
    }

    /// The mount with a device number, in a table of the form that proc(5) describes under mountinfo.
    fn find_mount(table: &str, major: u32, minor: u32) -> Option<Mount> {
        let device = format!("{major}:{minor}");
        table.lines().find_map(|line| {
            let (place, system) = line.split_once(" - ")?;
            (place.split(' ').nth(2)? == device).then_some(())?;
            let mut system = system.split(' ');
            let file_system = system.next()?.to_owned();
            let upper = system.nth(1)?.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(unescaped);
            Some(Mount { file_system, upper })
        })
    }

    /// A path of the mount table, in which blanks and the like stand as backslash and three octal digits.
    fn unescaped(field: &str) -> PathBuf {
        let mut path = Vec::new();
        let mut rest = field.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            let digits = behind.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
            let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
            path.push(escaped.unwrap_or(byte));
            rest = if escaped.is_some() { &behind[3..] } else { behind };
        }
        PathBuf::from(OsString::from_vec(path))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_mount_table_tells_file_system_and_upper_directory() {
            let table = "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n\
                         27 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n\
                         90 27 0:45 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/run/my\\040up,workdir=/w\n";
            let root = Mount { file_system: "ext4".to_owned(), upper: None };
            let overlay = Mount { file_system: "overlay".to_owned(), upper: Some("/run/my up".into()) };
            assert_eq!(find_mount(table, 259, 1), Some(root));
            assert_eq!(find_mount(table, 0, 45), Some(overlay));
            assert_eq!(find_mount(table, 8, 1), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::File;

    /// The file system's name, and whether its files live in memory (a RAM disk cannot be told here).
    pub(super) fn kind(_directory: &File, raw: &libc::statfs) -> (String, bool) {
        #[allow(clippy::cast_sign_loss, reason = "the same byte, whichever way C signs its characters")]
        let name: Vec<u8> = raw.f_fstypename.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        let ram_backed = name == "tmpfs";
        (name, ram_backed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_exposed_by_another_user_who_lets_everybody_write() {
        let other = user() + 1;
        assert_eq!(exposed_by(other, 0o040_777), Some(other));
        assert_eq!(exposed_by(other, 0o041_777), None, "sticky");
        assert_eq!(exposed_by(other, 0o040_775), None, "not for everybody");
        assert_eq!((exposed_by(user(), 0o040_777), exposed_by(ROOT, 0o040_777)), (None, None));
    }
}
