//! The table of mounts that Linux keeps for each process, `/proc/self/mountinfo`, as proc(5) describes it.
//!
//! The table is bytes: names of files need not be UTF-8, and whoever may mount chooses them. Each line stands for itself, so
//! that one which makes no sense costs that line. Blanks and the like inside a field are written as a backslash and three octal
//! digits; everything that is given out here has them undone.

use std::ffi::OsString;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The mount's own number, which the kernel gives for open files too.
    pub(crate) id: u64,
    /// Device number of the files: those of `stat`, but for file systems that give each subvolume its own.
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The directory within its file system that is seen at the mount point.
    pub(crate) root: PathBuf,
    pub(crate) point: PathBuf,
    /// Name of the file system, for instance `ext4` or `fuse.sshfs`.
    pub(crate) file_system: OsString,
    /// What is mounted, often the path of a block device.
    pub(crate) source: OsString,
    /// Options of the file system as they stand in the table.
    options: Vec<u8>,
}

/// The mounts of a table, in its order.
pub(crate) fn mounts(table: &[u8]) -> impl Iterator<Item = Mount> {
    table.split(|&byte| byte == b'\n').filter_map(Mount::parse)
}

impl Mount {
    /// The mount that an open file is on, whatever its number or its path is; nothing where the table does not show it.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let facts = std::fs::read(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        let id = facts.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
        let id = number(id.trim_ascii())?;
        let table = std::fs::read("/proc/self/mountinfo").ok()?;
        mounts(&table).find(|mount| mount.id == id)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = number(fields.next()?)?;
        let (major, minor) = device(fields.nth(1)?)?;
        let (root, point) = (fields.next()?, fields.next()?);
        let mut system = fields.skip(1).skip_while(|field| *field != b"-").skip(1);
        Some(Self {
            id,
            major,
            minor,
            root: PathBuf::from(unescaped(root)),
            point: PathBuf::from(unescaped(point)),
            file_system: unescaped(system.next()?),
            source: unescaped(system.next()?),
            options: system.next()?.to_vec(),
        })
    }

    /// Whether the file system has an option without a value, for instance `memory`.
    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options().any(|option| option == name.as_bytes())
    }

    /// The value of an option of the file system, for instance of `upperdir`.
    #[cfg(any(target_os = "linux", test))]
    pub(crate) fn option(&self, name: &str) -> Option<OsString> {
        self.options().find_map(|option| option.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).map(unescaped)
    }

    /// A comma within a value is escaped.
    fn options(&self) -> impl Iterator<Item = &[u8]> {
        self.options.split(|&byte| byte == b',')
    }
}

fn number<N: FromStr>(field: &[u8]) -> Option<N> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Two numbers with a colon between them.
fn device(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A field as it was before the kernel wrote it down.
fn unescaped(field: &[u8]) -> OsString {
    let mut name = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = if byte == b'\\' { behind.split_first_chunk().and_then(octal) } else { None };
        let (plain, behind) = escaped.unwrap_or((byte, behind));
        name.push(plain);
        rest = behind;
    }
    OsString::from_vec(name)
}

/// The byte that three octal digits stand for, and what follows them.
fn octal<'a>((digits, behind): (&[u8; 3], &'a [u8])) -> Option<(u8, &'a [u8])> {
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let value = digits.iter().fold(0, |value, digit| value * 8 + u32::from(digit & 7));
    u8::try_from(value).ok().filter(|_| is_octal).map(|byte| (byte, behind))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn only(line: &[u8]) -> Mount {
        let found: Vec<_> = mounts(line).collect();
        assert_eq!(found.len(), 1, "{}", String::from_utf8_lossy(line));
        found.into_iter().next().expect("one mount")
    }

    #[test]
    fn every_field_is_told() {
        let mount = only(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n");
        assert_eq!((mount.id, mount.major, mount.minor), (36, 98, 0));
        assert_eq!((mount.root.as_path(), mount.point.as_path()), (Path::new("/mnt1"), Path::new("/mnt2")));
        assert_eq!((&*mount.file_system, &*mount.source), (OsStr::new("ext3"), OsStr::new("/dev/root")));
        assert_eq!(mount.option("errors"), Some("continue".into()));
        assert_eq!((mount.option("error"), mount.option("rw"), mount.option("upperdir")), (None, None, None));
        assert!(mount.has_option("rw") && !mount.has_option("errors") && !mount.has_option("r"));
    }

    #[test]
    fn escapes_are_undone_in_every_name() {
        let mount = only(
            b"90 27 0:45 /a\\040b /mer\\134ged\\012 rw - fuse.my\\040fs over\\043lay \
            rw,lowerdir=/l,upperdir=/run/my\\040up\\054two,workdir=/w",
        );
        assert_eq!((mount.root.as_path(), mount.point.as_path()), (Path::new("/a b"), Path::new("/mer\\ged\n")));
        assert_eq!((&*mount.file_system, &*mount.source), (OsStr::new("fuse.my fs"), OsStr::new("over#lay")));
        assert_eq!(mount.option("upperdir"), Some("/run/my up,two".into()));
        assert_eq!(mount.option("workdir"), Some("/w".into()));
    }

    #[test]
    fn what_only_looks_like_an_escape_stays() {
        for name in ["/\\04", "/\\", "/\\048", "/\\+40", "/\\777", "/\\\\x"] {
            let mount = only(format!("1 1 8:1 / {name} rw - ext4 /dev/sda1 rw").as_bytes());
            assert_eq!(mount.point, Path::new(name));
        }
        assert_eq!(unescaped(b"\\377\\000"), OsString::from_vec(vec![255, 0]));
    }

    #[test]
    fn names_need_not_be_text() {
        let mount = only(b"50 27 8:17 / /mnt/D\xe9 rw - vfat /dev/sd\xff rw,iocharset=\xfe");
        assert_eq!(mount.point.as_os_str().as_bytes(), b"/mnt/D\xe9");
        assert_eq!(mount.source.as_bytes(), b"/dev/sd\xff");
        assert_eq!(mount.option("iocharset").expect("an option").as_bytes(), b"\xfe");
    }

    #[test]
    fn an_empty_source_and_any_number_of_tags_are_fields_like_others() {
        let mount = only(b"51 27 0:50 / /mnt rw - tmpfs  rw,size=4k");
        assert_eq!((&*mount.source, mount.option("size")), (OsStr::new(""), Some("4k".into())));
        let mount = only(b"51 27 0:50 / - rw shared:1 master:2 propagate_from:3 unbindable - tmpfs none rw");
        assert_eq!((mount.point.as_path(), &*mount.file_system), (Path::new("-"), OsStr::new("tmpfs")));
    }

    #[test]
    fn a_bad_line_costs_that_line() {
        let table = b"22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n\
            \n\
            nonsense\n\
            1 1 8:x / /a rw - ext4 /dev/a rw\n\
            1 1 8 / /b rw - ext4 /dev/b rw\n\
            1 1 99999999999:0 / /c rw - ext4 /dev/c rw\n\
            1 1 8:1 / /d rw\n\
            1 1 8:1 / /e rw -\n\
            1 1 8:1 / /f rw - ext4 /dev/f\n\
            \xff\xfe \x00\n\
            27 1 259:1 / / rw,relatime - ext4 /dev/root rw,discard";
        let points: Vec<_> = mounts(table).map(|mount| mount.point).collect();
        assert_eq!(points, [Path::new("/proc"), Path::new("/")]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn this_machine_has_a_root() {
        let table = std::fs::read("/proc/self/mountinfo").expect("a table");
        assert!(mounts(&table).any(|mount| mount.point == Path::new("/") && !mount.file_system.is_empty()));
    }

    /// As the kernel writes a name down.
    fn escaped(name: &[u8]) -> Vec<u8> {
        let escape = |&byte: &u8| {
            let is_special = matches!(byte, b' ' | b'\t' | b'\n' | b'\\' | b'#' | b',' | b'=');
            if is_special { format!("\\{byte:03o}").into_bytes() } else { vec![byte] }
        };
        name.iter().flat_map(escape).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic(table in vec(any::<u8>(), 0..400)) {
            mounts(&table).for_each(drop);
        }

        #[test]
        fn no_mixture_of_fields_panics(fields in vec(prop_oneof!["[ -~]{0,6}", Just("-".into()), Just("8:1".into())], 0..14)) {
            mounts(fields.join(" ").as_bytes()).for_each(|mount| {
                mount.option("a");
            });
        }

        #[test]
        fn what_the_kernel_escapes_comes_back(names in vec(vec(any::<u8>(), 0..12), 4)) {
            let [root, point, source, upper] = [0, 1, 2, 3].map(|index| escaped(&names[index]));
            let line = [b"1 2 3:4 ", &*root, b" ", &*point, b" rw - overlay ", &*source, b" rw,upperdir=", &*upper].concat();
            let mount = only(&line);
            prop_assert_eq!(mount.root.as_os_str().as_bytes(), &names[0]);
            prop_assert_eq!(mount.point.as_os_str().as_bytes(), &names[1]);
            prop_assert_eq!(mount.source.as_bytes(), &names[2]);
            let upper_directory = mount.option("upperdir").expect("an option");
            prop_assert_eq!(upper_directory.as_bytes(), &names[3]);
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
