//! The table of mounts, as proc(5) describes it under mountinfo.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// What the table says about one mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    id: u64,
    /// Number of the file system, which all of its subvolumes have in common.
    pub(super) device: u64,
    pub(super) file_system: String,
    /// What is mounted: a device's path, or any word.
    pub(super) source: PathBuf,
    /// Options of the file system, separated by commas.
    options: Vec<u8>,
}

impl Mount {
    /// The mount that an open file is on; nothing where the table does not show it.
    pub(super) fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let facts = std::fs::read(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        let id = facts.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
        let id = number(id.trim_ascii())?;
        let table = std::fs::read("/proc/self/mountinfo").ok()?;
        table.split(|&byte| byte == b'\n').filter_map(Self::parse).find(|mount| mount.id == id)
    }

    /// The mount that a line is about.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = number(fields.next()?)?;
        let device = device(fields.nth(1)?)?;
        // Optional fields end with a dash.
        let mut system = fields.skip_while(|field| *field != b"-").skip(1);
        let file_system = String::from_utf8_lossy(system.next()?).into_owned();
        let source = unescaped(system.next()?);
        Some(Self { id, device, file_system, source, options: system.next()?.to_vec() })
    }

    /// Where an overlay keeps what is written.
    pub(super) fn upper(&self) -> Option<PathBuf> {
        self.options().find_map(|option| option.strip_prefix(b"upperdir=")).map(unescaped)
    }

    pub(super) fn has_option(&self, option: &str) -> bool {
        self.options().any(|other| other == option.as_bytes())
    }

    fn options(&self) -> impl Iterator<Item = &[u8]> {
        self.options.split(|&byte| byte == b',')
    }
}

/// Two numbers with a colon between them.
fn device(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// A path of the table, in which blanks and the like stand as backslash and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::new();
    let mut rest = field;
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
    fn a_line_tells_file_system_source_and_upper_directory() {
        let disk = Mount::parse(b"27 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard").expect("a mount");
        assert_eq!(disk.device, libc::makedev(259, 1));
        assert_eq!(
            (disk.id, disk.file_system.as_str(), disk.source.as_path(), disk.upper()),
            (27, "ext4", "/dev/root".as_ref(), None)
        );
        let overlay = b"90 27 0:45 / /mer\xe9ged rw - overlay overlay rw,lowerdir=/l,upperdir=/run/my\\040up\xe9,workdir=/w";
        let upper = Mount::parse(overlay).expect("a mount").upper().expect("an upper directory");
        assert_eq!(upper.into_os_string().into_vec(), b"/run/my up\xe9");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_no_mount() {
        for line in [&b""[..], b"27", b"x 1 0:1 / / rw - ext4 a rw", b"27 1 0:1 / / rw ext4 a rw", b"27 1 0:1 / / rw - ext4 a"] {
            assert_eq!(Mount::parse(line), None);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn the_mount_of_an_open_file_is_in_the_table() {
        let file = std::fs::File::open("/proc/self").expect("a directory");
        assert_eq!(Mount::of(std::os::fd::AsFd::as_fd(&file)).expect("a mount").file_system, "proc");
    }
}
